//! Tables that an earlier version made.

use super::collector::run;
use super::into_postgres::IntoPostgres;
use super::traffic::post;

/// Tables of the version before event_time, property and value, with three events.
const EARLIER: &str = "
    CREATE TABLE events (
      stream text NOT NULL, event_partition bigint NOT NULL, event_offset bigint NOT NULL, seq text NOT NULL,
      event_type text NOT NULL, dsn text NOT NULL, received_at timestamptz NOT NULL, event text NOT NULL,
      PRIMARY KEY (stream, event_partition, event_offset));
    CREATE TABLE events_streams (stream text PRIMARY KEY, seq_start text NOT NULL, updated_at timestamptz NOT NULL DEFAULT now());
    CREATE TABLE events_gaps (
      stream text NOT NULL, asked_for text NOT NULL, went_on_at text NOT NULL, seen_at timestamptz NOT NULL DEFAULT now(),
      PRIMARY KEY (stream, asked_for));
    INSERT INTO events SELECT 'all', 0, n, n + 1, 'datapoint', 'AC1', now(), '{\"datapoint\":{\"value\":' || n || '}}'
      FROM generate_series(0, 2) n;
    INSERT INTO events_streams VALUES ('all', '4');
    CREATE ROLE guest LOGIN;
    GRANT SELECT, INSERT, UPDATE ON events, events_streams, events_gaps TO guest";

#[tokio::test]
async fn tables_of_an_earlier_version_get_new_columns_and_the_stream_resumes() {
    let test = IntoPostgres::start(1).await;
    test.execute(EARLIER).await;
    post(&test.dev, 0..5).await;

    // The error for accounts that may not add them names the statement to run.
    let config = test.config();
    let guest = config.replace("collector@", "guest@");
    let (success, text) = run(test.folder.path(), "guest.yaml", &guest).await;
    assert!(
        !success
            && text.contains("must be owner of table events; the table of an earlier version lacks columns: run ALTER TABLE events ADD COLUMN"),
        "{text}"
    );

    let collector = test.collector(&config);
    collector.reaches("events_stored_total", "all", 2).await;
    assert_eq!(test.place.numbers().await, [0, 1, 2, 3, 4]);
    let columns = "SELECT concat_ws(' ', event_offset, coalesce(value, '-')) FROM events ORDER BY event_offset";
    let columns = test.postgres().texts(columns).await;
    assert_eq!(columns, ["0 -", "1 -", "2 -", "3 3", "4 4"]);
    let gaps = test
        .postgres()
        .texts("SELECT asked_for FROM events_gaps")
        .await;
    assert_eq!(gaps, [""; 0]);

    // And whoever may not, need not when they are there.
    let (status, log) = collector.stop().await;
    assert!(status.success(), "{log}");
    let collector = test.collector(&guest);
    post(&test.dev, 5..6).await;
    collector.reaches("events_stored_total", "all", 1).await;
}

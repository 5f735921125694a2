//! Places that are moved, deleted or replaced under a collector.

use std::time::Duration;

use datastream_e2e::Database;
use tokio::time::{sleep, timeout};
use tokio_postgres::NoTls;

use super::collector::{Collector, folder};
use super::database::Postgres;
use super::half_open::HalfOpen;
use super::into_postgres::IntoPostgres;
use super::place::Place;
use super::support::PATIENCE;
use super::traffic::{gateway, post};

/// Waits until a place has exactly these events.
async fn holds(place: &Place, collector: &Collector, numbers: std::ops::Range<u64>) {
    let expected: Vec<_> = numbers.collect();
    let held = timeout(PATIENCE, async {
        while place.numbers().await != expected {
            sleep(Duration::from_millis(20)).await;
        }
    });
    if held.await.is_err() {
        let found = place.numbers().await;
        panic!("{found:?} instead of {expected:?}\n{}", collector.log());
    }
}

#[tokio::test]
async fn deleted_json_lines_files_are_detected_and_stored_again() {
    for start in ["", "    start: earliest"] {
        let (dev, url) = gateway(3).await;
        let folder = folder();
        let lines = Place::Jsonl(folder.path().join("lines"));
        let database = Place::Sqlite(folder.path().join("events.db"));
        let config = lines
            .stream(&url, start)
            .replace("}}", &format!("}}, {}}}", database.config()));
        let collector = Collector::start(folder.path(), &config);
        collector.reaches("connected", "all", 1).await;
        while !lines.has_begun().await || !database.has_begun().await {
            tokio::task::yield_now().await;
        }
        post(&dev, 0..50).await;
        collector.reaches("events_stored_total", "all", 50).await;
        std::fs::rename(folder.path().join("lines"), folder.path().join("moved")).unwrap();
        for file in ["events.db", "events.db-wal", "events.db-shm"] {
            std::fs::remove_file(folder.path().join(file)).unwrap();
        }
        post(&dev, 50..60).await;
        holds(&lines, &collector, 0..60).await;
        holds(&database, &collector, 0..60).await;
        assert!(collector.metric("store_losses_total", "all").await >= Some(2));
        assert!(collector.metric("store_errors_total", "all").await >= Some(2));
        let log = collector.log();
        assert!(log.contains("no longer there"), "{log}");
        assert_eq!(collector.get("/readyz").await.0, 200, "{log}");
        let (status, log) = collector.stop().await;
        assert!(status.success(), "{log}");
    }
}

#[tokio::test]
async fn an_empty_sqlite_file_is_reported_and_filled_again() {
    let (dev, url) = gateway(1).await;
    let folder = folder();
    let path = folder.path().join("events.db");
    let place = Place::Sqlite(path.clone());
    let config = place.stream(&url, "    start: earliest");
    let collector = Collector::start(folder.path(), &config);
    post(&dev, 0..5).await;
    collector.reaches("events_stored_total", "all", 5).await;
    let (status, log) = collector.stop().await;
    assert!(status.success() && !log.contains("is empty"), "{log}");
    std::fs::write(&path, "").unwrap();
    let collector = Collector::start(folder.path(), &config);
    holds(&place, &collector, 0..5).await;
    let log = collector.log();
    let said = log.lines().find(|line| line.contains("is empty")).unwrap();
    assert!(
        said.contains("WARN") && said.contains(path.to_str().unwrap()),
        "{log}"
    );
}

#[tokio::test]
async fn dropped_or_replaced_tables_are_filled_again() {
    let test = IntoPostgres::start(3).await;
    let collector = test.collector(&test.config());
    post(&test.dev, 0..50).await;
    collector.reaches("events_stored_total", "all", 50).await;
    for (number, damage) in [
        "DROP TABLE events, events_streams, events_gaps",
        "DELETE FROM events; DELETE FROM events_streams",
        "ALTER TABLE events RENAME TO old; ALTER TABLE events_streams RENAME TO old_streams",
    ]
    .into_iter()
    .enumerate()
    {
        test.execute(damage).await;
        let next = 50 + number as u64;
        post(&test.dev, next..next + 1).await;
        holds(&test.place, &collector, 0..next + 1).await;
    }
    assert_eq!(collector.metric("store_losses_total", "all").await, Some(3));
}

/// Simulates a host name that leads to another server, on which a backup was restored.
#[tokio::test]
async fn a_replaced_postgresql_server_gets_the_events_that_it_lacks() {
    let test = IntoPostgres::start(3).await;
    let url = &test.postgres().url;
    let file = test.folder.path().join("url");
    std::fs::write(&file, url).unwrap();
    let config = test
        .config()
        .replace(&format!("url: '{url}'"), "urlFile: url");
    let collector = test.collector(&config);
    post(&test.dev, 0..50).await;
    collector.reaches("events_stored_total", "all", 50).await;

    let other = Database::start().unwrap();
    let restored = Place::Postgres(Postgres::connect(&other).await, "events".to_owned());
    std::fs::write(&file, other.url()).unwrap();
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'datastream collect %'";
    test.execute(end).await;
    post(&test.dev, 50..51).await;
    holds(&restored, &collector, 0..51).await;
    assert_eq!(collector.metric("store_losses_total", "all").await, Some(1));
    collector.says("what was stored before seq").await;
}

#[tokio::test]
async fn a_collector_is_not_locked_out_by_its_own_abandoned_session() {
    let test = IntoPostgres::start(1).await;
    let (_, address) = test.postgres().url.split_once('@').unwrap();
    let (address, _) = address.split_once('/').unwrap();
    let proxy = HalfOpen::before(address.parse().unwrap()).await;
    let config = test.config().replace(address, &proxy.address.to_string());
    let collector = test.collector(&config);
    post(&test.dev, 0..5).await;
    collector.reaches("events_stored_total", "all", 5).await;
    proxy.forget();
    post(&test.dev, 5..6).await;
    collector.reaches("events_stored_total", "all", 6).await;
    assert_eq!(test.place.numbers().await, [0, 1, 2, 3, 4, 5]);
    collector
        .says("which holds a lock that nobody uses any more")
        .await;
}

/// Simulates a node that is cut off: its collector is gone, and the server does not know.
#[tokio::test]
async fn a_collector_is_not_locked_out_by_the_abandoned_session_of_another() {
    let test = IntoPostgres::start(1).await;
    let abandoned = format!(
        "{}?application_name=datastream%20collect%20elsewhere",
        test.postgres().url
    );
    let (abandoned, session) = tokio_postgres::connect(&abandoned, NoTls).await.unwrap();
    let session = tokio::spawn(session);
    let lock = "SELECT pg_advisory_lock(hashtextextended('datastream collect events all', 0))";
    abandoned.batch_execute(lock).await.unwrap();
    // In a transaction that is not over: what it has not committed must not come back.
    test.execute("CREATE TABLE uncommitted (number int)").await;
    let begin = "BEGIN; INSERT INTO uncommitted VALUES (1)";
    abandoned.batch_execute(begin).await.unwrap();

    let collector = test.collector(&test.config_with("abandonedAfter: 1s"));
    post(&test.dev, 0..5).await;
    collector.reaches("events_stored_total", "all", 5).await;
    let log = collector.log();
    assert!(
        log.contains("(datastream collect elsewhere, since ")
            && log.contains("which holds a lock that nobody uses any more"),
        "{log}"
    );
    assert!(session.await.unwrap().is_err());
    assert!(abandoned.batch_execute("COMMIT").await.is_err());
    let count = test
        .postgres()
        .texts("SELECT count(*)::text FROM uncommitted");
    assert_eq!(count.await, ["0"]);
}

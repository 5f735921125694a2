//! Stores that go away, and come back.

use std::time::Duration;

use datastream_e2e::Database;
use tokio::time::{sleep, timeout};

use super::collector::{Collector, folder, run};
use super::database::Postgres;
use super::into_postgres::IntoPostgres;
use super::place::Place;
use super::support::PATIENCE;
use super::traffic::{gateway, post};

#[tokio::test]
async fn an_outage_of_postgresql_neither_loses_nor_duplicates_events() {
    let (dev, url) = gateway(3).await;
    let mut server = Database::start().unwrap();
    let folder = folder();
    let place = Place::Postgres(Postgres::connect(&server).await, "app.events".to_owned());
    let Place::Postgres(client, _) = &place else {
        unreachable!()
    };
    client
        .client
        .batch_execute("CREATE SCHEMA app")
        .await
        .unwrap();
    let collector = Collector::start(folder.path(), &place.stream(&url, "    start: earliest"));
    let mut posted = 0;
    for _ in 0..3 {
        post(&dev, posted..posted + 300).await;
        server.crash();
        post(&dev, posted + 300..posted + 600).await;
        posted += 600;
        server.resume().unwrap();
        collector
            .reaches("events_stored_total", "all", posted)
            .await;
    }
    assert!(collector.metric("store_errors_total", "all").await > Some(0));
    let (status, log) = collector.stop().await;
    assert!(
        status.success() && log.contains("the store works again"),
        "{log}"
    );
    let place = Place::Postgres(Postgres::connect(&server).await, "app.events".to_owned());
    assert_eq!(place.numbers().await, (0..posted).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_read_only_postgresql_is_waited_for() {
    let all = IntoPostgres::start(1).await;
    all.execute("ALTER DATABASE postgres SET default_transaction_read_only = on")
        .await;
    let collector = all.collector(&all.config());
    post(&all.dev, 0..5).await;
    collector.says("read-only transaction").await;
    all.execute("ALTER DATABASE postgres RESET default_transaction_read_only")
        .await;
    collector.reaches("events_stored_total", "all", 5).await;
    assert_eq!(all.place.numbers().await, [0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn a_postgresql_that_is_down_is_waited_for_but_a_missing_database_is_an_error() {
    let (dev, url) = gateway(1).await;
    let mut server = Database::start().unwrap();
    let folder = folder();
    let place = Place::Postgres(Postgres::connect(&server).await, "events".to_owned());
    let config = place.stream(&url, "    start: earliest");
    let wrong = config.replace("/postgres'", "/nowhere'");
    let (success, text) = run(folder.path(), "wrong.yaml", &wrong).await;
    assert!(
        !success
            && text.contains("stream all: ")
            && text.contains("database \"nowhere\" does not exist"),
        "{text}"
    );

    server.crash();
    post(&dev, 0..10).await;
    let collector = Collector::start(folder.path(), &config);
    collector.says("trying again until it works").await;
    assert_eq!(collector.get("/readyz").await.0, 503);
    assert_eq!(collector.get("/livez").await.0, 200);
    server.resume().unwrap();
    collector.reaches("events_stored_total", "all", 10).await;
    assert_eq!(collector.get("/readyz").await.0, 200);
}

#[tokio::test]
async fn certificates_of_postgresql_are_verified() {
    let (dev, url) = gateway(1).await;
    let server = Database::start_with_tls().unwrap();
    let folder = folder();
    let place = Place::Postgres(Postgres::connect(&server).await, "events".to_owned());
    post(&dev, 0..10).await;
    let config = place
        .stream(&url, "    start: earliest")
        .replace("/postgres'", "/postgres?sslmode=require'");
    let (success, text) = run(folder.path(), "unknown.yaml", &config).await;
    assert!(
        !success && text.contains("invalid peer certificate"),
        "{text}"
    );

    let authority = format!(", caFile: {}, table", server.authority().display());
    let config = config.replace(", table", &authority);
    let collector = Collector::start(folder.path(), &config);
    collector.reaches("events_stored_total", "all", 10).await;
    let Place::Postgres(client, _) = &place else {
        unreachable!()
    };
    let query = "SELECT version FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE ssl AND application_name LIKE 'datastream collect %'";
    let sessions = client.texts(query).await;
    assert_eq!(sessions, ["TLSv1.3"]);
}

#[tokio::test]
async fn a_second_collector_of_a_stream_is_rejected_or_waits() {
    let (_dev, url) = gateway(1).await;
    let server = Database::start().unwrap();
    let folder = folder();
    for place in Place::all(folder.path(), &server).await {
        let config = place.stream(&url, "");
        let first = Collector::start(folder.path(), &config);
        first.reaches("store_open", "all", 1).await;
        let Place::Postgres(..) = place else {
            let (success, text) = run(folder.path(), "second.yaml", &config).await;
            assert!(!success && text.contains("another collector"), "{text}");
            first.kill().await;
            let next = Collector::start(folder.path(), &config);
            next.reaches("store_open", "all", 1).await;
            continue;
        };
        // The first one may have abandoned its session: the second says who has the lock, and gets it when it is gone.
        let second = Collector::start(folder.path(), &config);
        second
            .says("another collector stores stream \"all\": session ")
            .await;
        assert!(
            second.log().contains("(datastream collect "),
            "{}",
            second.log()
        );
        assert_eq!(second.get("/readyz").await.0, 503);
        first.reaches("store_open", "all", 1).await;
        first.kill().await;
        second.reaches("store_open", "all", 1).await;
    }
}

#[tokio::test]
async fn a_stop_while_the_store_hangs_is_timely_and_loses_nothing() {
    let test = IntoPostgres::start(1).await;
    let config = test.config();
    let collector = test.collector(&config);
    collector.reaches("connected", "all", 1).await;
    let lock = "BEGIN; LOCK TABLE events IN ACCESS EXCLUSIVE MODE";
    test.execute(lock).await;
    post(&test.dev, 0..5).await;
    let waiting = "SELECT wait_event_type FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    let other = Postgres::connect(&test.server).await;
    timeout(PATIENCE, async {
        while other.texts(waiting).await.is_empty() {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("the collector waits for the table");
    let (status, log) = collector.stop().await;
    assert!(
        !status.success() && log.contains("it will be sent again"),
        "{log}"
    );
    test.execute("COMMIT").await;
    let collector = test.collector(&config);
    collector.reaches("connected", "all", 1).await;
    timeout(PATIENCE, async {
        while test.place.numbers().await.len() < 5 {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("everything is stored");
    assert_eq!(test.place.numbers().await, [0, 1, 2, 3, 4]);
}

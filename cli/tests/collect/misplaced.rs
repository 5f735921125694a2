//! Places that are moved, deleted or replaced under a collector.

use std::time::Duration;

use datastream_e2e::Database;
use tokio::time::{sleep, timeout};

use super::collector::{Collector, folder};
use super::database::Postgres;
use super::half_open::HalfOpen;
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
async fn files_that_were_deleted_are_noticed_and_stored_again() {
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
async fn tables_that_were_dropped_or_replaced_are_stored_into_again() {
    let (dev, url) = gateway(3).await;
    let server = Database::start().unwrap();
    let folder = folder();
    let place = Place::Postgres(Postgres::connect(&server).await, "events".to_owned());
    let Place::Postgres(client, _) = &place else {
        unreachable!()
    };
    let collector = Collector::start(folder.path(), &place.stream(&url, "    start: earliest"));
    post(&dev, 0..50).await;
    collector.reaches("events_stored_total", "all", 50).await;
    for (number, damage) in [
        "DROP TABLE events, events_streams, events_gaps",
        "DELETE FROM events; DELETE FROM events_streams",
        "ALTER TABLE events RENAME TO old; ALTER TABLE events_streams RENAME TO old_streams",
    ]
    .into_iter()
    .enumerate()
    {
        client.client.batch_execute(damage).await.unwrap();
        let next = 50 + number as u64;
        post(&dev, next..next + 1).await;
        holds(&place, &collector, 0..next + 1).await;
    }
    assert_eq!(collector.metric("store_losses_total", "all").await, Some(3));
}

#[tokio::test]
async fn a_collector_is_not_locked_out_by_its_own_ghost() {
    let (dev, url) = gateway(1).await;
    let server = Database::start().unwrap();
    let folder = folder();
    let place = Place::Postgres(Postgres::connect(&server).await, "events".to_owned());
    let Place::Postgres(client, _) = &place else {
        unreachable!()
    };
    let (_, address) = client.url.split_once('@').unwrap();
    let (address, _) = address.split_once('/').unwrap();
    let proxy = HalfOpen::before(address.parse().unwrap()).await;
    let config = place
        .stream(&url, "    start: earliest")
        .replace(address, &proxy.address.to_string());
    let collector = Collector::start(folder.path(), &config);
    post(&dev, 0..5).await;
    collector.reaches("events_stored_total", "all", 5).await;
    proxy.forget();
    post(&dev, 5..6).await;
    collector.reaches("events_stored_total", "all", 6).await;
    assert_eq!(place.numbers().await, [0, 1, 2, 3, 4, 5]);
    collector
        .says("which holds a lock that nobody uses any more")
        .await;
}

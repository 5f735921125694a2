//! `kill -9` at any moment, again and again, with traffic flowing: every event is stored, and none twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::sleep;

use super::collector::{Collector, eventually, folder};
use super::database::Database;
use super::place::Place;
use super::traffic::{gateway, post};

/// How often the collector is killed, unless `DATASTREAM_KILLS` says more.
const ROUNDS: usize = 12;
/// How long it lives at most after it has read its configuration.
const LONGEST_LIFE_MS: u64 = 400;

fn rounds() -> usize {
    let more = std::env::var("DATASTREAM_KILLS").ok();
    more.map_or(ROUNDS, |rounds| rounds.parse().unwrap())
}

/// Kills collectors of this place until all rounds are over, then lets one catch up, and counts.
async fn survives(place: Place, partitions: u32, seed: u64) {
    let (dev, url) = gateway(partitions).await;
    let dev = Arc::new(dev);
    let folder = folder();
    let config = place.stream(&url, "");
    // From now on: the place knows where that is, once it says so.
    let collector = Collector::start(folder.path(), &config);
    collector.reaches("connected", "all", 1).await;
    while !place.has_begun().await {
        tokio::task::yield_now().await;
    }

    let (posted, over) = (
        Arc::new(AtomicU64::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let traffic = tokio::spawn({
        let (dev, posted, over) = (dev.clone(), posted.clone(), over.clone());
        async move {
            while !over.load(Ordering::Relaxed) {
                let from = posted.load(Ordering::Relaxed);
                post(&dev, from..from + 40).await;
                posted.store(from + 40, Ordering::Relaxed);
                sleep(Duration::from_millis(5)).await;
            }
        }
    });
    let mut random = StdRng::seed_from_u64(seed);
    let mut collector = Some(collector);
    let (mut stored, mut progress) = (0, 0);
    let rounds = rounds();
    for _ in 0..rounds {
        let collector = collector
            .take()
            .unwrap_or_else(|| Collector::start(folder.path(), &config));
        sleep(Duration::from_millis(
            random.random_range(0..LONGEST_LIFE_MS),
        ))
        .await;
        collector.kill().await;
        let now = place.events().await.len();
        progress += usize::from(now > stored);
        stored = now;
    }
    over.store(true, Ordering::Relaxed);
    traffic.await.unwrap();
    // Or the test would have shown nothing.
    assert!(
        progress > rounds / 4,
        "{progress} of {rounds} rounds stored anything"
    );

    let all = posted.load(Ordering::Relaxed);
    let last = Collector::start(folder.path(), &config);
    let missing = all - place.numbers().await.len() as u64;
    assert!(missing > 0 || stored as u64 == all);
    let caught_up = async {
        while (place.events().await.len() as u64) < all {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let done = tokio::time::timeout(super::support::PATIENCE, caught_up).await;
    let (status, log) = last.stop().await;
    assert!(done.is_ok() && status.success(), "seed {seed}: {log}");
    let expected: Vec<_> = (0..all).collect();
    assert_eq!(place.numbers().await, expected, "seed {seed}");
    assert!(eventually(|| Arc::strong_count(&dev) == 1).await);
}

#[tokio::test]
async fn json_lines_survive() {
    let folder = folder();
    survives(Place::Jsonl(folder.path().join("lines")), 3, 1).await;
}

#[tokio::test]
async fn sqlite_survives() {
    let folder = folder();
    survives(Place::Sqlite(folder.path().join("events.db")), 1, 2).await;
}

#[tokio::test]
async fn postgresql_survives() {
    let server = Database::start().await;
    let place = Place::Postgres(server.connect().await, "kills".to_owned());
    survives(place, 3, 3).await;
}

//! `kill -9` at any moment, again and again, with traffic flowing: every event is stored, and none twice.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use datastream_e2e::Database;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::sleep;

use super::collector::{Collector, eventually, folder};
use super::database::Postgres;
use super::place::Place;
use super::traffic::{gateway_that_resumes, post};

/// Number of times that the collector is killed, unless `DATASTREAM_KILLS` gives another.
const ROUNDS: usize = 12;
/// Longest life of a collector after it has read its configuration, in milliseconds.
const LONGEST_LIFE_MS: u64 = 400;

fn rounds() -> usize {
    let more = std::env::var("DATASTREAM_KILLS").ok();
    more.map_or(ROUNDS, |rounds| rounds.parse().unwrap())
}

/// The one who knows where the stream is before anything is stored.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begin {
    /// The position, as soon as the gateway has sent it.
    Place,
    /// The gateway, from the first connection on (`start: committed`, `resume: Committed`).
    Gateway,
}

/// Kills collectors of this place until all rounds are over, then lets one catch up, and counts.
async fn survives(place: Place, partitions: u32, begin: Begin, seed: u64) {
    let (resume, start) = match begin {
        Begin::Place => ("Latest", ""),
        Begin::Gateway => ("Committed", "    start: committed"),
    };
    let (dev, url) = gateway_that_resumes(partitions, resume).await;
    let dev = Arc::new(dev);
    let folder = folder();
    let config = place.stream(&url, start);
    let collector = Collector::start(folder.path(), &config);
    collector.reaches("connected", "all", 1).await;
    while begin == Begin::Place && !place.has_begun().await {
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
    let survived = place.numbers().await;
    let ascending = survived.windows(2).all(|pair| pair[0] < pair[1]);
    assert!(ascending, "seed {seed}: stored twice in {survived:?}");
    let last = Collector::start(folder.path(), &config);
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
async fn a_json_lines_store_survives_kills() {
    let folder = folder();
    let place = Place::Jsonl(folder.path().join("lines"));
    survives(place, 3, Begin::Place, 1).await;
}

#[tokio::test]
async fn a_sqlite_store_survives_kills() {
    let folder = folder();
    let place = Place::Sqlite(folder.path().join("events.db"));
    survives(place, 1, Begin::Place, 2).await;
}

#[tokio::test]
async fn a_json_lines_store_survives_kills_with_a_committed_position() {
    let folder = folder();
    let place = Place::Jsonl(folder.path().join("lines"));
    survives(place, 3, Begin::Gateway, 4).await;
}

#[tokio::test]
async fn a_sqlite_store_survives_kills_with_a_committed_position() {
    let folder = folder();
    let place = Place::Sqlite(folder.path().join("events.db"));
    survives(place, 3, Begin::Gateway, 5).await;
}

#[tokio::test]
async fn a_postgresql_store_survives_kills() {
    let server = Database::start().unwrap();
    let place = Place::Postgres(Postgres::connect(&server).await, "kills".to_owned());
    survives(place, 3, Begin::Place, 3).await;
}

/// The gateway resumes after what was acknowledged, and that was stored: this holds even if the store is lost as well.
#[tokio::test]
async fn events_that_no_store_has_were_not_acknowledged() {
    const PART: u64 = 200;
    const LOST_STORES: u64 = 6;
    let (dev, url) = gateway_that_resumes(3, "Committed").await;
    let mut random = StdRng::seed_from_u64(6);
    let mut stored = BTreeSet::new();
    let start = async |folder: &Path| {
        let place = Place::Sqlite(folder.join("events.db"));
        let collector = Collector::start(folder, &place.stream(&url, "    start: committed"));
        collector.reaches("connected", "all", 1).await;
        (place, collector)
    };
    for round in 0..LOST_STORES {
        let folder = folder();
        let (place, collector) = start(folder.path()).await;
        post(&dev, round * PART..(round + 1) * PART).await;
        // Whoever wants the stream, too, makes the gateway ask for a sign of life, which acknowledges.
        for _ in 0..random.random_range(1..6) {
            let taken = tokio_tungstenite::connect_async(&url).await;
            assert!(taken.is_err(), "a second stream of the subscription");
        }
        collector.kill().await;
        stored.extend(place.numbers().await);
    }
    let folder = folder();
    let (place, collector) = start(folder.path()).await;
    let all = LOST_STORES * PART;
    post(&dev, all..all + 1).await;
    let mut last = vec![];
    let rest = async {
        while last.last() != Some(&all) {
            sleep(Duration::from_millis(20)).await;
            last = place.numbers().await;
        }
    };
    let rest = tokio::time::timeout(super::support::PATIENCE, rest).await;
    assert!(rest.is_ok(), "{}", collector.log());
    // Or nothing was acknowledged, and the test has shown nothing.
    assert!((last.len() as u64) < all, "everything came again");
    collector.stop().await;
    stored.extend(place.numbers().await);
    assert!(stored.into_iter().eq(0..=all));
}

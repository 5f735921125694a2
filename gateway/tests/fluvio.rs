//! The whole way: the real client into the embedded broker (or the cluster that `FLUVIO_ADDR` names), a gateway, a client.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use common::batch::batch;
use common::topic::event;
use common::{PATIENCE, TestGateway, key, route_of};
use datastream_broker::{BatchDamage, Broker, BrokerOptions, Role};
use datastream_routing::{Heartbeat, Resume, Route};
use datastream_source::fluvio::{FluvioCursorLog, FluvioSource};
use datastream_source::{EventSource as _, Record, SourceError, cursors_topic};
use fluvio::metadata::topic::TopicSpec;
use fluvio::{Compression, Fluvio, FluvioConfig, TopicProducerConfigBuilder};
use futures_util::StreamExt as _;

/// A broker of the test's own, or the cluster that `FLUVIO_ADDR` names, with a fresh topic.
async fn fluvio(partitions: u32) -> (Option<Broker>, String, String) {
    // Tests run in one process and at the same time.
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let topic = format!("gateway-{}-{number}", std::process::id());
    if let Ok(address) = std::env::var("FLUVIO_ADDR") {
        let client = Fluvio::connect_with_config(&FluvioConfig::new(address.clone()))
            .await
            .unwrap();
        let spec = TopicSpec::new_computed(partitions, 1, None);
        client
            .admin()
            .await
            .create(topic.clone(), false, spec)
            .await
            .unwrap();
        return (None, address, topic);
    }
    let broker = Broker::start(BrokerOptions::default()).await.unwrap();
    broker.create_topic(&topic, partitions).unwrap();
    let address = broker.address().to_string();
    (Some(broker), address, topic)
}

async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what)
        .await
        .expect("done in time")
}

/// Produces numbered events, every tenth one of device A, and waits until they are stored.
async fn produce(address: &str, topic: &str, numbers: std::ops::Range<usize>) {
    let client = Fluvio::connect_with_config(&FluvioConfig::new(address))
        .await
        .unwrap();
    let config = TopicProducerConfigBuilder::default()
        .batch_size(1 << 18)
        .build()
        .unwrap();
    let producer = loop {
        // The client hears of a new topic a moment later.
        match client
            .topic_producer_with_config(topic, config.clone())
            .await
        {
            Ok(producer) => break producer,
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    for number in numbers {
        let dsn = if number % 10 == 0 { "A" } else { "B" };
        producer.send("key", event(dsn, number)).await.unwrap();
        if number % 10_000 == 9_999 {
            // On a full queue the client spins in one poll, and a task that waits behind it on its worker never runs.
            within(producer.flush()).await.unwrap();
        }
    }
    within(producer.flush()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_matching_one_of_200_000_records_arrives_once() {
    const COUNT: usize = 200_000;
    let (_broker, address, topic) = fluvio(1).await;
    let source = Arc::new(FluvioSource::new(&address, &topic));
    let routes = vec![route_of("live", &["A"]), route_of("replay", &["A"])];
    let gateway = TestGateway::start_on(source, routes).await;
    produce(&address, &topic, 0..1000).await;
    gateway.metric_reaches("records_total", 1000.0).await;
    let (mut live, mut replay) = (
        gateway.connect("live", "").await,
        gateway.connect("replay", "&seq_start=1").await,
    );
    gateway.metric_reaches("streams{state=\"live\"}", 2.0).await;
    let producing = tokio::spawn(async move { produce(&address, &topic, 1000..COUNT).await });
    let expected: Vec<_> = (0..COUNT).step_by(10).collect();
    let receive = tokio::join!(
        live.numbers(expected.len() - 100),
        replay.numbers(expected.len())
    );
    assert!(
        receive.0 == expected[100..],
        "the live stream has gaps, duplicates or another order"
    );
    assert!(
        receive.1 == expected,
        "the replayed stream has gaps, duplicates or another order"
    );
    producing.await.unwrap();
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_the_broker_loses_nothing() {
    let mut broker = Broker::start(BrokerOptions::default()).await.unwrap();
    broker.create_topic("t", 1).unwrap();
    let address = broker.address().to_string();
    let source = Arc::new(FluvioSource::new(&address, "t"));
    let gateway = TestGateway::start_on(source, vec![route_of("a", &["A"])]).await;
    let mut client = gateway.connect("a", "").await;
    gateway.metric_reaches("streams{state=\"live\"}", 1.0).await;
    for (round, role) in [Role::Spu, Role::Sc, Role::Spu].into_iter().enumerate() {
        let numbers = round * 100..(round + 1) * 100;
        produce(&address, "t", numbers.start..numbers.start + 50).await;
        broker.down(role).await;
        broker.drop_connections(Role::Spu);
        broker.up(role).await.unwrap();
        broker.tear_answers(1);
        produce(&address, "t", numbers.start + 50..numbers.end).await;
        assert_eq!(
            client.numbers(10).await,
            numbers.step_by(10).collect::<Vec<_>>()
        );
    }
    gateway.stop().await;
}

/// Simulates the time after a unit was killed: the controller hears nothing of it, it leads nothing yet, and it holds back its last records,
/// which readers have seen before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_valid_seq_is_not_refused_permanently_after_a_unit_was_killed() {
    let broker = Broker::start(BrokerOptions::default()).await.unwrap();
    broker.create_topic("t", 1).unwrap();
    let address = broker.address().to_string();
    let source = Arc::new(FluvioSource::new(&address, "t"));
    let gateway = TestGateway::start_on(source, vec![route_of("a", &["A", "B"])]).await;
    produce(&address, "t", 0..5).await;
    gateway.metric_reaches("records_total", 5.0).await;
    broker.hold_reports(true);
    broker.hold_high_watermark(true);
    produce(&address, "t", 5..10).await;

    let from = |number: usize| format!("stream_key={}&seq_start={number}", key("a"));
    assert_eq!(gateway.refused(&from(12)).await.0, 400);
    broker.disown(true);
    broker.drop_connections(Role::Spu);
    for number in [8, 12] {
        assert_eq!(gateway.refused(&from(number)).await.0, 503);
    }
    broker.disown(false);
    let mut client = gateway.connect("a", "&seq_start=8").await;
    broker.hold_high_watermark(false);
    assert_eq!(client.numbers(3).await, [7, 8, 9]);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_topic_of_committed_positions_is_created_if_missing() {
    let (_broker, address, topic) = fluvio(2).await;
    let route = Route {
        resume: Resume::Committed,
        heartbeat: Heartbeat {
            interval_seconds: 1,
            missed_limit: 10,
        },
        ..route_of("a", &["A"])
    };
    let start = async || {
        let source = Arc::new(FluvioSource::new(&address, &topic));
        let cursors = Arc::new(FluvioCursorLog::new(&address, cursors_topic(&topic)));
        TestGateway::start_on_both(source, cursors, vec![route.clone()]).await
    };
    let first = start().await;
    let mut client = first.connect("a", "").await;
    first.metric_reaches("streams{state=\"live\"}", 1.0).await;
    produce(&address, &topic, 0..500).await;
    assert_eq!(client.numbers(50).await.len(), 50);
    let answering = tokio::spawn(client.answering());
    // Where it started, and what was acknowledged.
    first.metric_reaches("cursors_written_total", 2.0).await;
    answering.abort();
    first.stop().await;
    produce(&address, &topic, 500..1000).await;
    let second = start().await;
    let mut client = second.connect("a", "").await;
    let expected: Vec<_> = (500..1000).step_by(10).collect();
    assert_eq!(client.numbers(50).await, expected);
    second.stop().await;
}

const DAMAGED_PARTITIONS: usize = 3;

/// Appends a good batch to every partition, compressed in each way in turn, after a damaged one of every kind in turn. The numbers
/// of partition p are p, p + 3, and so on; each was taken a second after the one before it in its partition.
fn damaged_and_good(broker: &Broker, rounds: std::ops::Range<usize>) {
    const COMPRESSIONS: [Compression; 5] = [
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ];
    for round in rounds {
        for partition in 0..DAMAGED_PARTITIONS {
            let damage = BatchDamage::ALL[(round + partition) % BatchDamage::ALL.len()];
            broker
                .append_damaged("t", partition as u32, damage)
                .unwrap();
            let number = round * DAMAGED_PARTITIONS + partition;
            let good = batch(
                &[event("A", number)],
                COMPRESSIONS[round % COMPRESSIONS.len()],
                1_000_000 + 1_000 * round as i64,
            );
            broker.append_raw("t", partition as u32, &good).unwrap();
        }
    }
}

/// Groups the numbers that came by partition.
fn by_partition(numbers: &[usize]) -> Vec<Vec<usize>> {
    let of = |p| {
        let of = |n: &&usize| *n % DAMAGED_PARTITIONS == p;
        numbers.iter().filter(of).copied().collect()
    };
    (0..DAMAGED_PARTITIONS).map(of).collect()
}

fn all_of(rounds: std::ops::Range<usize>) -> Vec<Vec<usize>> {
    let numbers = rounds.start * DAMAGED_PARTITIONS..rounds.end * DAMAGED_PARTITIONS;
    by_partition(&numbers.collect::<Vec<_>>())
}

async fn damaged_topic() -> (Broker, Arc<FluvioSource>) {
    let broker = Broker::start(BrokerOptions::default()).await.unwrap();
    broker.create_topic("t", DAMAGED_PARTITIONS as u32).unwrap();
    let source = Arc::new(FluvioSource::new(broker.address().to_string(), "t"));
    (broker, source)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exactly_the_damaged_batches_are_skipped_live_in_replays_and_after_a_restart() {
    let (broker, source) = damaged_topic().await;
    let routes = || vec![route_of("live", &["A"]), route_of("replay", &["A"])];
    let first = TestGateway::start_on(source.clone(), routes()).await;
    let mut live = first.connect("live", "").await;
    first.metric_reaches("streams{state=\"live\"}", 1.0).await;
    damaged_and_good(&broker, 0..12);
    let got = live.numbers(12 * DAMAGED_PARTITIONS).await;
    assert_eq!(by_partition(&got), all_of(0..12));
    // 36 damaged batches of three records, six of each kind.
    for (reason, count) in [("batch_not_decompressed", 18), ("batch_unknown_codec", 18)] {
        let name = format!("records_skipped_total{{reason=\"{reason}\"}}");
        assert_eq!(first.metric(&name).await as u64, count, "{reason}");
    }
    // Of counts, garbage and ends that are wrong; a length that is too long is seen as cut when nothing follows yet.
    let malformed = first
        .metric("records_skipped_total{reason=\"batch_malformed\"}")
        .await;
    assert!(malformed >= 54.0, "{malformed}");

    // From memory, and on live.
    let mut replay = first.connect("replay", "&seq_start=0").await;
    let got = replay.numbers(12 * DAMAGED_PARTITIONS).await;
    assert_eq!(by_partition(&got), all_of(0..12));
    damaged_and_good(&broker, 12..18);
    let got = replay.numbers(6 * DAMAGED_PARTITIONS).await;
    assert_eq!(by_partition(&got), all_of(12..18));
    first.stop().await;

    // From the topic.
    damaged_and_good(&broker, 18..24);
    let second = TestGateway::start_on(source, routes()).await;
    let mut replay = second.connect("replay", "&seq_start=0").await;
    let got = replay.numbers(24 * DAMAGED_PARTITIONS).await;
    assert_eq!(by_partition(&got), all_of(0..24));
    // The search for a time, and a replay with an end, do not stop at what cannot be read.
    let time = "&time_start=1970-01-01T00:16:55.500Z";
    let mut late = second.connect("live", time).await;
    let got = late.numbers(8 * DAMAGED_PARTITIONS).await;
    assert_eq!(by_partition(&got), all_of(16..24));
    damaged_and_good(&broker, 24..26);
    let got = late.numbers(2 * DAMAGED_PARTITIONS).await;
    assert_eq!(by_partition(&got), all_of(24..26));
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_batches_that_come_together_are_handed_on_together_up_to_what_cannot_be_read() {
    const EACH: usize = 100;
    let (broker, source) = damaged_topic().await;
    let append = |numbers: std::ops::Range<usize>| {
        for number in numbers {
            let compression = [Compression::None, Compression::Zstd][number % 2];
            let one = batch(&[event("A", number)], compression, 1_000);
            broker.append_raw("t", 0, &one).unwrap();
        }
    };
    append(0..EACH);
    broker.append_damaged("t", 0, BatchDamage::NotGzip).unwrap();
    append(EACH..2 * EACH);
    let mut stream = source.replay(0, 0, 1 << 20).await.unwrap();
    let mut next = async || within(stream.next()).await.unwrap();
    let offsets = |records: Vec<Record>| records.iter().map(|r| r.offset).collect::<Vec<_>>();
    let first: Vec<_> = (0..EACH as u64).collect();
    assert_eq!(offsets(next().await.unwrap()), first);
    let Err(SourceError::Unreadable(place)) = next().await else {
        panic!("read, although it is damaged");
    };
    assert_eq!(place.first, EACH as u64);
    let second: Vec<_> = (place.next..place.next + EACH as u64).collect();
    assert_eq!(offsets(next().await.unwrap()), second);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_larger_than_a_fetch_are_fetched_with_the_size_they_need() {
    let (broker, source) = damaged_topic().await;
    let routes = vec![route_of("live", &["A"]), route_of("replay", &["A"])];
    let gateway = TestGateway::start_on(source.clone(), routes.clone()).await;
    let mut live = gateway.connect("live", "").await;
    gateway.metric_reaches("streams{state=\"live\"}", 1.0).await;
    let small = |number| batch(&[event("A", number)], Compression::None, 1);
    // A record larger than is served, records that decompress to more than usual, a batch larger than a usual answer.
    let filled = |kib: usize| event(&"B".repeat(kib << 10), 0);
    let batches = [
        batch(&[filled(3_000)], Compression::None, 1),
        small(0),
        batch(&vec![filled(900); 20], Compression::Gzip, 1),
        small(1),
        batch(&vec![filled(900); 7], Compression::None, 1),
        small(2),
    ];
    for batch in &batches {
        broker.append_raw("t", 0, batch).unwrap();
    }
    assert_eq!(live.numbers(3).await, [0, 1, 2]);
    gateway.metric_reaches("records_total", 31.0).await;
    // Nobody waited for something that was there.
    let reopened = gateway.metric("source_reopened{partition=\"0\"}").await;
    assert_eq!(reopened as u64, 0);
    gateway.stop().await;

    let gateway = TestGateway::start_on(source, routes).await;
    let mut replay = gateway.connect("replay", "&seq_start=0").await;
    assert_eq!(replay.numbers(3).await, [0, 1, 2]);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_that_the_broker_has_lost_are_reported_and_skipped() {
    let dir = tempfile::tempdir().unwrap();
    let journal = dir.path().join("journal");
    let start = async || {
        let options = BrokerOptions {
            journal: Some(journal.clone()),
            ..BrokerOptions::default()
        };
        Broker::start(options).await.unwrap()
    };
    let broker = start().await;
    broker.create_topic("t", 1).unwrap();
    let mut ends = vec![];
    for number in 0..3 {
        let batch = batch(&[event("A", number)], Compression::None, 1);
        broker.append_raw("t", 0, &batch).unwrap();
        ends.push(std::fs::metadata(&journal).unwrap().len() as usize);
    }
    drop(broker);
    let mut bytes = std::fs::read(&journal).unwrap();
    bytes[ends[1] - 1] ^= 1;
    std::fs::write(&journal, bytes).unwrap();
    let broker = start().await;
    let source = Arc::new(FluvioSource::new(broker.address().to_string(), "t"));
    let gateway = TestGateway::start_on(source, vec![route_of("a", &["A"])]).await;
    let mut client = gateway.connect("a", "&seq_start=1").await;
    assert_eq!(client.numbers(2).await, [0, 2]);
    gateway.stop().await;
}

/// Reads a partition to `end`: the offsets of what can be read, and those of what cannot.
async fn read_to(source: &FluvioSource, max_bytes: u32, end: u64) -> (Vec<u64>, Vec<u64>) {
    let (mut read, mut unreadable, mut next) = (vec![], vec![], 0);
    let mut stream = source.replay(0, 0, max_bytes).await.unwrap();
    while next < end {
        match within(stream.next()).await.unwrap() {
            Ok(records) => {
                read.extend(records.iter().map(|record| record.offset));
                next = read.last().map_or(next, |last| last + 1);
            }
            Err(SourceError::Unreadable(place)) => {
                assert_eq!(place.first, next, "{place}");
                unreadable.extend(place.first..place.next);
                next = place.next;
            }
            Err(error) => panic!("at {next}: {error}"),
        }
    }
    (read, unreadable)
}

/// The header says another last offset: of its own batch, of those behind, of none in the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_with_a_wrong_last_offset_costs_no_other_one() {
    const RECORDS: u64 = 3;
    const BATCHES: u64 = 5;
    let records: Vec<_> = (0..RECORDS as usize).map(|n| event("A", n)).collect();
    for compression in [Compression::None, Compression::Gzip] {
        let good = batch(&records, compression, 1);
        let size = good.len() as u32;
        for wrong in [0, 2, BATCHES - 1] {
            let first = wrong * RECORDS;
            for last_delta in [0, 1, 3, 5, 8, 12, 1_000, i32::MAX] {
                let (broker, source) = damaged_topic().await;
                for _ in 0..BATCHES {
                    broker.append_raw("t", 0, &good).unwrap();
                }
                assert!(broker.misnumber("t", 0, first, last_delta));
                // All in one answer, one batch in each, and batches that are cut in their headers.
                for max_bytes in [1 << 20, size, size + 20] {
                    let end = BATCHES * RECORDS;
                    let (read, unreadable) = read_to(&source, max_bytes, end).await;
                    let case = format!("{compression} {wrong} {last_delta} {max_bytes}");
                    let damaged = first..first + RECORDS;
                    let (lost, others): (Vec<_>, Vec<_>) =
                        (0..end).partition(|offset| damaged.contains(offset));
                    assert_eq!((unreadable, read), (lost, others), "{case}");
                }
            }
        }
    }
}

/// The records of one cannot be counted, and an answer may end just behind it, or behind both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_batches_side_by_side_cost_no_other_one() {
    let records: Vec<_> = (0..3).map(|n| event("A", n)).collect();
    let good = batch(&records, Compression::None, 1);
    let size = good.len() as u32;
    for (wrong, last_delta) in [(0, 5), (0, 8), (3, 5), (3, 1_000), (3, i32::MAX)] {
        let (broker, source) = damaged_topic().await;
        broker.append_raw("t", 0, &good).unwrap();
        broker.append_damaged("t", 0, BatchDamage::NotGzip).unwrap();
        broker.append_raw("t", 0, &good).unwrap();
        assert!(broker.misnumber("t", 0, wrong, last_delta));
        let (lost, others): (Vec<_>, Vec<_>) =
            (0..9).partition(|offset| (wrong..6).contains(offset));
        for max_bytes in (size..size + 200).chain([1 << 20]) {
            let (read, unreadable) = read_to(&source, max_bytes, 9).await;
            let case = format!("{wrong} {last_delta} {max_bytes}");
            assert_eq!((&unreadable, &read), (&lost, &others), "{case}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_says_to_end_before_it_begins_is_reported_once_others_follow() {
    let (broker, source) = damaged_topic().await;
    let good = batch(&[event("A", 0), event("A", 1)], Compression::None, 1);
    for _ in 0..3 {
        broker.append_raw("t", 0, &good).unwrap();
    }
    assert!(broker.misnumber("t", 0, 2, -1));
    let found = read_to(&source, 1 << 20, 6).await;
    assert_eq!(found, (vec![0, 1, 4, 5], vec![2, 3]));
}

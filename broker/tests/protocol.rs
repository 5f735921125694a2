//! The broker against the real client, in one process, each test with ports of its own. With `FLUVIO_ADDR` set, the
//! tests that need no faults run against that cluster instead.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use datastream_broker::{Broker, BrokerOptions, Role, TopicError};
use fluvio::consumer::{
    ConsumerConfigExtBuilder, ConsumerStream as _, OffsetManagementStrategy, RetryMode,
};
use fluvio::dataplane::link::ErrorCode;
use fluvio::metadata::partition::PartitionSpec;
use fluvio::metadata::topic::TopicSpec;
use fluvio::{Fluvio, FluvioConfig, Offset, TopicProducerPool};
use futures_util::{Stream, StreamExt};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(20);

async fn client(address: impl ToString) -> Fluvio {
    let config = FluvioConfig::new(address.to_string());
    tokio::time::timeout(PATIENCE, Fluvio::connect_with_config(&config))
        .await
        .expect("connects in time")
        .unwrap()
}

/// A broker; on a journal that another one had, as soon as the tasks of that one have ended.
async fn start(options: BrokerOptions) -> (Broker, Fluvio) {
    let broker = retry(async || Broker::start(options.clone()).await).await;
    let client = client(broker.address()).await;
    (broker, client)
}

/// A broker, or the cluster that `FLUVIO_ADDR` names, with a fresh topic.
async fn with_topic(partitions: u32) -> (Option<Broker>, Fluvio, String) {
    let (broker, client) = if let Ok(address) = std::env::var("FLUVIO_ADDR") {
        (None, client(address).await)
    } else {
        let (broker, client) = start(BrokerOptions::default()).await;
        (Some(broker), client)
    };
    let topic = format!(
        "test-{:x}",
        u128::from(std::process::id()) * 1_000_000 + now()
    );
    client
        .admin()
        .await
        .create(
            topic.clone(),
            false,
            TopicSpec::new_computed(partitions, 1, None),
        )
        .await
        .unwrap();
    (broker, client, topic)
}

fn now() -> u128 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_micros()
}

/// The client hears of a new topic, and of a lost connection, a moment later: tried again until the deadline.
async fn retry<T, E: std::fmt::Display>(mut attempt: impl AsyncFnMut() -> Result<T, E>) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(error) => assert!(tokio::time::Instant::now() < deadline, "{error:#}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn producer(client: &Fluvio, topic: &str) -> TopicProducerPool {
    retry(async || client.topic_producer(topic).await).await
}

type Records =
    std::pin::Pin<Box<dyn Stream<Item = Result<fluvio::consumer::Record, ErrorCode>> + Send>>;

async fn open(client: &Fluvio, topic: &str, partition: u32, from: i64, max_bytes: i32) -> Records {
    let config = ConsumerConfigExtBuilder::default()
        .topic(topic)
        .partition(partition)
        .offset_start(Offset::absolute(from).unwrap())
        .max_bytes(max_bytes)
        .retry_mode(RetryMode::Disabled)
        .build()
        .unwrap();
    Box::pin(retry(async || client.consumer_with_config(config.clone()).await).await)
}

async fn next(records: &mut Records) -> Result<(i64, Vec<u8>), ErrorCode> {
    let record = tokio::time::timeout(PATIENCE, records.next())
        .await
        .expect("a record in time")
        .expect("no end");
    record.map(|r| (r.offset(), r.value().to_vec()))
}

async fn fill(client: &Fluvio, topic: &str, count: usize) {
    let producer = producer(client, topic).await;
    for number in 0..count {
        producer
            .send("key", format!("value {number}"))
            .await
            .unwrap();
    }
    producer.flush().await.unwrap();
}

#[tokio::test]
async fn records_are_read_back_in_the_order_in_which_they_were_produced() {
    let (_broker, client, topic) = with_topic(2).await;
    fill(&client, &topic, 1000).await;
    let admin = client.admin().await;
    // Where the logs end is known a moment later.
    let ends = retry(async || {
        let partitions = admin.all::<PartitionSpec>().await?;
        let ours = partitions
            .iter()
            .filter(|p| p.name.starts_with(&format!("{topic}-")));
        let ends: Vec<_> = ours
            .map(|p| (p.name.clone(), p.status.leader.leo, p.status.leader.hw))
            .collect();
        let total: i64 = ends.iter().map(|(_, end, _)| end).sum();
        anyhow::ensure!(
            total == 1000 && ends.iter().all(|(_, end, committed)| end == committed),
            "{ends:?}"
        );
        Ok(ends)
    })
    .await;
    for (name, end, _) in ends {
        let partition = name.rsplit_once('-').unwrap().1.parse().unwrap();
        if end > 0 {
            let mut records = open(&client, &topic, partition, 0, 1 << 20).await;
            for offset in 0..end {
                assert_eq!(next(&mut records).await.unwrap().0, offset);
            }
        }
    }
}

#[tokio::test]
async fn a_reader_that_counts_offsets_gets_every_record_of_truncated_responses() {
    const COUNT: i64 = 20_000;
    let (_broker, client, topic) = with_topic(1).await;
    fill(&client, &topic, COUNT as usize).await;
    let (mut expected, mut reopened) = (0, 0);
    let mut records = open(&client, &topic, 0, 0, 20_000).await;
    while expected < COUNT {
        // A reader that trusts the stream would wait for ever for what was cut off the very end.
        match tokio::time::timeout(Duration::from_secs(2), records.next()).await {
            Ok(Some(Ok(record))) if record.offset() == expected => expected += 1,
            _ => {
                reopened += 1;
                records = open(&client, &topic, 0, expected, 20_000).await;
            }
        }
    }
    assert!(
        reopened > 0,
        "no answer was cut: the trap that this broker is to reproduce is gone"
    );
}

#[tokio::test]
async fn reads_outside_the_log_get_an_out_of_range_error() {
    let (broker, client) = start(BrokerOptions::default()).await;
    broker.create_topic("t", 1).unwrap();
    assert_eq!(
        broker.create_topic("t", 1),
        Err(TopicError::Exists("t".to_owned()))
    );
    for _ in 0..3 {
        fill(&client, "t", 10).await;
    }
    let mut past = open(&client, "t", 0, 999, 1 << 20).await;
    assert!(
        matches!(next(&mut past).await, Err(ErrorCode::Other(reason)) if reason.contains("greater than leo: 30"))
    );
    broker.evict("t", 0, 10).unwrap();
    let mut evicted = open(&client, "t", 0, 0, 1 << 20).await;
    match next(&mut evicted).await {
        Err(ErrorCode::OffsetEvicted { next_available, .. }) => {
            assert!((1..=10).contains(&next_available));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn topics_are_created_listed_and_deleted() {
    let (_broker, client, topic) = with_topic(1).await;
    let admin = client.admin().await;
    assert!(
        admin
            .all::<TopicSpec>()
            .await
            .unwrap()
            .iter()
            .any(|t| t.name == topic)
    );
    let again = admin
        .create(topic.clone(), false, TopicSpec::new_computed(1, 1, None))
        .await
        .unwrap_err();
    assert!(again.to_string().contains("already exists"), "{again:#}");
    let invalid = admin
        .create(
            "No Good".to_owned(),
            false,
            TopicSpec::new_computed(1, 1, None),
        )
        .await
        .unwrap_err();
    assert!(
        invalid.to_string().contains("Invalid topic name"),
        "{invalid:#}"
    );
    admin.delete::<TopicSpec>(topic.as_str()).await.unwrap();
    retry(async || {
        let topics = admin.all::<TopicSpec>().await?;
        anyhow::ensure!(topics.iter().all(|t| t.name != topic), "still there");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn consumer_offsets_are_kept() {
    let (_broker, client, topic) = with_topic(1).await;
    fill(&client, &topic, 20).await;
    let config = ConsumerConfigExtBuilder::default()
        .topic(topic.as_str())
        .offset_consumer("reader".to_owned())
        .offset_start(Offset::beginning())
        .offset_strategy(OffsetManagementStrategy::Manual)
        .build()
        .unwrap();
    let mut first = retry(async || client.consumer_with_config(config.clone()).await).await;
    for _ in 0..5 {
        first.next().await.unwrap().unwrap();
    }
    first.offset_commit().await.unwrap();
    first.offset_flush().await.unwrap();
    drop(first);
    let stored = client.consumer_offsets().await.unwrap();
    assert!(
        stored
            .iter()
            .any(|c| c.consumer_id == "reader" && c.offset == 4),
        "{stored:?}"
    );
    let mut second = client.consumer_with_config(config).await.unwrap();
    assert_eq!(second.next().await.unwrap().unwrap().offset(), 5);
    client
        .delete_consumer_offset("reader", (topic, 0))
        .await
        .unwrap();
    assert!(
        client
            .consumer_offsets()
            .await
            .unwrap()
            .iter()
            .all(|c| c.consumer_id != "reader")
    );
}

#[tokio::test]
async fn data_survives_restarts_on_other_ports() {
    let dir = tempfile::tempdir().unwrap();
    let journal = dir.path().join("journal");
    let options = BrokerOptions {
        journal: Some(journal.clone()),
        ..BrokerOptions::default()
    };
    {
        let (mut broker, client) = start(options.clone()).await;
        broker.create_topic("t", 1).unwrap();
        fill(&client, "t", 50).await;
        broker.down(Role::Spu).await;
        broker.up(Role::Spu).await.unwrap();
        let mut records = open(&client, "t", 0, 0, 1 << 20).await;
        assert_eq!(next(&mut records).await.unwrap().1, b"value 0");
    }
    // Killed in the middle of a write.
    let length = std::fs::metadata(&journal).unwrap().len();
    std::fs::OpenOptions::new()
        .write(true)
        .open(&journal)
        .unwrap()
        .set_len(length - 3)
        .unwrap();
    let (_broker, client) = start(options).await;
    fill(&client, "t", 1).await;
    let mut records = open(&client, "t", 0, 0, 1 << 20).await;
    assert_eq!(next(&mut records).await.unwrap().0, 0);
}

#[tokio::test]
async fn a_journal_is_free_as_soon_as_its_broker_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let options = BrokerOptions {
        journal: Some(dir.path().join("journal")),
        ..BrokerOptions::default()
    };
    let mut clients = vec![];
    for round in 0..20 {
        // Their connections are open, and no task gets a turn between the two brokers.
        let broker = Broker::start(options.clone()).await.unwrap();
        let address = broker.address();
        for _ in 0..10 {
            clients.push(TcpStream::connect(address).await.unwrap());
        }
        assert_eq!(broker.create_topic("t", 1).is_ok(), round == 0);
    }
}

#[tokio::test]
async fn evicted_records_stay_evicted_unless_forget_evictions_is_set() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = BrokerOptions {
        journal: Some(dir.path().join("journal")),
        ..BrokerOptions::default()
    };
    let (broker, client) = start(options.clone()).await;
    broker.create_topic("t", 1).unwrap();
    for _ in 0..3 {
        fill(&client, "t", 10).await;
    }
    let evicted = broker.evict("t", 0, 25).unwrap().unwrap();
    assert!((1..=25).contains(&evicted));
    assert_eq!(broker.evict("none", 0, 25).unwrap(), None);
    drop(broker);
    for (forget, first) in [(false, evicted), (true, 0)] {
        options.forget_evictions = forget;
        let (broker, client) = start(options.clone()).await;
        assert_eq!(broker.evict("t", 0, 0).unwrap(), Some(first));
        let mut records = open(&client, "t", 0, first as i64, 1 << 20).await;
        assert_eq!(next(&mut records).await.unwrap().0, first as i64);
    }
}

#[tokio::test]
async fn retention_drops_the_oldest_batches() {
    let options = BrokerOptions {
        retention_bytes: Some(2_000),
        ..BrokerOptions::default()
    };
    let (broker, client) = start(options).await;
    broker.create_topic("t", 1).unwrap();
    for _ in 0..20 {
        fill(&client, "t", 20).await;
    }
    let start = retry(async || {
        let partitions = client.admin().await.all::<PartitionSpec>().await?;
        let partition = partitions.into_iter().find(|p| p.name == "t-0");
        let status = partition
            .map(|p| p.status)
            .filter(|s| s.base_offset > 0 && s.leader.leo == 400);
        status
            .map(|s| s.base_offset)
            .ok_or_else(|| anyhow::anyhow!("nothing dropped"))
    })
    .await;
    let mut records = open(&client, "t", 0, start, 1 << 20).await;
    assert_eq!(next(&mut records).await.unwrap().0, start);
}

#[tokio::test]
async fn a_producer_fails_after_a_lost_connection_and_a_new_one_works() {
    let (broker, client) = start(BrokerOptions::default()).await;
    broker.create_topic("t", 1).unwrap();
    broker.set_reset(true);
    let old = producer(&client, "t").await;
    broker.lose_acks(1);
    let sent = old
        .send("key", "stored but not acknowledged")
        .await
        .unwrap();
    old.flush().await.ok();
    assert!(
        tokio::time::timeout(PATIENCE, sent.wait())
            .await
            .expect("an answer in time")
            .is_err()
    );
    let client = self::client(broker.address()).await;
    fill(&client, "t", 1).await;
    let mut records = open(&client, "t", 0, 0, 1 << 20).await;
    assert_eq!(
        next(&mut records).await.unwrap().1,
        b"stored but not acknowledged"
    );
    assert_eq!(next(&mut records).await.unwrap().1, b"value 0");
}

#[tokio::test]
async fn only_loopback_listen_addresses_are_accepted() {
    let options = BrokerOptions {
        listen: ([0, 0, 0, 0], 0).into(),
        ..BrokerOptions::default()
    };
    let error = Broker::start(options).await.err().expect("refused");
    assert!(
        error.to_string().contains("not a loopback address"),
        "{error}"
    );
}

#[tokio::test]
async fn clients_reach_a_broker_at_its_advertised_host() {
    let broker = Broker::start(BrokerOptions {
        listen: ([0, 0, 0, 0], 0).into(),
        unit_listen: ([0, 0, 0, 0], 0).into(),
        advertise: Some("localhost".to_owned()),
        ..BrokerOptions::default()
    })
    .await
    .unwrap();
    broker.create_topic("events", 1).unwrap();
    let client = client(format!("127.0.0.1:{}", broker.address().port())).await;
    let producer = client.topic_producer("events").await.unwrap();
    let sent = producer.send(fluvio::RecordKey::NULL, "there").await;
    producer.flush().await.unwrap();
    assert_eq!(sent.unwrap().wait().await.unwrap().offset(), 0);
}

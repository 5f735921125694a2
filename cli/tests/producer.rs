//! The producer, against the embedded broker and its faults.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/mod.rs"]
mod support;

use std::time::Duration;

use datastream_broker::{Broker, BrokerOptions, Role};
use datastream_source::fluvio::FluvioTarget;
use datastream_source::fluvio::producer::{Producer, Record, SendError};
use futures_util::StreamExt as _;
use support::topic::{self, TOPIC};
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_mins(1);

async fn start() -> (Broker, Producer) {
    let broker = Broker::start(BrokerOptions::default()).await.unwrap();
    broker.create_topic(TOPIC, 1).unwrap();
    let producer = Producer::new(FluvioTarget::new(broker.address().to_string(), TOPIC));
    (broker, producer)
}

fn records(count: usize, bytes: usize) -> Vec<Record> {
    (0..count)
        .map(|number| {
            let mut value = format!("{number} ").into_bytes();
            value.resize(bytes, b'x');
            Record {
                key: format!("AC{number}"),
                value,
            }
        })
        .collect()
}

/// Every value in the topic, from its start on.
async fn stored(broker: &Broker, count: usize) -> Vec<Vec<u8>> {
    let stream = topic::stored(&broker.address().to_string()).await;
    let values = stream.take(count).map(|r| r.value().to_vec());
    timeout(DEADLINE, values.collect()).await.unwrap()
}

fn values(records: &[Record]) -> Vec<Vec<u8>> {
    records.iter().map(|r| r.value.clone()).collect()
}

/// Sends until it works, as `simulate` does.
async fn insist(producer: &mut Producer, records: &[Record]) -> Vec<String> {
    let mut reasons = Vec::new();
    let mut left = records;
    while let Err(SendError { confirmed, reason }) = producer.send(left).await {
        left = &left[confirmed..];
        reasons.push(reason);
        assert!(reasons.len() < 20, "{reasons:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    reasons
}

#[tokio::test(flavor = "multi_thread")]
async fn many_and_large_records_are_stored_in_order() {
    let (broker, mut producer) = start().await;
    let small = records(20_000, 100);
    producer.send(&small).await.unwrap();
    let large = records(12, 1 << 20);
    producer.send(&large).await.unwrap();
    let expected = [values(&small), values(&large)].concat();
    assert!(stored(&broker, expected.len()).await == expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_replaces_a_lost_connection() {
    let (broker, mut producer) = start().await;
    let [first, second] = [records(5, 10), records(7, 20)];
    producer.send(&first).await.unwrap();
    broker.drop_connections(Role::Spu);
    broker.drop_connections(Role::Sc);
    insist(&mut producer, &second).await;
    let expected = [values(&first), values(&second)].concat();
    assert_eq!(stored(&broker, expected.len()).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_reports_an_outage_in_time_and_recovers() {
    let (mut broker, mut producer) = start().await;
    producer.send(&records(1, 10)).await.unwrap();
    broker.down(Role::Sc).await;
    broker.down(Role::Spu).await;
    let outcome = timeout(Duration::from_secs(15), producer.send(&records(2, 10))).await;
    let SendError { confirmed, reason } = outcome.expect("an answer in time").unwrap_err();
    assert_eq!(confirmed, 0);
    assert!(reason.contains(&broker.address().to_string()), "{reason}");
    broker.up(Role::Spu).await.unwrap();
    broker.up(Role::Sc).await.unwrap();
    insist(&mut producer, &records(3, 10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sending_to_a_silent_broker_fails_with_a_timeout() {
    let (broker, mut producer) = start().await;
    broker.set_silent(true);
    let outcome = timeout(Duration::from_secs(15), producer.send(&records(1, 10))).await;
    let error = outcome.expect("an answer in time").unwrap_err();
    assert!(error.reason.contains("does not answer"), "{error}");
    broker.set_silent(false);
    insist(&mut producer, &records(1, 10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn producing_to_a_missing_topic_names_the_topic() {
    let broker = Broker::start(BrokerOptions::default()).await.unwrap();
    let mut producer = Producer::new(FluvioTarget::new(broker.address().to_string(), "nothing"));
    let error = producer.send(&records(1, 10)).await.unwrap_err();
    assert!(error.reason.contains("\"nothing\""), "{error}");
}

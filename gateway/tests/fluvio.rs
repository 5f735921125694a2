//! The whole way: the real client into the embedded broker (or the cluster that `FLUVIO_ADDR` names), a gateway, a client.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use common::topic::event;
use common::{PATIENCE, TestGateway, key, route_of};
use datastream_broker::{Broker, BrokerOptions, Role};
use datastream_gateway::cursors_topic;
use datastream_gateway::source::fluvio::{FluvioCursorLog, FluvioSource};
use datastream_routing::{Heartbeat, Resume, Route};
use fluvio::metadata::topic::TopicSpec;
use fluvio::{Fluvio, FluvioConfig, TopicProducerConfigBuilder};

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
    }
    within(producer.flush()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_200_000_records_every_matching_one_arrives_once() {
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
    for (round, role) in [Role::Unit, Role::Controller, Role::Unit]
        .into_iter()
        .enumerate()
    {
        let numbers = round * 100..(round + 1) * 100;
        produce(&address, "t", numbers.start..numbers.start + 50).await;
        broker.down(role).await;
        broker.drop_connections(Role::Unit);
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

/// As after a unit was killed: the controller hears nothing of it, it leads nothing yet, and it holds back its last records,
/// which readers have seen before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_number_is_not_refused_for_good_after_a_unit_was_killed() {
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
    broker.drop_connections(Role::Unit);
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
async fn committed_positions_are_kept_in_a_topic_that_is_made_when_it_is_missing() {
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

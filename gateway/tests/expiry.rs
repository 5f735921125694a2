//! Records that expire before the gateway has read them: streams that were to get them are closed, and no others are affected.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;

use common::stopped::Stopped;
use common::topic::{Topic, event};
use common::{TestGateway, route};

async fn start(subscriptions: &[&str]) -> (TestGateway, Arc<Stopped>) {
    let source = Arc::new(Stopped::new(Topic::new(1)));
    let routes = subscriptions.iter().map(|name| route(name)).collect();
    (TestGateway::start_on(source.clone(), routes).await, source)
}

fn append(source: &Stopped, numbers: std::ops::Range<usize>) {
    let padding = "x".repeat(400);
    source
        .topic
        .append_all(0, numbers.map(|n| event(&padding, n)));
}

#[tokio::test]
async fn a_stream_that_fell_behind_does_not_skip_expired_events_silently() {
    const SENT: usize = 30_000;
    let (gateway, source) = start(&["slow"]).await;
    let mut slow = gateway.connect("slow", "").await;
    append(&source, 0..SENT);
    gateway.metric_reaches("records_total", SENT as f64).await;
    gateway
        .metric_reaches("streams_fell_behind_total", 1.0)
        .await;

    source.reads.send_replace(false);
    append(&source, SENT..SENT + 20);
    source.topic.expire(0, SENT as u64 + 10);
    source.reads.send_replace(true);
    let read = (SENT + 10) as f64;
    gateway.metric_reaches("records_total", read).await;

    let (code, _) = async {
        let mut next = 0;
        loop {
            match slow.event().await {
                Ok(event) => {
                    assert_eq!(event["datapoint"]["value"], next);
                    next += 1;
                }
                Err(Some(frame)) => break (u16::from(frame.code), next),
                Err(None) => panic!("closed without a close frame"),
            }
        }
    }
    .await;
    assert_eq!(code, 1011);
    gateway.stop().await;
}

#[tokio::test]
async fn a_stream_that_began_after_the_expired_events_stays_open() {
    let (gateway, source) = start(&["before", "behind"]).await;
    let mut before = gateway.connect("before", "").await;
    append(&source, 0..5);
    assert_eq!(before.numbers(5).await, [0, 1, 2, 3, 4]);

    source.reads.send_replace(false);
    append(&source, 5..20);
    source.topic.expire(0, 15);
    let mut behind = gateway.connect("behind", "&seq_start=16").await;
    gateway.metric_reaches("streams{state=\"live\"}", 2.0).await;
    source.reads.send_replace(true);
    assert_eq!(before.closed().await.0, 1011);
    append(&source, 20..21);
    assert_eq!(behind.numbers(6).await, [15, 16, 17, 18, 19, 20]);
    gateway.stop().await;
}

#[tokio::test]
async fn a_stream_is_closed_for_expired_events_although_no_event_follows() {
    let (gateway, source) = start(&["a"]).await;
    let mut client = gateway.connect("a", "").await;
    append(&source, 0..5);
    assert_eq!(client.numbers(5).await, [0, 1, 2, 3, 4]);

    source.reads.send_replace(false);
    append(&source, 5..20);
    source.topic.expire(0, 20);
    source.reads.send_replace(true);
    assert_eq!(client.closed().await.0, 1011);
    gateway.stop().await;
}

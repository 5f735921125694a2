//! Numbers beyond what a gateway knows of the topic's end. Another gateway may know more: after a server of Fluvio was killed, its last
//! records are unknown to the others before it is back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;

use common::stopped::Stopped;
use common::topic::{Topic, event};
use common::{TestGateway, key, route};
use datastream_source::EventSource as _;

/// A gateway that has read five of ten events and knows of no others.
async fn start_gateway() -> (TestGateway, Arc<Stopped>) {
    let source = Arc::new(Stopped::new(Topic::new(1)));
    let gateway = TestGateway::start_on(source.clone(), vec![route("all")]).await;
    append(&source, 0..5);
    gateway.metric_reaches("records_total", 5.0).await;
    source.reads.send_replace(false);
    let bounds = source.bounds().await;
    *source.reported.lock().unwrap() = Some(bounds.unwrap());
    append(&source, 5..10);
    (gateway, source)
}

fn append(source: &Stopped, numbers: std::ops::Range<usize>) {
    source.topic.append_all(0, numbers.map(|n| event("d", n)));
}

#[tokio::test]
async fn a_seq_in_the_log_is_accepted_before_its_end_is_reported() {
    for (start, first) in [(8, 7), (11, 10)] {
        let (gateway, source) = start_gateway().await;
        let mut client = gateway.connect("all", &format!("&seq_start={start}")).await;
        source.reads.send_replace(true);
        append(&source, 10..12);
        let wanted: Vec<_> = (first..12).collect();
        assert_eq!(client.numbers(wanted.len()).await, wanted);
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_seq_beyond_the_log_is_refused() {
    let (gateway, _source) = start_gateway().await;
    are_refused(&gateway, [12, 1000], 400).await;
    gateway.stop().await;
}

#[tokio::test]
async fn refusals_are_temporary_while_the_end_of_the_log_is_unknown() {
    let (gateway, source) = start_gateway().await;
    source.away.send_replace(true);
    are_refused(&gateway, [8, 12], 503).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_server_that_is_silent_makes_no_refusal_final() {
    let (gateway, source) = start_gateway().await;
    source.stuck.send_replace(true);
    are_refused(&gateway, [8, 12], 503).await;
    let start = "&seq_start=8";
    let lines = gateway.events("all", start, &[]).await;
    assert_eq!(lines.status, 503);
    assert_eq!(lines.header("retry-after"), "2");
    let (_, refusal) = lines.refusal().await;
    assert_eq!(refusal["error"], "unavailable");
    // An `EventSource` would never come again after another status.
    let accept = ("accept", "text/event-stream");
    let browser = gateway.events("all", start, &[accept]).await;
    assert_eq!(browser.status, 200);
    let refusal = browser.rest().await;
    assert!(refusal.contains("\"status\":503"), "{refusal}");

    source.stuck.send_replace(false);
    let mut client = gateway.connect("all", start).await;
    source.reads.send_replace(true);
    append(&source, 10..12);
    assert_eq!(client.numbers(5).await, [7, 8, 9, 10, 11]);
    gateway.stop().await;
}

async fn are_refused(gateway: &TestGateway, starts: [u64; 2], status: u16) {
    for start in starts {
        let query = format!("stream_key={}&seq_start={start}", key("all"));
        let refusal = gateway.refused(&query).await;
        assert_eq!(refusal.0, status, "{refusal:?}");
    }
}

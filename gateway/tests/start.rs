//! Tests of where streams begin: by number, by time, behind a gap; and of what a gateway with limits refuses.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::topic::{Topic, event};
use common::{TestGateway, key, route};
use datastream_gateway::config::StaleRoutes;
use datastream_gateway::{LagLimit, Settings};
use serde_json::json;

/// 2026-01-01T00:00:00Z, in milliseconds.
const SINCE: i64 = 1_767_225_600_000;

/// Events 0 to 9, taken a second after each other; the first three have expired.
fn expired_topic() -> Topic {
    let topic = Topic::of(10);
    topic.taken_since(0, SINCE);
    topic.expire(0, 3);
    topic
}

async fn first(gateway: &TestGateway, query: &str) -> usize {
    let mut client = gateway.connect("a", query).await;
    let number = client.numbers(1).await[0];
    client.leave().await;
    number
}

#[tokio::test]
async fn stale_routes_open_no_stream_if_so_configured() {
    let settings = Settings {
        stale_routes: StaleRoutes::RefuseAfter(Duration::ZERO),
        ..Settings::default()
    };
    let routes = vec![route("a"), route("b")];
    let gateway = TestGateway::start_with(Topic::new(1), routes, settings).await;
    let mut open = gateway.connect("a", "").await;
    gateway
        .config()
        .set_source_error(Some("no API server".to_owned()));
    let query = format!("stream_key={}", key("b"));
    let (status, body) = gateway.refused(&query).await;
    assert_eq!((status, &body["error"]), (503, &"unavailable".into()));
    // What is open stays open.
    gateway.topic.append(0, event("A", 1));
    assert_eq!(open.numbers(1).await, [1]);
    gateway.config().set_source_error(None);
    gateway.connect("b", "").await.leave().await;
    gateway.stop().await;
}

#[tokio::test]
async fn expired_starts_are_refused_or_skipped_as_the_client_requests() {
    let gateway = TestGateway::start(expired_topic(), vec![route("a")]).await;
    let key = key("a");
    for (query, name) in [
        ("seq_start=1", "seq_start"),
        ("seq_start=3", "seq_start"),
        ("time_start=2026-01-01T00:00:02Z", "time_start"),
        ("time_start=2026-01-01T00:00:03Z", "time_start"),
        ("time_start=2020-01-01T00:00:00Z", "time_start"),
    ] {
        let (status, body) = gateway.refused(&format!("stream_key={key}&{query}")).await;
        assert_eq!(status, 410, "{query}");
        let message = body["message"].as_str().unwrap();
        assert!(
            message.starts_with(name) && message.contains("is 4"),
            "{message}"
        );
        assert_eq!(
            first(&gateway, &format!("&{query}&on_gap=earliest")).await,
            3
        );
    }
    assert_eq!(first(&gateway, "&seq_start=0").await, 3);
    assert_eq!(first(&gateway, "&seq_start=4").await, 3);
    gateway.stop().await;
}

#[tokio::test]
async fn a_replay_can_start_by_time() {
    let gateway = TestGateway::start(expired_topic(), vec![route("a")]).await;
    for (time, expected) in [
        ("2026-01-01T00:00:03.001Z", 4),
        ("2026-01-01T00:00:07Z", 7),
        ("2026-01-01T01:00:08.5%2B01:00", 9),
        ("2026-01-01T01:00:08.5+01:00", 9),
    ] {
        assert_eq!(
            first(&gateway, &format!("&time_start={time}")).await,
            expected,
            "{time}"
        );
    }
    let mut late = gateway
        .connect("a", "&time_start=2026-01-01T00:00:09.001Z")
        .await;
    gateway.topic.append(0, event("A", 10));
    assert_eq!(late.numbers(1).await, [10]);
    late.leave().await;
    let key = key("a");
    for (query, expected) in [
        ("time_start=yesterday", "RFC 3339"),
        ("time_start=2999-01-01T00:00:00Z", "in the future"),
        ("time_start=2026-01-01T00:00:07Z&seq_start=5", "not both"),
        ("seq_start=5&on_gap=skip", "the only value is earliest"),
    ] {
        let (status, body) = gateway.refused(&format!("stream_key={key}&{query}")).await;
        let message = body["message"].as_str().unwrap();
        assert!(
            status == 400 && message.contains(expected),
            "{query}: {status} {message}"
        );
    }
    gateway.stop().await;
}

#[tokio::test]
async fn markers_report_gaps_and_the_live_point_if_requested() {
    let gateway = TestGateway::start(expired_topic(), vec![route("a")]).await;
    let mut client = gateway
        .connect("a", "&seq_start=1&on_gap=earliest&markers=1")
        .await;
    assert_eq!(
        client.raw().await,
        json!({"control": "gap", "seq_start": "4"})
    );
    assert_eq!(client.numbers(7).await, (3..10).collect::<Vec<_>>());
    assert_eq!(
        client.raw().await,
        json!({"control": "live", "seq_start": "11"})
    );
    gateway.topic.append(0, event("A", 10));
    assert_eq!(client.numbers(1).await, [10]);
    client.leave().await;
    gateway.stop().await;
}

#[tokio::test]
async fn too_many_streams_or_handshakes_get_503_with_retry_after() {
    let one_stream = Settings {
        max_streams: 1,
        ..Settings::default()
    };
    let one_handshake = Settings {
        handshakes_per_second: 1,
        ..Settings::default()
    };
    for settings in [one_stream, one_handshake] {
        let gateway =
            TestGateway::start_with(Topic::new(1), vec![route("a"), route("b")], settings).await;
        let _open = gateway.connect("a", "").await;
        let (status, body) = gateway.refused(&format!("stream_key={}", key("b"))).await;
        assert_eq!((status, &body["error"]), (503, &"busy".into()));
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_stream_beyond_the_lag_limit_is_closed_with_the_seq_to_resume_from() {
    const EVENTS: usize = 30_000;
    let settings = Settings {
        ring_bytes: 200_000,
        max_lag: LagLimit {
            age: None,
            bytes: Some(1 << 20),
        },
        ..Settings::default()
    };
    let gateway = TestGateway::start_with(Topic::new(1), vec![route("a")], settings).await;
    let mut slow = gateway.connect("a", "").await;
    gateway.metric_reaches("streams{state=\"live\"}", 1.0).await;
    let padding = "x".repeat(400);
    gateway
        .topic
        .append_all(0, (0..EVENTS).map(|n| event(&padding, n)));
    gateway
        .metric_reaches("streams_closed_total{cause=\"too_far_behind\"}", 1.0)
        .await;
    // What had been handed to the socket still arrives; the rest is got by coming back.
    let mut seen = 0;
    let reason = loop {
        match slow.event().await {
            Ok(event) => {
                assert_eq!(event["datapoint"]["value"], seen);
                seen += 1;
            }
            Err(frame) => break frame.map(|f| f.reason.to_string()),
        }
    };
    assert!(seen < EVENTS);
    if let Some(reason) = reason {
        assert!(
            reason.ends_with(&format!("seq_start={}", seen + 1)),
            "{reason} after {seen}"
        );
    }
    let again = format!("&seq_start={}", seen + 1);
    let mut back = gateway.connect("a", &again).await;
    assert_eq!(
        back.numbers(EVENTS - seen).await,
        (seen..EVENTS).collect::<Vec<_>>()
    );
    gateway.stop().await;
}

#[tokio::test]
async fn a_drain_is_spread_and_ends_in_time() {
    let routes: Vec<_> = (0..100).map(|n| route(&format!("s{n}"))).collect();
    let gateway = TestGateway::start(Topic::new(1), routes).await;
    let mut clients = vec![];
    for n in 0..100 {
        clients.push(gateway.connect(&format!("s{n}"), "").await);
    }
    gateway.cancel.cancel();
    for client in &mut clients {
        assert_eq!(client.closed().await.0, 1001);
    }
    tokio::time::timeout(Duration::from_secs(20), gateway.run)
        .await
        .expect("ends in time")
        .unwrap()
        .unwrap();
}

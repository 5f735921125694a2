//! Tests of who gets a stream, and of how it ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::client::get;
use common::topic::{Topic, event};
use common::{PATIENCE, TestGateway, key, route, route_of};
use datastream_gateway::config::ConfigUpdate;
use datastream_routing::{Heartbeat, KeyHash, Route};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::Message;

async fn gateway_of(routes: Vec<Route>) -> TestGateway {
    TestGateway::start(Topic::new(1), routes).await
}

#[tokio::test]
async fn all_wrong_keys_get_the_same_response() {
    let gateway = gateway_of(vec![route("a")]).await;
    let unknown = gateway.refused(&format!("stream_key={}", key("b"))).await;
    assert_eq!(unknown.0, 401);
    assert_eq!(unknown.1["error"], "unauthorized");
    for query in ["stream_key=nonsense", "stream_key=%00"] {
        assert_eq!(gateway.refused(query).await, unknown);
    }
    for query in ["", "stream_key=", "key=x"] {
        let (status, body) = gateway.refused(query).await;
        assert_eq!((status, &body["error"]), (401, &unknown.1["error"]));
        let message = body["message"].as_str().unwrap();
        assert!(message.contains("has no stream key"), "{message}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn refusals_name_the_error() {
    let topic = Topic::of(10);
    topic.expire(0, 3);
    let suspended = Route {
        suspended: true,
        ..route("off")
    };
    let gateway = TestGateway::start(topic, vec![route("a"), suspended]).await;
    // It is asked with a heartbeat when somebody else wants the stream.
    let held = tokio::spawn(gateway.connect("a", "").await.answering());
    let refused = async |query: &str| {
        let (status, body) = gateway
            .refused(&format!("stream_key={}{query}", key("a")))
            .await;
        (
            status,
            body["error"].as_str().unwrap().to_owned(),
            body["message"].as_str().unwrap().to_owned(),
        )
    };
    assert_eq!(
        gateway
            .refused(&format!("stream_key={}", key("off")))
            .await
            .0,
        403
    );
    let (status, error, _) = refused("").await;
    assert_eq!((status, error.as_str()), (409, "in_use"));
    held.abort();
    let _ = held.await;
    gateway.metric_reaches("streams_closed_total", 1.0).await;
    for (query, expected) in [
        ("&seq_start=abc", "only the digits"),
        ("&seq_start=-1", "only the digits"),
        ("&seq_start=13", "the next one will have 11"),
        ("&seq_start=8&seq_end=5", "before seq_start"),
        ("&seq_start=8&seq_end=x", "seq_end"),
    ] {
        let (status, error, message) = refused(query).await;
        assert_eq!((status, error.as_str()), (400, "bad_position"), "{query}");
        assert!(message.contains(expected), "{query}: {message}");
    }
    let (status, _, message) = refused("&seq_start=2").await;
    assert_eq!(status, 410);
    assert!(
        message.contains("earliest that can be replayed is 4"),
        "{message}"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn query_quirks_of_the_dss_browser_are_tolerated() {
    let topic = Topic::new(1);
    topic.append(0, event("A", 0));
    let gateway = TestGateway::start(topic, vec![route("a"), route("b"), route("c")]).await;
    let mut blank = gateway.connect("a", "&seq_start=&seq_end=").await;
    let mut end_only = gateway.connect("b", "&seq_end=5").await;
    let mut next = gateway.connect("c", "&seq_start=2").await;
    gateway.metric_reaches("streams{state=\"live\"}", 3.0).await;
    gateway.topic.append(0, event("A", 1));
    for client in [&mut blank, &mut end_only, &mut next] {
        assert_eq!(client.numbers(1).await, [1]);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_plain_get_reports_the_key_and_the_replayable_range() {
    let topic = Topic::of(10);
    topic.expire(0, 3);
    let gateway = TestGateway::start(topic, vec![route("a")]).await;
    let (status, body) = get(gateway.stream, &format!("/stream?stream_key={}", key("a"))).await;
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 200);
    assert_eq!(
        (&body["name"], &body["connected"]),
        (&"a".into(), &false.into())
    );
    assert_eq!(
        (&body["replay"]["first"], &body["replay"]["next"]),
        (&"4".into(), &"11".into())
    );
    assert_eq!(get(gateway.stream, "/stream?stream_key=x").await.0, 401);
    assert_eq!(get(gateway.stream, "/nothing").await.0, 404);
    assert_eq!(get(gateway.stream, "/").await.0, 200);
    gateway.stop().await;
}

#[tokio::test]
async fn heartbeats_are_sent_and_answers_keep_the_stream_open() {
    let heartbeat = Heartbeat {
        interval_seconds: 1,
        missed_limit: 2,
    };
    let gateway = gateway_of(vec![
        Route {
            heartbeat,
            ..route("a")
        },
        Route {
            heartbeat,
            ..route("sdk")
        },
    ])
    .await;
    let (mut client, mut sdk) = (
        gateway.connect("a", "").await,
        gateway.connect("sdk", "").await,
    );
    sdk.answers = false;
    let sdk = tokio::spawn(async move {
        // The mobile SDK's style, said without being asked.
        for _ in 0..4 {
            tokio::time::sleep(std::time::Duration::from_millis(900)).await;
            sdk.send(Message::text("1|Z")).await;
        }
        sdk
    });
    let feed = tokio::spawn({
        let topic = gateway.topic.clone();
        async move {
            tokio::time::sleep(std::time::Duration::from_millis(3500)).await;
            topic.append(0, event("A", 1));
        }
    });
    assert_eq!(client.numbers(1).await, [1]);
    assert!(client.heartbeats >= 3, "{}", client.heartbeats);
    assert_eq!(sdk.await.unwrap().numbers(1).await, [1]);
    feed.await.unwrap();
    gateway.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_answer_is_closed_with_the_reason() {
    let heartbeat = Heartbeat {
        interval_seconds: 1,
        missed_limit: 2,
    };
    let gateway = gateway_of(vec![Route {
        heartbeat,
        ..route("a")
    }])
    .await;
    let mut client = gateway.connect("a", "").await;
    client.answers = false;
    let (code, reason) = client.closed().await;
    assert_eq!((code, client.heartbeats), (1008, 2));
    assert!(
        reason.contains("2 heartbeats were not answered"),
        "{reason}"
    );
    gateway.connect("a", "").await;
    gateway.stop().await;
}

#[tokio::test]
async fn invalid_client_frames_close_only_their_stream_with_the_right_code() {
    let gateway = gateway_of(vec![route("good"), route("bad")]).await;
    let mut good = gateway.connect("good", "").await;
    let junk = [
        (Message::text("hello"), 1008),
        (Message::binary(b"Z".to_vec()), 1003),
        (Message::text("Z".repeat(70_000)), 1009),
    ];
    for (message, code) in junk {
        let mut bad = connect_when_free(&gateway, "bad").await;
        bad.send(message).await;
        assert_eq!(bad.closed().await.0, code);
    }
    // What no client library sends: a text frame that is not UTF-8 (masked with zeros), and an unmasked frame.
    for (frame, code) in [
        (&[0x81, 0x82, 0, 0, 0, 0, 0xff, 0xfe][..], 1007),
        (&[0x81, 0x01, b'Z'][..], 1002),
    ] {
        let mut bad = connect_when_free(&gateway, "bad").await;
        bad.socket.get_mut().write_all(frame).await.unwrap();
        assert_eq!(bad.closed().await.0, code);
    }
    gateway.topic.append(0, event("A", 1));
    assert_eq!(good.numbers(1).await, [1]);
    gateway.stop().await;
}

async fn connect_when_free(gateway: &TestGateway, name: &str) -> common::client::Client {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        match common::client::Client::connect(gateway.stream, gateway.url(name, "")).await {
            Ok(client) => return client,
            Err((409, _)) if tokio::time::Instant::now() < deadline => {
                tokio::task::yield_now().await;
            }
            Err(refusal) => panic!("{refusal:?}"),
        }
    }
}

#[tokio::test]
async fn a_change_of_the_subscription_reaches_its_stream() {
    let gateway = gateway_of(vec![route_of("a", &["A"]), route("other")]).await;
    let mut client = gateway.connect("a", "").await;
    let mut other = gateway.connect("other", "").await;
    gateway.metric_reaches("streams{state=\"live\"}", 2.0).await;

    gateway
        .set_routes(vec![route_of("a", &["B"]), route("other")])
        .await;
    gateway.topic.append_all(0, [event("A", 1), event("B", 2)]);
    assert_eq!(client.numbers(1).await, [2]);

    gateway
        .set_routes(vec![
            Route {
                suspended: true,
                ..route("a")
            },
            route("other"),
        ])
        .await;
    assert_eq!(
        client.closed().await,
        (1008, "the subscription is suspended".to_owned())
    );
    assert_eq!(
        gateway.refused(&format!("stream_key={}", key("a"))).await.0,
        403
    );

    gateway.set_routes(vec![route("a"), route("other")]).await;
    let mut client = connect_when_free(&gateway, "a").await;
    let rotated = Route {
        key_sha256: KeyHash::of(&key("new")),
        ..route("a")
    };
    gateway
        .set_routes(vec![rotated.clone(), route("other")])
        .await;
    assert_eq!(client.closed().await.0, 1008);
    assert_eq!(
        gateway.refused(&format!("stream_key={}", key("a"))).await.0,
        401
    );

    let mut client = connect_when_free(&gateway, "new").await;
    gateway.set_routes(vec![route("other")]).await;
    assert_eq!(client.closed().await.0, 1008);
    assert_eq!(
        gateway
            .refused(&format!("stream_key={}", key("new")))
            .await
            .0,
        401
    );
    assert_eq!(other.numbers(2).await, [1, 2]);
    gateway.stop().await;
}

#[tokio::test]
async fn a_bad_routing_object_is_rejected_and_the_last_good_one_stays() {
    let gateway = gateway_of(vec![route("a")]).await;
    let object = format!("routes-{}", route("a").id.bucket());
    for bytes in [&b"{"[..], br#"{"version":9}"#] {
        gateway
            .apply(ConfigUpdate::Set {
                object: object.clone(),
                bytes: bytes.to_vec(),
            })
            .await;
        let (_, routing) = get(gateway.admin, "/routing").await;
        assert!(routing.contains(&format!("\"{object}\":\"")), "{routing}");
        gateway.connect("a", "").await.leave().await;
        gateway
            .metric_reaches(
                "streams_closed_total",
                gateway.metric("streams_opened_total").await,
            )
            .await;
    }
    gateway
        .apply(ConfigUpdate::Remove {
            object: object.clone(),
        })
        .await;
    assert!(
        get(gateway.admin, "/readyz")
            .await
            .1
            .contains("deleted; its last good content stays in force")
    );
    assert!(gateway.metric("routing_objects_refused").await > 0.5);
    gateway.connect("a", "").await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_drain_sends_queued_events_and_then_closes() {
    let gateway = gateway_of(vec![route("a")]).await;
    let mut client = gateway.connect("a", "").await;
    gateway.metric_reaches("streams{state=\"live\"}", 1.0).await;
    gateway.topic.append_all(0, (0..100).map(|n| event("A", n)));
    gateway.metric_reaches("events_matched_total", 100.0).await;
    gateway.cancel.cancel();
    assert_eq!(client.numbers(100).await, (0..100).collect::<Vec<_>>());
    assert_eq!(client.closed().await.0, 1001);
    tokio::time::timeout(PATIENCE, gateway.run)
        .await
        .expect("ends in time")
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn keys_appear_in_no_log_or_response() {
    let gateway = gateway_of(vec![route("secret")]).await;
    let _client = gateway.connect("secret", "").await;
    for path in ["/routing", "/readyz", "/metrics", "/livez"] {
        let (status, body) = get(gateway.admin, path).await;
        assert_eq!(status, 200);
        assert!(!body.contains(&key("secret")), "{path}");
    }
    assert!(!format!("{:?}", route("secret")).contains(&key("secret")));
    gateway.stop().await;
}

#[tokio::test]
async fn a_client_that_vanishes_without_closing_loses_its_stream_to_the_next_one() {
    let gateway = gateway_of(vec![route("a")]).await;
    // It neither reads nor speaks.
    let mut silent = gateway.connect("a", "").await;
    gateway.metric_reaches("streams{state=\"live\"}", 1.0).await;
    let mut next = gateway.connect("a", "").await;
    let (code, reason) = silent.closed().await;
    assert_eq!(code, 1008);
    assert!(reason.contains("did not answer a heartbeat"), "{reason}");
    gateway.topic.append(0, event("A", 0));
    assert_eq!(next.numbers(1).await, [0]);
    gateway.stop().await;
}

#[tokio::test]
async fn an_unknown_key_gets_503_while_some_routes_cannot_be_read() {
    let gateway = gateway_of(vec![route("a")]).await;
    let object = "routes-half-written".to_owned();
    let bytes = b"{\"version\":1,\"buck".to_vec();
    gateway.apply(ConfigUpdate::Set { object, bytes }).await;
    let unknown = format!("stream_key={}", key("b"));
    assert_eq!(gateway.refused(&unknown).await.0, 503);
    assert_eq!(gateway.refused("stream_key=nonsense").await.0, 401);
    gateway.connect("a", "").await.leave().await;
    let object = "routes-half-written".to_owned();
    gateway.apply(ConfigUpdate::Remove { object }).await;
    assert_eq!(gateway.refused(&unknown).await.0, 401);
    gateway.stop().await;
}

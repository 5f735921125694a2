//! Tests of hostile peers: what a peer sends, or does not read, never takes more than a stated amount of memory, time or places.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::client::{Client, GOOD, get, handshake};
use common::topic::{Topic, event};
use common::{PATIENCE, TestGateway, key, route};
use datastream_gateway::Settings;
use datastream_routing::{Heartbeat, Route};
use futures_util::SinkExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

/// Sends the bytes of a request and returns the answer's head and what follows it, to the end.
async fn exchange(gateway: &TestGateway, request: &str) -> String {
    let mut tcp = TcpStream::connect(gateway.stream).await.unwrap();
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    timeout(PATIENCE, tcp.read_to_end(&mut answer))
        .await
        .expect("an end in time")
        .unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn invalid_handshakes_are_refused_and_take_no_stream() {
    let gateway = TestGateway::start(Topic::new(1), vec![route("a")]).await;
    let without = |left_out: &str| {
        GOOD.iter()
            .copied()
            .filter(|line| left_out.is_empty() || !line.starts_with(left_out))
            .collect::<Vec<_>>()
    };
    let with = |left_out: &str, line: &'static str| {
        let mut lines = without(left_out);
        lines.push(line);
        lines
    };
    let cases = [
        ("1.0", GOOD.to_vec(), "proxy_http_version 1.1"),
        ("1.1", without("Host"), "the Host header is missing"),
        ("1.1", with("", "Host: y"), "more than once"),
        ("1.1", without("Sec-WebSocket-Key"), "must be there, once"),
        (
            "1.1",
            with("", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
            "must be there, once",
        ),
        (
            "1.1",
            with("Sec-WebSocket-Key", "Sec-WebSocket-Key: "),
            "16 bytes",
        ),
        (
            "1.1",
            with("Sec-WebSocket-Key", "Sec-WebSocket-Key: abc"),
            "16 bytes",
        ),
        (
            "1.1",
            with("Sec-WebSocket-Key", "Sec-WebSocket-Key: AAAAAAAAAAA="),
            "16 bytes",
        ),
        (
            "1.1",
            with(
                "Sec-WebSocket-Key",
                "Sec-WebSocket-Key: not base64 at all!!!",
            ),
            "16 bytes",
        ),
        (
            "1.1",
            with("Sec-WebSocket-Version", "Sec-WebSocket-Version: 8"),
            "must be 13",
        ),
    ];
    for (version, lines, expected) in cases {
        let answer = exchange(&gateway, &handshake("a", version, "close, Upgrade", &lines)).await;
        assert!(answer.contains(" 400 "), "{lines:?}: {answer}");
        assert!(answer.contains(expected), "{lines:?}: {answer}");
        if answer.contains("bad_handshake") {
            assert!(
                answer
                    .to_lowercase()
                    .contains("\r\nsec-websocket-version: 13\r\n"),
                "{answer}"
            );
        }
    }
    assert!(gateway.metric("stream_requests_refused_total").await >= 10.0);
    assert!((gateway.metric("streams_opened_total").await).abs() < f64::EPSILON);
    gateway.stop().await;
}

#[tokio::test]
async fn the_subprotocol_is_returned_if_requested() {
    let gateway = TestGateway::start(Topic::new(1), vec![route("a")]).await;
    let mut tcp = TcpStream::connect(gateway.stream).await.unwrap();
    let mut lines = GOOD.to_vec();
    lines.push("Sec-WebSocket-Protocol: other, datastream.v1");
    let request = handshake("a", "1.1", "Upgrade", &lines);
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut head = vec![0; 1024];
    let read = timeout(PATIENCE, tcp.read(&mut head))
        .await
        .unwrap()
        .unwrap();
    let head = String::from_utf8_lossy(&head[..read]).to_lowercase();
    assert!(
        head.starts_with("http/1.1 101")
            && head.contains("sec-websocket-protocol: datastream.v1\r\n"),
        "{head}"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn handshakes_by_head_or_with_a_body_are_refused() {
    let gateway = TestGateway::start(Topic::new(1), vec![route("a")]).await;
    let good = handshake("a", "1.1", "close, Upgrade", &GOOD);
    for bad in [
        good.replacen("GET", "HEAD", 1),
        good.replacen("Host:", "Content-Length: 1\r\nHost:", 1) + "x",
        good.replacen("Host:", "Transfer-Encoding: chunked\r\nHost:", 1) + "0\r\n\r\n",
    ] {
        let answer = exchange(&gateway, &bad).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{bad} {answer}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn head_is_answered_and_other_methods_get_an_allow_header() {
    let gateway = TestGateway::start(Topic::new(1), vec![route("a")]).await;
    let ask = async |address, method: &str, path: &str| {
        let mut tcp = TcpStream::connect(address).await.unwrap();
        let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        tcp.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(PATIENCE, tcp.read_to_string(&mut answer))
            .await
            .unwrap()
            .unwrap();
        answer.to_lowercase()
    };
    for (address, path) in [
        (gateway.stream, "/"),
        (gateway.admin, "/livez"),
        (gateway.admin, "/readyz"),
    ] {
        let head = ask(address, "HEAD", path).await;
        assert!(head.starts_with("http/1.1 200"), "{path}: {head}");
        assert!(head.ends_with("\r\n\r\n"), "no body: {head}");
        for (method, status) in [("POST", "405"), ("OPTIONS", "204")] {
            let answer = ask(address, method, path).await;
            assert!(
                answer.starts_with(&format!("http/1.1 {status}")),
                "{path}: {answer}"
            );
            assert!(
                answer.contains("\r\nallow: get, head, options\r\n"),
                "{path}: {answer}"
            );
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn two_keys_in_a_query_are_refused() {
    let gateway = TestGateway::start(Topic::new(1), vec![route("a"), route("b")]).await;
    let query = format!("stream_key={}&stream_key={}", key("a"), key("b"));
    let (status, body) = gateway.refused(&query).await;
    assert_eq!(
        (status, body["error"].as_str()),
        (400, Some("bad_request")),
        "{body}"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn a_client_that_sends_pings_and_reads_nothing_is_disconnected_and_held_back() {
    let gateway = TestGateway::start(Topic::new(1), vec![route("a"), route("b")]).await;
    let mut client = gateway.connect("a", "").await;
    let ping = Message::Ping(vec![b'p'; 125].into());
    let flood = async {
        loop {
            client.socket.feed(ping.clone()).await?;
            client.socket.flush().await?;
        }
    };
    let ended: Result<(), tokio_tungstenite::tungstenite::Error> =
        timeout(PATIENCE, flood).await.expect("an end in time");
    assert!(ended.is_err());
    gateway
        .metric_reaches("streams_closed_total{cause=\"flooded\"}", 1.0)
        .await;
    let (status, body) = gateway.refused(&format!("stream_key={}", key("a"))).await;
    assert_eq!(
        (status, body["error"].as_str()),
        (503, Some("busy")),
        "{body}"
    );
    gateway
        .metric_reaches("limited_total{limit=\"messages/subscription\"}", 1.0)
        .await;
    gateway.connect("b", "").await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_client_that_sends_one_message_in_endless_frames_is_disconnected() {
    let gateway = TestGateway::start(Topic::new(1), vec![route("a")]).await;
    let mut tcp = TcpStream::connect(gateway.stream).await.unwrap();
    let request = handshake("a", "1.1", "Upgrade", &GOOD);
    tcp.write_all(request.as_bytes()).await.unwrap();
    let (mut from, mut to) = tcp.split();
    let flood = async {
        // A text that is not finished, and then nothing, masked with zeros, on and on.
        to.write_all(&[0x01, 0x81, 0, 0, 0, 0, b'Z']).await?;
        let continuations = [0x00, 0x80, 0, 0, 0, 0].repeat(1000);
        loop {
            to.write_all(&continuations).await?;
        }
    };
    let mut answer = Vec::new();
    let flooded = async { tokio::join!(flood, from.read_to_end(&mut answer)).0 };
    let ended: std::io::Result<()> = timeout(PATIENCE, flooded).await.expect("an end in time");
    assert!(ended.is_err());
    gateway
        .metric_reaches("streams_closed_total{cause=\"flooded\"}", 1.0)
        .await;
    gateway.stop().await;
}

#[tokio::test]
async fn answers_to_unsent_heartbeats_do_not_keep_a_stream_open() {
    let topic = Topic::new(1);
    let hasty = Route {
        heartbeat: Heartbeat {
            interval_seconds: 1,
            missed_limit: 2,
        },
        ..route("a")
    };
    let gateway = TestGateway::start(topic.clone(), vec![hasty]).await;
    let mut client = gateway.connect("a", "").await;
    // More than the buffers between the two hold, so that heartbeats wait behind it.
    let text = "x".repeat(900 << 10);
    topic.append_all(0, (0..16).map(|_| {
        format!(r#"{{"metadata":{{"event_type":"datapoint","dsn":"A"}},"datapoint":{{"value":"{text}"}}}}"#)
    }));
    let blind = async {
        loop {
            if client.socket.send(Message::text("Z")).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, blind).await.expect("an end in time");
    gateway
        .metric_reaches("streams_closed_total{cause=\"heartbeats_missed\"}", 1.0)
        .await;
    gateway.stop().await;
}

#[tokio::test]
async fn an_event_with_too_large_a_frame_is_skipped_and_the_next_one_is_sent() {
    let topic = Topic::new(1);
    let settings = Settings {
        largest_frame: 10_000,
        ..Settings::default()
    };
    let gateway =
        TestGateway::start_with(topic.clone(), vec![route("a"), route("b")], settings).await;
    let mut live = gateway.connect("a", "").await;
    let bars = |count: usize| {
        let value = "|".repeat(count);
        format!(
            r#"{{"metadata":{{"event_type":"datapointack","dsn":"A"}},"datapointack":{{"value":"{value}"}}}}"#
        )
    };
    topic.append_all(
        0,
        [
            event("A", 1),
            bars(830),
            event("A", 2),
            bars(700),
            event("A", 3),
        ],
    );
    for client in [&mut live, &mut gateway.connect("b", "&seq_start=1").await] {
        assert_eq!(client.numbers(2).await, [1, 2]);
        let ack = client.event().await.unwrap();
        assert_eq!(ack["datapointack"]["value"].as_str().unwrap().len(), 700);
        assert_eq!(client.numbers(1).await, [3]);
    }
    let skipped = gateway
        .metric("records_skipped_total{reason=\"frame_too_large\"}")
        .await;
    assert!((skipped - 1.0).abs() < f64::EPSILON, "{skipped}");
    gateway.stop().await;
}

#[tokio::test]
async fn large_frames_for_stalled_clients_stay_within_the_send_memory() {
    let topic = Topic::new(1);
    let settings = Settings {
        largest_frame: 1 << 20,
        send_memory: 4 << 20,
        ..Settings::default()
    };
    let names: Vec<String> = (0..12).map(|n| format!("s{n}")).collect();
    let mut routes: Vec<Route> = names.iter().map(|name| route(name)).collect();
    routes.push(route("honest"));
    let gateway = TestGateway::start_with(topic.clone(), routes, settings).await;
    let mut silent = Vec::new();
    for name in &names {
        silent.push(gateway.connect(name, "").await);
    }
    let mut honest = gateway.connect("honest", "").await;
    let value = "x".repeat(900 << 10);
    let large = format!(
        r#"{{"metadata":{{"event_type":"datapoint","dsn":"A"}},"datapoint":{{"value":"{value}"}}}}"#
    );
    topic.append_all(0, std::iter::repeat_n(large, 40));
    topic.append_all(0, (0..10).map(|n| event("A", n)));
    // Those in the way are closed once nothing has moved for 2 s; until then the honest one gets its turn as memory is freed.
    for _ in 0..40 {
        assert!(honest.event().await.is_ok());
    }
    assert_eq!(honest.numbers(10).await, (0..10).collect::<Vec<_>>());
    let held = gateway.metric("send_memory_bytes").await;
    assert!(held <= f64::from(4 << 20), "{held}");
    drop(silent);
    gateway.stop().await;
}

#[tokio::test]
async fn stalled_connections_are_dropped_for_new_ones() {
    let gateway = TestGateway::start(Topic::new(1), vec![route("a")]).await;
    let mut held = Vec::new();
    for _ in 0..1_200 {
        let mut tcp = TcpStream::connect(gateway.stream).await.unwrap();
        let request = "GET /console/console.css HTTP/1.1\r\nHost: x\r\n\r\n".repeat(20);
        tcp.write_all(request.as_bytes()).await.unwrap();
        held.push(tcp);
    }
    let (status, _) = timeout(PATIENCE, get(gateway.stream, "/"))
        .await
        .expect("an answer in time");
    assert_eq!(status, 200);
    let mut client = gateway.connect("a", "").await;
    gateway.topic.append(0, event("A", 1));
    assert_eq!(client.numbers(1).await, [1]);
    drop(held);
    gateway.stop().await;
}

#[tokio::test]
async fn a_key_that_floods_requests_does_not_block_other_keys() {
    let names: Vec<String> = (0..20).map(|n| format!("s{n}")).collect();
    let mut routes: Vec<Route> = names.iter().map(|name| route(name)).collect();
    routes.push(route("greedy"));
    let settings = Settings {
        handshakes_per_second: 50,
        ..Settings::default()
    };
    let gateway = TestGateway::start_with(Topic::new(1), routes, settings).await;
    let path = format!("/stream?stream_key={}", key("greedy"));
    let mut refused = 0;
    for _ in 0..200 {
        refused += usize::from(get(gateway.stream, &path).await.0 == 503);
    }
    assert!(refused > 100, "{refused}");
    let mut streams = Vec::new();
    for name in &names {
        streams.push(gateway.connect(name, "").await);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn the_close_frame_arrives_although_bytes_are_unread() {
    let gateway = TestGateway::start(Topic::new(1), vec![route("a")]).await;
    let mut client: Client = gateway.connect("a", "").await;
    // A message that is too large, and more behind it than the gateway reads before it says so.
    let _ = client.socket.send(Message::text("x".repeat(200_000))).await;
    assert_eq!(client.closed().await.0, 1009);
    gateway.stop().await;
}

#[tokio::test]
async fn a_client_that_reconnects_at_once_is_accepted_at_once() {
    let gateway = TestGateway::start(Topic::new(1), vec![route("a")]).await;
    for _ in 0..4 {
        let client = gateway.connect("a", "").await;
        drop(client);
        let again = timeout(Duration::from_secs(4), gateway.connect("a", "")).await;
        drop(again.expect("not the patience for a client that does not answer"));
        // The budget of one key is not what is shown here.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    gateway.stop().await;
}

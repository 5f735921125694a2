//! `/events`: the same streams as bodies of responses, and the dialects of WebSockets beside that of DSS.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::io::Read as _;

use common::client::Client;
use common::topic::{Topic, event};
use common::{PATIENCE, TestGateway, events_path, key, route, route_of};
use datastream_routing::{Heartbeat, Resume, Route};
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::Version;
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

const SSE: (&str, &str) = ("accept", "text/event-stream");

fn field<'a>(fields: &'a [(String, String)], name: &str) -> &'a str {
    let found = fields.iter().find(|(field, _)| field == name);
    found.map_or("", |(_, value)| value)
}

#[tokio::test]
async fn lines_of_json_come_over_both_versions_of_http_and_are_the_bodies_of_the_frames() {
    let gateway = TestGateway::start(Topic::of(20), vec![route("a")]).await;
    let mut client = gateway.connect("a", "&seq_start=1").await;
    let mut expected = vec![];
    for _ in 0..20 {
        expected.push(client.event().await.unwrap());
    }
    client.leave().await;
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let mut connection = gateway.http(version).await;
        let path = events_path("a", "&seq_start=1&limit=21");
        let mut events = connection.get(&path, &[]).await;
        assert_eq!(events.status, 200);
        assert_eq!(events.header("content-type"), "application/x-ndjson");
        assert_eq!(events.header("x-accel-buffering"), "no");
        assert_eq!(events.header("access-control-allow-origin"), "*");
        for expected in &expected {
            assert_eq!(events.json().await.as_ref(), Some(expected));
        }
        gateway.topic.append(0, event("A", 20));
        assert_eq!(events.numbers(1).await, [20]);
        assert_eq!(events.json().await, None, "the limit is reached");
        gateway.topic.append(0, event("A", 21));
        // The connection is there for the next batch.
        let path = events_path("a", "&seq_start=22&limit=1");
        let mut events = connection.get(&path, &[]).await;
        assert!(events.json().await.is_some());
        assert_eq!(events.json().await, None);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn server_sent_events_resume_after_the_last_event_id() {
    let gateway = TestGateway::start(Topic::of(10), vec![route("a")]).await;
    let mut events = gateway.events("a", "&seq_start=1", &[SSE]).await;
    assert_eq!(events.header("content-type"), "text/event-stream");
    let mut last = String::new();
    for number in 0..4 {
        let fields = events.sse().await.unwrap();
        let data: Value = serde_json::from_str(field(&fields, "data")).unwrap();
        assert_eq!(data["datapoint"]["value"], number);
        assert_eq!(field(&fields, "id"), data["seq"]);
        assert_eq!(field(&fields, "event"), "datapoint");
        last = field(&fields, "id").to_owned();
    }
    drop(events);
    gateway.metric_reaches("streams_closed_total", 1.0).await;
    // A browser repeats its URL.
    let headers = [SSE, ("last-event-id", last.as_str())];
    let mut events = gateway.events("a", "&seq_start=1", &headers).await;
    let fields = events.sse().await.unwrap();
    assert!(field(&fields, "data").contains("\"value\":4"), "{fields:?}");
    drop(events);
    gateway.metric_reaches("streams_closed_total", 2.0).await;
    // One that has had everything that it wanted is told that there is no more.
    let headers = [SSE, ("last-event-id", "4")];
    let over = gateway
        .events("a", "&seq_start=1&seq_end=4", &headers)
        .await;
    assert_eq!(over.status, 204);
    gateway.stop().await;
}

#[tokio::test]
async fn a_batch_ends_at_its_limit_or_when_there_is_nothing_more() {
    let gateway = TestGateway::start(Topic::of(10), vec![route("a")]).await;
    let batch = async |query: &str| {
        let mut events = gateway.events("a", query, &[]).await;
        let mut lines = vec![];
        while let Some(line) = events.json().await {
            lines.push(line);
        }
        lines
    };
    assert_eq!(batch("&seq_start=1&limit=4").await.len(), 4);
    assert_eq!(batch("&seq_start=1&wait=5").await.len(), 10);
    let mut lines = batch("&seq_start=5&limit=3&wait=0&markers=1").await;
    let close = lines.pop().unwrap();
    assert_eq!(close["control"], "close");
    assert_eq!(
        (&close["code"], &close["seq_start"]),
        (&json!(1000), &json!("8"))
    );
    assert_eq!(lines.len(), 3);
    // Nothing there: an empty batch says where to go on, too.
    let lines = batch("&seq_start=11&wait=0&markers=1").await;
    assert_eq!(lines[0]["control"], "live");
    assert_eq!(lines[1]["seq_start"], "11");
    assert_eq!(lines.len(), 2);
    // What comes while it waits ends it.
    let waiting = batch("&seq_start=11&wait=60");
    let append = async {
        gateway.metric_reaches("streams{state=\"live\"}", 1.0).await;
        gateway.topic.append(0, event("A", 10));
    };
    let (lines, ()) = tokio::join!(waiting, append);
    assert_eq!(lines.len(), 1);
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_asked_for_in_a_wrong_way_is_refused_with_the_reason() {
    let gateway = TestGateway::start(Topic::of(3), vec![route("a")]).await;
    let json = ("accept", "application/json");
    for (query, headers, status, error, word) in [
        ("", vec![json], 406, "not_acceptable", "text/event-stream"),
        ("&format=xml", vec![], 400, "bad_request", "ndjson"),
        ("&format=dss", vec![], 400, "bad_request", "/stream"),
        ("&limit=0", vec![], 400, "bad_request", "limit"),
        ("&wait=9999", vec![], 400, "bad_request", "wait"),
        ("&ack=1", vec![], 400, "bad_request", "Committed"),
        (
            "",
            vec![("last-event-id", "x")],
            400,
            "bad_position",
            "from 1 to 4",
        ),
        (
            "",
            vec![SSE, ("last-event-id", "99")],
            400,
            "bad_position",
            "Last-Event-ID",
        ),
        (
            "&seq_start=1&time_start=2026-01-01T00:00:00Z",
            vec![],
            400,
            "bad_position",
            "not both",
        ),
        (
            "&ack=1&seq_start=1",
            vec![],
            400,
            "bad_request",
            "Committed",
        ),
        ("&stream_key=x", vec![SSE], 400, "bad_request", "twice"),
    ] {
        let answer = gateway.events("a", query, &headers).await;
        assert_eq!(answer.header("access-control-allow-origin"), "*", "{query}");
        let (found, body) = answer.refusal().await;
        assert_eq!(
            (found, &body["error"]),
            (status, &error.into()),
            "{query}: {body}"
        );
        assert!(
            body["message"].as_str().unwrap().contains(word),
            "{query}: {body}"
        );
    }
    let (status, body) = gateway.events("b", "", &[SSE]).await.refusal().await;
    assert_eq!((status, &body["error"]), (401, &json!("unauthorized")));
    for format in ["sse", "ndjson", "xml"] {
        let query = format!("stream_key={}&format={format}", key("a"));
        let (status, body) = gateway.refused(&query).await;
        assert_eq!((status, &body["error"]), (400, &json!("bad_request")));
    }
    gateway.stop().await;
}

#[tokio::test]
async fn what_passes_by_itself_is_a_stream_that_ends_for_browsers_and_a_status_for_others() {
    let gateway = TestGateway::start(Topic::of(0), vec![route("a")]).await;
    let holder = gateway.events("a", "", &[]).await;
    gateway.metric_reaches("streams{state=\"live\"}", 1.0).await;
    let (status, body) = gateway.events("a", "", &[]).await.refusal().await;
    assert_eq!((status, &body["error"]), (409, &json!("in_use")));
    let mut refused = gateway.events("a", "", &[SSE]).await;
    assert_eq!(refused.status, 200);
    let fields = refused.sse().await.unwrap();
    assert!(field(&fields, "retry").parse::<u32>().unwrap() > 0);
    assert!(
        field(&fields, "data").contains("\"status\":409"),
        "{fields:?}"
    );
    assert_eq!(refused.sse().await, None);
    drop(holder);
    gateway.metric_reaches("streams_closed_total", 1.0).await;
    // Sent away while it listens, it is asked to come back; and so it is when the gateway goes.
    let mut listening = gateway.events("a", "", &[SSE]).await;
    gateway.metric_reaches("streams{state=\"live\"}", 1.0).await;
    gateway.cancel.cancel();
    let fields = listening.sse().await.unwrap();
    assert_eq!(field(&fields, "retry"), "1000");
    assert!(
        field(&fields, "data").contains("\"code\":1001"),
        "{fields:?}"
    );
    assert_eq!(listening.sse().await, None);
    gateway.stop().await;
}

#[tokio::test]
async fn a_stream_whose_key_is_revoked_ends_although_its_client_reads_nothing() {
    let routes = vec![route_of("a", &["A"]), route("b"), route("c")];
    let gateway = TestGateway::start(Topic::of(0), routes).await;
    let mut told = gateway.events("a", "&markers=1", &[]).await;
    assert_eq!(told.json().await.unwrap()["control"], "live");
    let silent = gateway.events("b", "", &[]).await;
    let _silent_socket = gateway.connect("c", "").await;
    gateway.metric_reaches("streams{state=\"live\"}", 3.0).await;
    // More than sockets and buffers on the way hold.
    let large = "x".repeat(200_000);
    for _ in 0..60 {
        let text = event("B", 0).replace("\"B\"", &format!("\"{large}\""));
        gateway.topic.append(0, text);
    }
    gateway
        .metric_reaches("streams_fell_behind_total", 1.0)
        .await;
    gateway.set_routes(vec![]).await;
    gateway
        .metric_reaches("streams_closed_total{cause=\"revoked\"}", 2.0)
        .await;
    let close = told.json().await.unwrap();
    assert_eq!(close["code"], 1008);
    assert_eq!(told.json().await, None);
    drop(silent);
    gateway.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_loses_nothing() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let gateway = TestGateway::start(Topic::of(0), vec![route("a")]).await;
        let mut connection = gateway.http(version).await;
        let mut events = connection.get(&events_path("a", ""), &[]).await;
        gateway.metric_reaches("streams{state=\"live\"}", 1.0).await;
        let count = 40_000;
        gateway.falls_behind(0..count).await;
        let numbers = events.numbers(count).await;
        assert!(numbers.iter().copied().eq(0..count), "{version:?}");
        gateway.stop().await;
    }
}

#[tokio::test]
async fn large_events_and_those_with_line_breaks_come_whole() {
    let large = "x".repeat(600_000);
    let text = event("A", 1).replace("\"A\"", &format!("\"{large}\""));
    let broken = event("A", 2).replace(',', " \r\n,\n ");
    let topic = Topic::new(1);
    topic.append_all(0, [event("A", 0), text, broken]);
    let gateway = TestGateway::start(topic, vec![route("a")]).await;
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let mut connection = gateway.http(version).await;
        let path = events_path("a", "&seq_start=1&limit=3");
        let mut events = connection.get(&path, &[]).await;
        assert_eq!(events.numbers(3).await, [0, 1, 2]);
        assert_eq!(events.json().await, None);
        let mut events = connection.get(&path, &[SSE]).await;
        for number in 0..3 {
            let fields = events.sse().await.unwrap();
            let data: Value = serde_json::from_str(field(&fields, "data")).unwrap();
            assert_eq!(data["datapoint"]["value"], number);
        }
        assert!(events.rest().await.contains("\"close\""));
    }
    for (format, large_at) in [("json", 1), ("cloudevents", 1)] {
        let mut client = gateway
            .connect("a", &format!("&seq_start=1&format={format}"))
            .await;
        for number in 0..3 {
            let message = client.socket.next().await.unwrap().unwrap();
            let text = message.to_text().unwrap();
            assert_eq!(text.len() > 600_000, number == large_at);
            let event: Value = serde_json::from_str(text).unwrap();
            let event = if format == "json" {
                &event
            } else {
                &event["data"]
            };
            assert_eq!(event["datapoint"]["value"], number);
        }
        client.leave().await;
        gateway.metric_reaches("streams_closed_total", 5.0).await;
    }
    gateway.stop().await;
}

#[tokio::test]
async fn heartbeats_keep_a_silent_stream_open_and_need_no_answer() {
    let heartbeat = Heartbeat {
        interval_seconds: 1,
        missed_limit: 1,
    };
    let quick = |name| Route {
        heartbeat,
        ..route(name)
    };
    let routes = vec![quick("a"), quick("b"), quick("c")];
    let gateway = TestGateway::start(Topic::of(0), routes).await;
    let mut lines = gateway.events("a", "", &[]).await;
    let mut comments = gateway.events("b", "", &[SSE]).await;
    let mut pings = gateway.connect("c", "&format=json").await;
    for _ in 0..3 {
        assert_eq!(lines.line().await.unwrap(), "");
        assert_eq!(comments.line().await.unwrap(), ":");
        let message = timeout(PATIENCE, pings.socket.next()).await.unwrap();
        assert!(matches!(message, Some(Ok(Message::Ping(_)))), "{message:?}");
        // The library answers with a pong when it is next used.
        pings.socket.flush().await.unwrap();
    }
    assert!(gateway.metric("heartbeats_answered_total").await >= 6.0);
    gateway.stop().await;
}

#[tokio::test]
async fn compressed_lines_can_be_read_as_they_come() {
    let gateway = TestGateway::start(Topic::of(3), vec![route("a")]).await;
    let path = "&seq_start=1&limit=4";
    for (accepted, coding) in [
        ("gzip, deflate", "gzip"),
        ("gzip;q=0.5, zstd", "zstd"),
        ("br, identity", ""),
    ] {
        let headers = [("accept-encoding", accepted)];
        let mut events = gateway.events("a", path, &headers).await;
        assert_eq!(events.header("content-encoding"), coding);
        let mut compressed = vec![];
        let decoded = |compressed: &[u8]| -> String {
            let mut text = vec![];
            // It is not complete yet: what is there is read.
            let _ = match coding {
                "gzip" => flate2::read::GzDecoder::new(compressed).read_to_end(&mut text),
                "zstd" => zstd::Decoder::new(compressed)
                    .unwrap()
                    .read_to_end(&mut text),
                _ => std::io::Cursor::new(compressed).read_to_end(&mut text),
            };
            String::from_utf8(text).unwrap()
        };
        while decoded(&compressed).lines().count() < 3 {
            compressed.extend_from_slice(&events.bytes().await.unwrap());
        }
        gateway.topic.append(0, event("A", 3));
        while let Some(more) = events.bytes().await {
            compressed.extend_from_slice(&more);
        }
        let text = decoded(&compressed);
        let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!(last["datapoint"]["value"], 3);
        // An EventSource asks for compression of everything.
        let plain = gateway
            .events("a", "&seq_start=1&limit=1", &[SSE, headers[0]])
            .await;
        assert_eq!(plain.header("content-encoding"), "");
        plain.rest().await;
    }
    gateway.stop().await;
}

fn committed(name: &str) -> Route {
    Route {
        resume: Resume::Committed,
        ..route(name)
    }
}

/// The numbers of the next events of a WebSocket in JSON.
async fn json_numbers(client: &mut Client, count: usize) -> Vec<u64> {
    let mut numbers = vec![];
    while numbers.len() < count {
        let message = timeout(PATIENCE, client.socket.next()).await.unwrap();
        if let Some(Ok(Message::Text(text))) = message {
            let event: Value = serde_json::from_str(&text).unwrap();
            numbers.push(event["datapoint"]["value"].as_u64().unwrap());
        }
    }
    numbers
}

#[tokio::test]
async fn acknowledged_events_do_not_come_again_and_others_do() {
    let gateway = TestGateway::start(Topic::of(0), vec![committed("a")]).await;
    let mut client = gateway.connect("a", "&format=json").await;
    gateway.metric_reaches("streams{state=\"live\"}", 1.0).await;
    gateway.topic.append_all(0, (0..6).map(|n| event("A", n)));
    assert_eq!(json_numbers(&mut client, 6).await, [0, 1, 2, 3, 4, 5]);
    client.send(Message::text(r#"{"ack":"3"}"#)).await;
    client.leave().await;
    gateway.metric_reaches("cursors_written_total", 2.0).await;
    let mut client = gateway.connect("a", "&format=json").await;
    assert_eq!(json_numbers(&mut client, 3).await, [3, 4, 5]);
    client.leave().await;
    gateway.metric_reaches("streams_closed_total", 2.0).await;
    // A client of batches acknowledges when it comes for the next one.
    let mut batch = gateway.events("a", "&limit=1", &[]).await;
    assert_eq!(batch.numbers(1).await, [3]);
    assert_eq!(batch.json().await, None);
    let mut batch = gateway.events("a", "&limit=1&ack=4", &[]).await;
    assert_eq!(batch.numbers(1).await, [4]);
    assert_eq!(batch.json().await, None);
    gateway.metric_reaches("cursors_written_total", 3.0).await;
    let mut batch = gateway.events("a", "&limit=1", &[]).await;
    assert_eq!(batch.numbers(1).await, [4]);
    assert_eq!(batch.json().await, None);
    // What was not sent cannot have been handled.
    gateway.metric_reaches("streams_closed_total", 5.0).await;
    let mut client = gateway.connect("a", "&format=json").await;
    client.send(Message::text(r#"{"ack":"99"}"#)).await;
    let closed = async {
        loop {
            match client.socket.next().await {
                Some(Ok(Message::Close(Some(frame)))) => return u16::from(frame.code),
                Some(Ok(_)) => (),
                other => panic!("{other:?}"),
            }
        }
    };
    assert_eq!(timeout(PATIENCE, closed).await.unwrap(), 1008);
    gateway.stop().await;
}

#[tokio::test]
async fn cloud_events_have_their_envelope_and_one_identity_in_every_dialect() {
    let gateway = TestGateway::start(Topic::of(2), vec![route("a")]).await;
    let url = gateway.url("a", "&seq_start=1&markers=1");
    let mut request = url.into_client_request().unwrap();
    let offered = format!("cloudevents.json, datastream.key.{}", key("a"));
    let url = request.uri().to_string();
    let url = url.replace(&format!("stream_key={}&", key("a")), "");
    *request.uri_mut() = url.parse().unwrap();
    let headers = request.headers_mut();
    headers.insert("sec-websocket-protocol", offered.parse().unwrap());
    let mut client = Client::connect(gateway.stream, request).await.unwrap();
    for number in 0..2 {
        let message = timeout(PATIENCE, client.socket.next()).await.unwrap();
        let event: Value =
            serde_json::from_str(message.unwrap().unwrap().to_text().unwrap()).unwrap();
        assert_eq!(event["specversion"], "1.0");
        assert_eq!(event["id"], format!("0-{number}"));
        assert_eq!(event["type"], "dev.datastream.datapoint");
        assert_eq!(event["subject"], "A");
        assert_eq!(event["source"], "/datastream");
        assert_eq!(event["seq"], event["data"]["seq"]);
        assert_eq!(event["data"]["datapoint"]["value"], number);
    }
    let message = timeout(PATIENCE, client.socket.next()).await.unwrap();
    let live: Value = serde_json::from_str(message.unwrap().unwrap().to_text().unwrap()).unwrap();
    assert_eq!(live["type"], "dev.datastream.control");
    assert_eq!(
        (&live["id"], &live["data"]["control"]),
        (&json!("3"), &json!("live"))
    );
    client.leave().await;
    gateway.stop().await;
}

#[tokio::test]
async fn browsers_may_ask_from_every_page() {
    let gateway = TestGateway::start(Topic::of(0), vec![route("a")]).await;
    let head = "OPTIONS /events HTTP/1.1\r\nHost: x\r\nOrigin: https://a.example\r\nConnection: close\r\n\r\n";
    let mut tcp = tokio::net::TcpStream::connect(gateway.stream)
        .await
        .unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut tcp, head.as_bytes())
        .await
        .unwrap();
    let mut answer = String::new();
    let read = tokio::io::AsyncReadExt::read_to_string(&mut tcp, &mut answer);
    timeout(PATIENCE, read).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    assert!(answer.contains("access-control-allow-headers: authorization, last-event-id"));
    let opened = gateway.metric("streams_opened_total").await;
    assert!(opened.abs() < f64::EPSILON);
    gateway.stop().await;
}

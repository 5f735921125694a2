//! Streams of simulated events, in every dialect.

use std::collections::BTreeSet;

use datastream_protocol::event::EventType;
use datastream_protocol::frame::{Frame, HEARTBEAT, HEARTBEAT_ANSWER};
use datastream_routing::{Heartbeat, Resume, Route};
use futures_util::StreamExt as _;
use hyper::Version;
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use crate::common::client::Client;
use crate::common::http::Events;
use crate::common::topic::Topic;
use crate::common::{PATIENCE, TestGateway, events_path, route};
use crate::{check, check_event, message, simulated};

const EVENTS: usize = 400;
/// The first events of the topic, which have expired.
const EXPIRED: u64 = 5;
/// Asks for everything, with every marker.
const QUERY: &str = "&seq_start=1&on_gap=earliest&markers=1";

/// Parts of a stream that have been seen.
#[derive(Default)]
struct Seen {
    events: usize,
    types: BTreeSet<String>,
    controls: Vec<String>,
}

impl Seen {
    fn event(&mut self, json: &str) {
        self.events += 1;
        self.types.insert(check_event(json));
    }

    fn control(&mut self, json: &str) {
        check("control", json);
        let control: Value = serde_json::from_str(json).unwrap();
        let kind = control["control"].as_str().unwrap().to_owned();
        check(&kind, json);
        self.controls.push(kind);
    }

    fn either(&mut self, json: &str) {
        if json.starts_with(r#"{"control""#) {
            self.control(json);
        } else {
            self.event(json);
        }
    }

    fn is_whole(&self, controls: &[&str]) {
        assert_eq!(self.events, EVENTS - EXPIRED as usize);
        let all: BTreeSet<_> = EventType::ALL.map(|t| t.as_str().to_owned()).into();
        assert_eq!(self.types, all);
        assert_eq!(self.controls, controls);
    }
}

async fn gateway() -> TestGateway {
    let topic = Topic::new(1);
    topic.append_all(0, simulated(EVENTS));
    topic.expire(0, EXPIRED);
    TestGateway::start(topic, vec![route("a")]).await
}

/// The next text of a WebSocket.
async fn text(client: &mut Client) -> String {
    loop {
        match timeout(PATIENCE, client.socket.next()).await.unwrap() {
            Some(Ok(Message::Text(text))) => return text.as_str().to_owned(),
            Some(Ok(Message::Ping(_))) => (),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn frames_of_dss_are_what_the_contracts_say() {
    let gateway = gateway().await;
    let mut client = gateway.connect("a", QUERY).await;
    let (event, live, gap) = (
        message("EventFrame"),
        message("LiveFrame"),
        message("GapFrame"),
    );
    let mut seen = Seen::default();
    while seen.controls.last().is_none_or(|last| last != "live") {
        let frame = text(&mut client).await;
        let Frame::Event(body) = Frame::parse(&frame).unwrap() else {
            panic!("{frame}")
        };
        seen.either(body);
        let payload = match &seen.controls[..] {
            [.., last] if last == "live" => &live,
            [_] if seen.events == 0 => &gap,
            _ => &event,
        };
        payload.check(&json!(frame).to_string()).unwrap();
    }
    seen.is_whole(&["gap", "live"]);
    client.leave().await;
    gateway.stop().await;
}

#[tokio::test]
async fn messages_of_json_are_what_the_contracts_say() {
    let gateway = gateway().await;
    let mut client = gateway.connect("a", &format!("{QUERY}&format=json")).await;
    let mut seen = Seen::default();
    while seen.controls.last().is_none_or(|last| last != "live") {
        seen.either(&text(&mut client).await);
    }
    seen.is_whole(&["gap", "live"]);
    client.leave().await;
    gateway.stop().await;
}

#[tokio::test]
async fn cloud_events_are_what_the_contracts_say() {
    let gateway = gateway().await;
    let mut client = gateway
        .connect("a", &format!("{QUERY}&format=cloudevents"))
        .await;
    let (event_message, control_message) = (message("CloudEvent"), message("CloudControl"));
    let mut seen = Seen::default();
    while seen.controls.last().is_none_or(|last| last != "live") {
        let json = text(&mut client).await;
        let event: Value = serde_json::from_str(&json).unwrap();
        let data = event["data"].to_string();
        if event["type"] == "dev.datastream.control" {
            check("cloud-control", &json);
            control_message.check(&json).unwrap();
            seen.control(&data);
        } else {
            check("cloud-event", &json);
            event_message.check(&json).unwrap();
            seen.event(&data);
            let event_type = event["data"]["metadata"]["event_type"].as_str().unwrap();
            assert_eq!(event["type"], format!("dev.datastream.{event_type}"));
            let read: datastream_contracts::cloud_event::CloudEvent =
                serde_json::from_str(&json).unwrap();
            assert_eq!(read.data.event_type().unwrap().as_str(), event_type);
        }
    }
    seen.is_whole(&["gap", "live"]);
    client.leave().await;
    gateway.stop().await;
}

#[tokio::test]
async fn lines_of_json_are_what_the_contracts_say() {
    let gateway = gateway().await;
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let mut connection = gateway.http(version).await;
        let path = events_path("a", &format!("{QUERY}&wait=0"));
        let mut events = connection.get(&path, &[]).await;
        let mut seen = Seen::default();
        while let Some(line) = events.line().await {
            if !line.is_empty() {
                seen.either(&line);
            }
        }
        assert_eq!(seen.controls.first().unwrap(), "gap");
        assert_eq!(seen.controls.last().unwrap(), "close");
        seen.controls.retain(|control| control != "live");
        seen.is_whole(&["gap", "close"]);
    }
    gateway.stop().await;
}

/// The `event` and the `data` of the next server-sent event.
async fn server_sent(events: &mut Events) -> Option<(String, String)> {
    let fields = events.sse().await?;
    let field = |name: &str| {
        let found = fields.iter().find(|(field, _)| field == name);
        found.map(|(_, value)| value.clone())
    };
    let (kind, data) = (field("event").unwrap(), field("data").unwrap());
    if kind != "control" {
        let event: Value = serde_json::from_str(&data).unwrap();
        assert_eq!(event["seq"], field("id").unwrap());
    }
    Some((kind, data))
}

#[tokio::test]
async fn server_sent_events_are_what_the_contracts_say() {
    let gateway = gateway().await;
    let accept = ("accept", "text/event-stream");
    let mut events = gateway
        .events("a", &format!("{QUERY}&wait=0"), &[accept])
        .await;
    let mut seen = Seen::default();
    while let Some((kind, data)) = server_sent(&mut events).await {
        if kind == "control" {
            seen.control(&data);
        } else {
            seen.event(&data);
            assert!(seen.types.contains(&kind), "{kind}");
        }
    }
    seen.controls.retain(|control| control != "live");
    seen.is_whole(&["gap", "close"]);
    // What passes by itself is a control message, too.
    let holder = gateway.events("a", "", &[]).await;
    gateway.metric_reaches("streams{state=\"live\"}", 1.0).await;
    let mut refused = gateway.events("a", "", &[accept]).await;
    let (kind, data) = server_sent(&mut refused).await.unwrap();
    assert_eq!(kind, "control");
    check("refused", &data);
    drop(holder);
    gateway.stop().await;
}

#[tokio::test]
async fn heartbeats_and_what_clients_send_are_what_the_contracts_say() {
    let heartbeat = Heartbeat {
        interval_seconds: 1,
        missed_limit: 3,
    };
    let quick = |name| Route {
        heartbeat,
        resume: Resume::Committed,
        ..route(name)
    };
    let topic = Topic::new(1);
    topic.append_all(0, simulated(3));
    let gateway = TestGateway::start(topic, vec![quick("a"), quick("b")]).await;
    let mut client = gateway.connect("a", "").await;
    let heartbeat = text(&mut client).await;
    assert_eq!(heartbeat, HEARTBEAT);
    let frame = json!(heartbeat).to_string();
    message("Heartbeat").check(&frame).unwrap();
    let answer = json!(HEARTBEAT_ANSWER).to_string();
    message("HeartbeatAnswer").check(&answer).unwrap();
    client.send(Message::text(HEARTBEAT_ANSWER)).await;
    gateway
        .metric_reaches("heartbeats_answered_total", 1.0)
        .await;
    client.leave().await;

    let mut client = gateway.connect("b", "&seq_start=1&format=json").await;
    check_event(&text(&mut client).await);
    let acknowledged = gateway.metric("cursors_written_total").await;
    let ack = datastream_contracts::client::Ack {
        ack: "1".to_owned(),
    };
    let ack = serde_json::to_string(&ack).unwrap();
    check("ack", &ack);
    client.send(Message::text(ack)).await;
    gateway
        .metric_reaches("cursors_written_total", acknowledged + 1.0)
        .await;
    client.leave().await;
    gateway.stop().await;
}

//! `resume: Committed`: a client that never says where it starts resumes where its answered heartbeats left off.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::client::{Client, GOOD, handshake};
use common::topic::{Topic, event};
use common::{TestGateway, key, route};
use datastream_routing::{Heartbeat, Resume, Route};
use futures_util::StreamExt;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

fn committed(name: &str) -> Route {
    Route {
        resume: Resume::Committed,
        heartbeat: Heartbeat {
            interval_seconds: 1,
            missed_limit: 10,
        },
        ..route(name)
    }
}

/// Waits for the next heartbeat, and answers it or not.
async fn heartbeat(client: &mut Client, answer: bool) {
    client.answers = answer;
    let message = client.socket.next().await.unwrap().unwrap();
    assert_eq!(message, Message::text("1|Z"), "no heartbeat");
    if answer {
        client.send(Message::text("Z")).await;
    }
}

async fn live(gateway: &TestGateway) {
    gateway.metric_reaches("streams{state=\"live\"}", 1.0).await;
}

/// A connection that is lost before its client has read anything.
#[derive(Clone, Copy, Debug)]
enum Lost {
    /// The kernel resets it.
    Reset,
    /// Somebody on the way ends it, and has taken what was sent.
    Ended,
    /// The client closes it in order at the same moment.
    Closed,
}

async fn lose(gateway: &TestGateway, name: &str, how: Lost) {
    let mut socket = TcpStream::connect(gateway.stream).await.unwrap();
    let request = handshake(name, "1.1", "Upgrade", &GOOD);
    socket.write_all(request.as_bytes()).await.unwrap();
    match how {
        // What is there and is not read when a socket is closed makes the kernel reset the connection.
        Lost::Reset => drop(socket.peek(&mut [0]).await.unwrap()),
        Lost::Ended => {
            socket.shutdown().await.unwrap();
            socket.read_to_end(&mut vec![]).await.unwrap();
        }
        Lost::Closed => {
            // Code 1000, masked with zeros.
            let close = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8];
            socket.write_all(&close).await.unwrap();
            socket.read_to_end(&mut vec![]).await.unwrap();
        }
    }
}

#[tokio::test]
async fn events_acknowledged_by_a_heartbeat_are_not_sent_again_by_any_gateway() {
    let (topic, cursors) = (Topic::new(1), Topic::new(1));
    let routes = vec![committed("a")];
    let first = TestGateway::start_beside(topic.clone(), cursors.clone(), routes.clone()).await;
    let second = TestGateway::start_beside(topic.clone(), cursors, routes).await;
    topic.append_all(0, (0..5).map(|n| event("A", n)));
    first.metric_reaches("records_total", 5.0).await;

    let mut client = first.connect("a", "").await;
    live(&first).await;
    topic.append_all(0, (5..10).map(|n| event("A", n)));
    assert_eq!(client.numbers(5).await, [5, 6, 7, 8, 9]);
    heartbeat(&mut client, true).await;
    // The start, and what was acknowledged.
    first.metric_reaches("cursors_written_total", 2.0).await;
    topic.append_all(0, (10..13).map(|n| event("A", n)));
    client.answers = false;
    assert_eq!(client.numbers(3).await, [10, 11, 12]);
    // Nobody says goodbye.
    drop(client);

    // Acknowledged up to 9; after that nothing was.
    let mut client = second.connect("a", "").await;
    assert_eq!(client.numbers(3).await, [10, 11, 12]);
    heartbeat(&mut client, true).await;
    second.metric_reaches("cursors_written_total", 1.0).await;
    client.leave().await;
    first.metric_reaches("streams_closed_total", 1.0).await;
    topic.append(0, event("A", 13));
    let mut client = first.connect("a", "").await;
    assert_eq!(client.numbers(1).await, [13]);
    first.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn the_first_connection_commits_its_start_at_once() {
    let (topic, cursors) = (Topic::new(1), Topic::new(1));
    let routes = vec![committed("a"), route("latest")];
    let gateway = TestGateway::start_beside(topic.clone(), cursors.clone(), routes.clone()).await;
    topic.append_all(0, (0..3).map(|n| event("A", n)));
    gateway.metric_reaches("records_total", 3.0).await;
    drop(gateway.connect("a", "").await);
    let written = gateway.metric("cursors_written_total").await;
    drop(gateway.connect("latest", "").await);
    gateway.stop().await;
    topic.append_all(0, (3..6).map(|n| event("A", n)));
    let gateway = TestGateway::start_beside(topic, cursors, routes).await;
    let mut client = gateway.connect("a", "").await;
    assert_eq!(client.numbers(3).await, [3, 4, 5]);
    assert!(written >= 1.0);
    gateway.stop().await;
}

#[tokio::test]
async fn a_position_beyond_a_topic_that_was_made_again_is_said_to_be_that() {
    let (topic, cursors) = (Topic::of(10), Topic::new(1));
    let routes = vec![committed("a")];
    let gateway = TestGateway::start_beside(topic, cursors.clone(), routes.clone()).await;
    drop(gateway.connect("a", "").await);
    gateway.metric_reaches("cursors_written_total", 1.0).await;
    gateway.stop().await;
    let gateway = TestGateway::start_beside(Topic::of(3), cursors, routes).await;
    let (status, body) = gateway.refused(&format!("stream_key={}", key("a"))).await;
    assert_eq!(status, 400);
    let message = body["message"].as_str().unwrap();
    assert!(message.contains("made again"), "{message}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_start_of_which_nothing_was_acknowledged_is_no_acknowledgement() {
    let (topic, cursors) = (Topic::new(1), Topic::new(1));
    let routes = vec![committed("a"), committed("b")];
    let gateway = TestGateway::start_beside(topic.clone(), cursors.clone(), routes.clone()).await;
    topic.append_all(0, (0..10).map(|n| event("A", n)));
    gateway.metric_reaches("records_total", 10.0).await;
    for name in ["a", "b"] {
        let mut look = gateway.connect(name, "&seq_start=9&seq_end=10").await;
        assert_eq!(look.numbers(2).await, [8, 9]);
        assert_eq!(look.closed().await.0, 1000);
    }
    let mut acknowledges = gateway.connect("a", "&ack=5&seq_end=6").await;
    assert_eq!(acknowledges.numbers(1).await, [5]);
    assert_eq!(acknowledges.closed().await.0, 1000);
    let mut earlier = gateway.connect("b", "&seq_start=3&seq_end=4").await;
    assert_eq!(earlier.numbers(2).await, [2, 3]);
    assert_eq!(earlier.closed().await.0, 1000);

    // Behind what was acknowledged; or, where nothing was, from the earliest start on. On any gateway.
    gateway.stop().await;
    let gateway = TestGateway::start_beside(topic, cursors, routes).await;
    let mut client = gateway.connect("a", "").await;
    assert_eq!(client.numbers(5).await, [5, 6, 7, 8, 9]);
    let mut client = gateway.connect("b", "").await;
    assert_eq!(client.numbers(8).await, [2, 3, 4, 5, 6, 7, 8, 9]);
    gateway.stop().await;
}

#[tokio::test]
async fn a_replay_of_old_events_does_not_move_the_position_back() {
    let (topic, cursors) = (Topic::new(1), Topic::new(1));
    let gateway = TestGateway::start_beside(topic.clone(), cursors, vec![committed("a")]).await;
    let mut client = gateway.connect("a", "").await;
    live(&gateway).await;
    topic.append_all(0, (0..10).map(|n| event("A", n)));
    assert_eq!(client.numbers(10).await.len(), 10);
    heartbeat(&mut client, true).await;
    gateway.metric_reaches("cursors_written_total", 2.0).await;
    client.leave().await;

    let mut replay = gateway.connect("a", "&seq_start=2&seq_end=4").await;
    assert_eq!(replay.numbers(3).await, [1, 2, 3]);
    assert_eq!(replay.closed().await.0, 1000);
    topic.append(0, event("A", 10));
    let mut client = gateway.connect("a", "").await;
    assert_eq!(client.numbers(1).await, [10]);
    gateway.stop().await;
}

#[tokio::test]
async fn an_expired_position_resumes_at_the_earliest_event() {
    let (topic, cursors) = (Topic::new(1), Topic::new(1));
    let gateway = TestGateway::start_beside(topic.clone(), cursors, vec![committed("a")]).await;
    drop(gateway.connect("a", "").await);
    topic.append_all(0, (0..10).map(|n| event("A", n)));
    topic.expire(0, 7);
    gateway.metric_reaches("streams_closed_total", 1.0).await;
    let mut client = gateway.connect("a", "&markers=1").await;
    assert_eq!(client.raw().await["control"], "gap");
    assert_eq!(client.numbers(3).await, [7, 8, 9]);
    assert!((gateway.metric("committed_gaps_total").await - 1.0).abs() < 0.1);
    // It has acknowledged nothing: for all that the gateway knows, nobody has heard of the gap.
    client.leave().await;
    gateway.metric_reaches("streams_closed_total", 2.0).await;
    let mut client = gateway.connect("a", "&markers=1").await;
    assert_eq!(client.raw().await["control"], "gap");
    assert_eq!(client.numbers(3).await, [7, 8, 9]);
    assert_eq!(client.raw().await["control"], "live");
    heartbeat(&mut client, true).await;
    gateway.metric_reaches("cursors_written_total", 2.0).await;
    client.leave().await;
    gateway.metric_reaches("streams_closed_total", 3.0).await;
    topic.append(0, event("A", 10));
    let mut client = gateway.connect("a", "").await;
    assert_eq!(client.numbers(1).await, [10]);
    gateway.stop().await;
}

#[tokio::test]
async fn a_client_without_markers_learns_of_expired_events_by_a_close_frame_and_then_resumes() {
    let (topic, cursors) = (Topic::new(1), Topic::new(1));
    let gateway = TestGateway::start_beside(topic.clone(), cursors, vec![committed("a")]).await;
    drop(gateway.connect("a", "").await);
    topic.append_all(0, (0..10).map(|n| event("A", n)));
    topic.expire(0, 7);
    gateway.metric_reaches("streams_closed_total", 1.0).await;
    // If a connection is lost before the report, the next one gets it.
    let mut closed = 1.0;
    for how in [Lost::Reset, Lost::Ended, Lost::Closed, Lost::Reset] {
        lose(&gateway, "a", how).await;
        closed += 1.0;
        gateway.metric_reaches("streams_closed_total", closed).await;
    }
    let (code, reason) = gateway.connect("a", "").await.closed().await;
    assert_eq!(code, 1011);
    assert!(reason.contains("events before 8 have expired"), "{reason}");
    gateway.metric_reaches("cursors_written_total", 2.0).await;
    let mut client = gateway.connect("a", "").await;
    assert_eq!(client.numbers(3).await, [7, 8, 9]);
    gateway.stop().await;
}

#[tokio::test]
async fn without_the_cursors_topic_only_committed_streams_are_refused() {
    let (topic, cursors) = (Topic::new(1), Topic::new(1));
    let routes = vec![committed("a"), route("latest")];
    let gateway = TestGateway::start_beside(topic.clone(), cursors.clone(), routes).await;
    cursors.down.send_replace(true);
    let mut latest = gateway.connect("latest", "").await;
    live(&gateway).await;
    topic.append(0, event("A", 0));
    assert_eq!(latest.numbers(1).await, [0]);
    let (status, body) = gateway.refused(&format!("stream_key={}", key("a"))).await;
    assert_eq!((status, &body["error"]), (503, &"unavailable".into()));
    cursors.down.send_replace(false);
    let mut client = loop {
        let url = gateway.url("a", "");
        match Client::connect(gateway.stream, url.as_str()).await {
            Ok(client) => break client,
            Err((status, _)) => assert_eq!(status, 503),
        }
    };
    topic.append(0, event("A", 1));
    assert_eq!(client.numbers(1).await, [1]);
    gateway.stop().await;
}

#[tokio::test]
async fn several_partitions_are_acknowledged_together() {
    let (topic, cursors) = (Topic::new(3), Topic::new(1));
    let routes = vec![committed("a")];
    let first = TestGateway::start_beside(topic.clone(), cursors.clone(), routes.clone()).await;
    let mut client = first.connect("a", "").await;
    live(&first).await;
    for partition in 0..3 {
        topic.append_all(partition, (0..4).map(|n| event("A", 10 * partition + n)));
    }
    let mut numbers = client.numbers(12).await;
    heartbeat(&mut client, true).await;
    first.metric_reaches("cursors_written_total", 2.0).await;
    for partition in 0..3 {
        topic.append(partition, event("A", 10 * partition + 4));
    }
    client.answers = false;
    numbers.extend(client.numbers(3).await);
    first.stop().await;
    let second = TestGateway::start_beside(topic, cursors, routes).await;
    let mut client = second.connect("a", "").await;
    let mut again = client.numbers(3).await;
    again.sort_unstable();
    assert_eq!(again, [4, 14, 24]);
    second.stop().await;
}

//! Connections of HTTP/2 that carry streams beside each other, and those whose clients read nothing for a while.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::error::Error as _;
use std::time::Duration;

use bytes::Bytes;
use common::http::{Connection, Events};
use common::topic::{Topic, event};
use common::{PATIENCE, TestGateway, events_path, route};
use datastream_gateway::Settings;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use hyper::{Request, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

/// A connection of HTTP/2 with these settings.
async fn sender(
    gateway: &TestGateway,
    settings: &http2::Builder<TokioExecutor>,
) -> http2::SendRequest<Full<Bytes>> {
    let io = TokioIo::new(TcpStream::connect(gateway.stream).await.unwrap());
    let (sender, connection) = settings.handshake(io).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// A connection with the gateway of which nothing is read while it is shut.
async fn gated(gateway: &TestGateway, version: Version) -> (Connection, watch::Sender<bool>) {
    let (near, far) = tokio::io::duplex(1 << 16);
    let (mut from_client, mut to_client) = tokio::io::split(far);
    let socket = TcpStream::connect(gateway.stream).await.unwrap();
    let (mut from_gateway, mut to_gateway) = socket.into_split();
    let (gate, mut is_open) = watch::channel(true);
    tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_gateway).await });
    tokio::spawn(async move {
        let mut buf = [0; 1 << 12];
        while is_open.wait_for(|is_open| *is_open).await.is_ok() {
            let count = from_gateway.read(&mut buf).await.unwrap_or(0);
            if count == 0 || to_client.write_all(&buf[..count]).await.is_err() {
                return;
            }
        }
    });
    (Connection::over(near, version).await, gate)
}

/// Lets time go by, for timers.
async fn goes_by(seconds: u64) {
    tokio::time::pause();
    for _ in 0..seconds {
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    tokio::time::resume();
}

#[tokio::test]
async fn one_connection_of_http_2_carries_many_streams_and_outlives_them() {
    let routes: Vec<_> = (0..50).map(|n| route(&format!("r{n}"))).collect();
    let settings = Settings {
        // Less than the streams: what carries some is not closed for others.
        max_streams: 60,
        ..Settings::default()
    };
    let gateway = TestGateway::start_with(Topic::of(1), routes, settings).await;
    let mut connection = gateway.http(Version::HTTP_2).await;
    let mut streams: Vec<Events> = vec![];
    for n in 0..50 {
        let path = events_path(&format!("r{n}"), "&seq_start=1");
        streams.push(connection.get(&path, &[]).await);
    }
    for stream in &mut streams {
        assert_eq!(stream.numbers(1).await, [0]);
    }
    gateway.topic.append(0, event("A", 1));
    // One that nobody reads holds up no other.
    for stream in streams.iter_mut().skip(1) {
        assert_eq!(stream.numbers(1).await, [1]);
    }
    drop(streams);
    gateway.metric_reaches("streams_closed_total", 50.0).await;
    let path = events_path("r0", "&seq_start=1&limit=1");
    assert_eq!(connection.get(&path, &[]).await.numbers(1).await, [0]);
    gateway.stop().await;
}

#[tokio::test]
async fn a_connection_of_http2_may_ask_for_all_of_its_streams_at_once() {
    let names: Vec<_> = (0..100).map(|n| format!("s{n}")).collect();
    let gateway = TestGateway::start(Topic::of(1), names.iter().map(|n| route(n)).collect()).await;
    let connection = gateway.http(Version::HTTP_2).await;
    let opened = names.iter().map(|name| {
        let mut connection = connection.beside();
        let path = events_path(name, "&seq_start=1");
        async move { connection.get(&path, &[]).await }
    });
    let mut streams = futures_util::future::join_all(opened).await;
    for stream in &mut streams {
        assert_eq!(stream.status, 200);
        assert_eq!(stream.numbers(1).await, [0]);
    }
    drop(streams);
    gateway.stop().await;
}

#[tokio::test]
async fn requests_are_refused_so_that_they_may_come_again_where_too_many_wait() {
    let gateway = TestGateway::start(Topic::of(1), vec![]).await;
    let mut answers = FuturesUnordered::new();
    for _ in 0..20 {
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        // No answer is taken.
        let sender = sender(&gateway, http2.initial_stream_window_size(0)).await;
        for _ in 0..100 {
            let request = Request::get("http://x/nothing").header("x", "x".repeat(10_000));
            let request = request.body(Full::default()).unwrap();
            answers.push(sender.clone().send_request(request));
        }
    }
    let mut untaken = vec![];
    let refused = loop {
        match timeout(PATIENCE, answers.next()).await.unwrap().unwrap() {
            Ok(answer) => untaken.push(answer),
            Err(refused) => break refused,
        }
    };
    let reason = refused.source().unwrap().downcast_ref::<h2::Error>();
    assert_eq!(reason.unwrap().reason(), Some(h2::Reason::REFUSED_STREAM));
    gateway.stop().await;
}

#[tokio::test]
async fn clients_of_http2_that_come_all_at_once_or_behind_idle_ones_get_their_streams() {
    let names: Vec<_> = (0..300).map(|n| format!("s{n}")).collect();
    let routes = names.iter().map(|name| route(name)).collect();
    let settings = Settings {
        handshakes_per_second: 10_000,
        ..Settings::default()
    };
    let gateway = TestGateway::start_with(Topic::of(1), routes, settings).await;
    let mut idle = vec![];
    for _ in 0..200 {
        idle.push(gateway.http(Version::HTTP_2).await);
    }
    let opened = names.iter().map(async |name| {
        let path = events_path(name, "&seq_start=1");
        gateway.http(Version::HTTP_2).await.get(&path, &[]).await
    });
    let streams = futures_util::future::join_all(opened).await;
    // None of them has made way for a later one.
    for mut stream in streams {
        assert_eq!(stream.status, 200);
        assert_eq!(stream.numbers(1).await, [0]);
    }
    drop(idle);
    gateway.stop().await;
}

#[tokio::test]
async fn over_http2_a_request_with_a_body_or_too_many_fields_is_refused_for_that() {
    let gateway = TestGateway::start(Topic::of(1), vec![]).await;
    let mut sender = sender(&gateway, &http2::Builder::new(TokioExecutor::new())).await;
    let with_fields = |count: usize| {
        let named = (0..count).map(|n| (format!("x{n}"), "y"));
        let request = Request::get("http://x/");
        let request = named.fold(request, |request, (name, value)| {
            request.header(name, value)
        });
        request.body(Full::<Bytes>::default()).unwrap()
    };
    for (fields, status) in [(100, 200), (101, 431)] {
        let answer = sender.send_request(with_fields(fields)).await.unwrap();
        assert_eq!(answer.status(), status);
    }
    let with_body = Request::post("http://x/").body(Full::new(Bytes::from_static(b"x")));
    let refused = sender.send_request(with_body.unwrap()).await.unwrap_err();
    let reason = refused.source().unwrap().downcast_ref::<h2::Error>();
    assert_eq!(
        reason.unwrap().reason(),
        Some(h2::Reason::HTTP_1_1_REQUIRED)
    );
    gateway.stop().await;
}

#[tokio::test]
async fn a_client_may_read_nothing_for_as_long_as_its_heartbeats_allow() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let gateway = TestGateway::start(Topic::of(1), vec![route("a")]).await;
        let (mut connection, gate) = gated(&gateway, version).await;
        let path = events_path("a", "&seq_start=1");
        let mut events = connection.get(&path, &[]).await;
        assert_eq!(events.numbers(1).await, [0]);
        gate.send_replace(false);
        let count = 40_000;
        gateway.falls_behind(1..count).await;
        // Three times 30 s.
        goes_by(85).await;
        gate.send_replace(true);
        let numbers = events.numbers(count - 1).await;
        assert!(numbers.iter().copied().eq(1..count), "{version:?}");
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_connection_of_http2_of_which_nothing_is_asked_is_closed() {
    let gateway = TestGateway::start(Topic::of(1), vec![route("a")]).await;
    let mut sender = sender(&gateway, &http2::Builder::new(TokioExecutor::new())).await;
    let request = || Request::get("http://x/").body(Full::<Bytes>::default());
    for _ in 0..3 {
        let answer = sender.send_request(request().unwrap()).await.unwrap();
        assert_eq!(answer.status(), 200);
        drop(answer);
        goes_by(50).await;
    }
    let path = events_path("a", "&seq_start=1");
    let stream = Request::get(format!("http://x{path}")).body(Full::default());
    let stream = sender.send_request(stream.unwrap()).await.unwrap();
    goes_by(130).await;
    let answer = sender.send_request(request().unwrap()).await.unwrap();
    assert_eq!(answer.status(), 200);
    drop((stream, answer));
    gateway.metric_reaches("streams_closed_total", 1.0).await;
    goes_by(70).await;
    let ended = async {
        while sender.ready().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, ended).await.unwrap();
    gateway.stop().await;
}

/// A connection of HTTP/2 with these bytes of room for each response.
async fn narrow(gateway: &TestGateway, window: u32) -> http2::SendRequest<Full<Bytes>> {
    let mut settings = http2::Builder::new(TokioExecutor::new());
    sender(gateway, settings.initial_stream_window_size(window)).await
}

fn ask(name: &str, query: &str) -> Request<Full<Bytes>> {
    let uri = format!("http://x{}", events_path(name, query));
    Request::get(uri).body(Full::default()).unwrap()
}

#[tokio::test]
async fn a_stream_that_ends_unread_is_reset() {
    let gateway = TestGateway::start(Topic::of(200), vec![route("a")]).await;
    let mut sender = narrow(&gateway, 1_000).await;
    let mut answer = sender.send_request(ask("a", "&seq_start=1")).await.unwrap();
    gateway.metric_reaches("streams_opened_total", 1.0).await;
    gateway.set_routes(vec![]).await;
    gateway.metric_reaches("streams_closed_total", 1.0).await;
    // The time for its goodbye.
    goes_by(3).await;
    // What the client had taken, and no more. The library takes the reset for an end, or for an error with that reason.
    let mut bytes = 0;
    loop {
        let frame = timeout(PATIENCE, answer.body_mut().frame()).await.unwrap();
        match frame {
            Some(Ok(frame)) => bytes += frame.into_data().unwrap().len(),
            Some(Err(error)) => {
                let reason = error.source().unwrap().downcast_ref::<h2::Error>();
                assert_eq!(reason.unwrap().reason(), Some(h2::Reason::CANCEL));
                break;
            }
            None => break,
        }
    }
    assert_eq!(bytes, 1_000);
    gateway.stop().await;
}

#[tokio::test]
async fn a_batch_is_over_when_its_client_has_taken_it() {
    let gateway = TestGateway::start(Topic::of(20), vec![route("a")]).await;
    let mut sender = narrow(&gateway, 1_000).await;
    let batch = ask("a", "&seq_start=1&limit=20");
    let answer = sender.send_request(batch).await.unwrap();
    gateway.metric_reaches("streams_opened_total", 1.0).await;
    // Longer than a goodbye takes.
    goes_by(5).await;
    assert!(gateway.metric("streams_closed_total").await < 1.0);
    let body = timeout(PATIENCE, answer.collect()).await.unwrap().unwrap();
    let lines = String::from_utf8(body.to_bytes().to_vec()).unwrap();
    assert_eq!(lines.lines().count(), 20);
    gateway.metric_reaches("streams_closed_total", 1.0).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_connection_of_http2_whose_client_says_nothing_more_is_closed() {
    let gateway = TestGateway::start(Topic::of(1), vec![]).await;
    let mut socket = TcpStream::connect(gateway.stream).await.unwrap();
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let begin = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &settings].concat();
    socket.write_all(&begin).await.unwrap();
    socket.readable().await.unwrap();
    goes_by(75).await;
    let mut last = vec![];
    let end = timeout(PATIENCE, socket.read_to_end(&mut last)).await;
    end.unwrap().unwrap();
    gateway.stop().await;
}

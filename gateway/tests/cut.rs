//! Clients of `/events` whose network is cut: nothing comes back of them, no answer, no acknowledgement, no end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::http::Connection;
use common::topic::{Topic, event};
use common::{PATIENCE, TestGateway, events_path, route};
use hyper::Version;
use socket2::{SockFilter, SockRef};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// The program of a packet filter (BPF) that takes no packet: `ret #0`.
const NOTHING: SockFilter = SockFilter::new(0x06, 0, 0, 0);

/// A connection whose network can be cut.
async fn connect(gateway: &TestGateway, version: Version) -> (Connection, socket2::Socket) {
    let tcp = TcpStream::connect(gateway.stream).await.unwrap();
    let socket = SockRef::from(&tcp).try_clone().unwrap();
    (Connection::over(tcp, version).await, socket)
}

async fn gives_way(version: Version) {
    let gateway = TestGateway::start(Topic::new(1), vec![route("a")]).await;
    let (mut connection, socket) = connect(&gateway, version).await;
    let mut cut = connection.get(&events_path("a", ""), &[]).await;
    gateway.metric_reaches("streams{state=\"live\"}", 1.0).await;
    gateway.topic.append(0, event("A", 0));
    assert_eq!(cut.numbers(1).await, [0]);
    socket.attach_filter(&[NOTHING]).unwrap();
    gateway.topic.append(0, event("A", 1));

    let path = events_path("a", "&seq_start=2");
    let opened = async {
        loop {
            let mut other = gateway.http(version).await;
            let events = other.get(&path, &[]).await;
            if events.status == 200 {
                return (other, events);
            }
            assert_eq!(events.status, 409);
            // Whoever asks without a pause is asked to wait, and the kernel's clock cannot be hastened.
            sleep(Duration::from_secs(1)).await;
        }
    };
    let (_connection, mut events) = timeout(PATIENCE, opened).await.expect("it gives way");
    assert_eq!(events.numbers(1).await, [1]);
    gateway.stop().await;
}

#[tokio::test]
async fn a_client_of_http_1_whose_network_is_cut_gives_way_to_another() {
    gives_way(Version::HTTP_11).await;
}

#[tokio::test]
async fn a_client_of_http_2_whose_network_is_cut_gives_way_to_another() {
    gives_way(Version::HTTP_2).await;
}

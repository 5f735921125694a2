//! Tests of the listener for clients over TLS.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::client::{Client, get};
use common::topic::{Topic, event};
use common::{PATIENCE, TestGateway, key, route};
use datastream_gateway::Settings;
use datastream_service::tls::{Authority, DISTANT_YEAR, IdentityFiles, ServerFiles};
use futures_util::SinkExt as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::Message;

/// Writes a certificate for localhost and its key into a folder, and returns a configuration that trusts its authority and no other.
fn certificate(dir: &Path, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    let authority = Authority::new();
    authority.issue(dir, &["localhost"], DISTANT_YEAR);
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap())
        .unwrap();
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

async fn gateway(dir: &Path) -> TestGateway {
    let settings = Settings {
        tls: Some(ServerFiles {
            identity: IdentityFiles {
                certificate: dir.join("tls.crt"),
                key: dir.join("tls.key"),
            },
            client_authority: None,
        }),
        ..Settings::default()
    };
    TestGateway::start_with(Topic::new(1), vec![route("a"), route("b")], settings).await
}

async fn connect(
    gateway: &TestGateway,
    config: &ClientConfig,
) -> std::io::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(gateway.stream).await?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config.clone()))
        .connect(name, tcp)
        .await
}

async fn open(
    gateway: &TestGateway,
    config: &ClientConfig,
    name: &str,
    query: &str,
) -> Client<TlsStream<TcpStream>> {
    let url = format!("wss://localhost/stream?stream_key={}{query}", key(name));
    let tls = connect(gateway, config).await.unwrap();
    Client::over(tls, url).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_and_close_frames_arrive_over_every_version_of_tls() {
    for version in [&TLS12, &TLS13] {
        let dir = tempfile::tempdir().unwrap();
        let config = certificate(dir.path(), &[version]);
        let gateway = gateway(dir.path()).await;
        let mut client = open(&gateway, &config, "a", "").await;
        gateway.metric_reaches("streams{state=\"live\"}", 1.0).await;
        for number in 0..100 {
            gateway.topic.append(0, event("A", number));
        }
        assert_eq!(client.numbers(100).await, (0..100).collect::<Vec<_>>());
        let reader = tokio::spawn(async move { client.closed().await });
        gateway.stop().await;
        assert_eq!(reader.await.unwrap().0, 1001);
    }
}

/// Frames smaller and larger than what is gathered and than a record of TLS, with pings between, for a client that stops to read
/// now and then: the gateway's buffers fill and empty.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_client_gets_everything_in_order_between_pongs() {
    let dir = tempfile::tempdir().unwrap();
    let config = certificate(dir.path(), &[&TLS13]);
    let gateway = gateway(dir.path()).await;
    let sizes = [0, 7_000, 8_200, 16_300, 70_000, 300_000];
    for number in 0..300 {
        let device = "A".repeat(1 + sizes[number % sizes.len()]);
        gateway.topic.append(0, event(&device, number));
    }
    let mut client = open(&gateway, &config, "a", "&seq_start=0").await;
    for number in 0..300 {
        if number % 10 == 0 {
            sleep(Duration::from_millis(20)).await;
            client
                .socket
                .send(Message::Ping(vec![1; 100].into()))
                .await
                .unwrap();
        }
        assert_eq!(client.numbers(1).await, [number]);
    }
    client.leave().await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewed_certificate_serves_new_connections_and_drops_none() {
    let dir = tempfile::tempdir().unwrap();
    let old = certificate(dir.path(), &[&TLS13]);
    let gateway = gateway(dir.path()).await;
    let mut before = open(&gateway, &old, "a", "").await;
    gateway.metric_reaches("streams{state=\"live\"}", 1.0).await;
    let new = certificate(dir.path(), &[&TLS13]);
    let renewed = async {
        while connect(&gateway, &new).await.is_err() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, renewed)
        .await
        .expect("the new certificate");
    assert!(connect(&gateway, &old).await.is_err());
    let mut after = open(&gateway, &new, "b", "").await;
    gateway.metric_reaches("streams{state=\"live\"}", 2.0).await;
    gateway.topic.append(0, event("A", 1));
    assert_eq!(before.numbers(1).await, [1]);
    assert_eq!(after.numbers(1).await, [1]);
    assert!(
        gateway
            .metric("certificate_expiry_timestamp_seconds{certificate=\"listener\"}")
            .await
            > 4e9
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_without_tls_is_told_so_and_one_that_says_nothing_keeps_nobody_out() {
    let dir = tempfile::tempdir().unwrap();
    let config = certificate(dir.path(), &[&TLS13]);
    let gateway = gateway(dir.path()).await;
    let silent = TcpStream::connect(gateway.stream).await.unwrap();
    let (status, body) = get(gateway.stream, "/stream").await;
    assert_eq!(status, 400);
    assert!(body.contains("this port speaks TLS: use wss://"), "{body}");
    let client = open(&gateway, &config, "a", "").await;
    client.leave().await;
    drop(silent);
    gateway.stop().await;
}

/// A message of the handshake may have 64 KiB, and rustls would wait for all of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_sends_more_of_a_handshake_than_any_needs_is_closed() {
    const RECORD: u16 = 16 << 10;
    let dir = tempfile::tempdir().unwrap();
    certificate(dir.path(), &[&TLS13]);
    let gateway = gateway(dir.path()).await;
    let mut socket = TcpStream::connect(gateway.stream).await.unwrap();
    // A ClientHello of 60,000 bytes, of which two records come (RFC 8446, sections 4 and 5.1).
    let mut hello = vec![1, 0, 0xea, 0x60];
    hello.resize(2 * usize::from(RECORD), 0);
    for part in hello.chunks(usize::from(RECORD)) {
        let [high, low] = RECORD.to_be_bytes();
        socket.write_all(&[22, 3, 1, high, low]).await.unwrap();
        socket.write_all(part).await.unwrap();
    }
    let mut answer = vec![];
    // Long before the time for a handshake is over.
    let closed = timeout(Duration::from_secs(5), socket.read_to_end(&mut answer)).await;
    assert!(closed.is_ok());
    gateway.stop().await;
}

//! Tests of the listener for clients over TLS.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::client::{Client, get};
use common::http::Connection;
use common::topic::{Topic, event};
use common::{PATIENCE, TestGateway, events_path, key, route};
use datastream_gateway::Settings;
use datastream_routing::{ClientCertificate, Route};
use datastream_service::tls::{
    Authority, ClientCertificates, DISTANT_YEAR, IdentityFiles, ServerFiles,
};
use futures_util::SinkExt as _;
use hyper::Version;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
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
    let routes = vec![route("a"), route("b")];
    gateway_of(dir, ClientCertificates::Unasked, routes).await
}

async fn gateway_of(dir: &Path, clients: ClientCertificates, routes: Vec<Route>) -> TestGateway {
    let settings = Settings {
        tls: Some(ServerFiles {
            identity: IdentityFiles {
                certificate: dir.join("tls.crt"),
                key: dir.join("tls.key"),
            },
            clients,
        }),
        ..Settings::default()
    };
    TestGateway::start_with(Topic::new(1), routes, settings).await
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_2_is_spoken_where_the_client_offers_it_and_websockets_where_it_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = certificate(dir.path(), &[&TLS13]);
    let gateway = gateway(dir.path()).await;
    for number in 0..100 {
        gateway
            .topic
            .append(0, event(&"A".repeat(1 + number * 500), number));
    }
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let tls = connect(&gateway, &config).await.unwrap();
    assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let mut connection = Connection::over(tls, Version::HTTP_2).await;
    for name in ["a", "b"] {
        let path = events_path(name, "&seq_start=1&limit=100");
        let mut events = connection.get(&path, &[]).await;
        assert_eq!(events.numbers(100).await, (0..100).collect::<Vec<_>>());
        assert_eq!(events.json().await, None);
    }
    config.alpn_protocols.remove(0);
    let mut client = open(&gateway, &config, "a", "&seq_start=100").await;
    assert_eq!(client.numbers(1).await, [99]);
    gateway.stop().await;
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

/// A subscription that takes only clients with a certificate of this name.
fn bound(name: &str, certificate: &str, without_key: bool) -> Route {
    Route {
        client_certificate: Some(Box::new(ClientCertificate {
            names: vec![certificate.to_owned()],
            without_key,
        })),
        ..route(name)
    }
}

/// The configuration of a client that shows the certificate in this folder.
fn with_certificate(config: &ClientConfig, files: &IdentityFiles) -> ClientConfig {
    let chain = CertificateDer::pem_file_iter(&files.certificate).unwrap();
    let chain = chain.collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(&files.key).unwrap();
    let certified = CertifiedKey::from_der(chain, key, config.crypto_provider()).unwrap();
    let mut config = config.clone();
    config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(certified));
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_with_client_certificates_takes_nobody_without() {
    let (dir, clients) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let anonymous = certificate(dir.path(), &[&TLS13]);
    let authority = Authority::new();
    let asked = ClientCertificates::Asked(authority.write(clients.path()));
    let spiffe = "spiffe://cluster.local/ns/team/sa/collector";
    let routes = vec![
        route("a"),
        bound("b", spiffe, false),
        bound("c", "c.example", true),
    ];
    let gateway = gateway_of(dir.path(), asked, routes).await;
    let client_of = |authority: &Authority, name: &str| {
        let dir = tempfile::tempdir().unwrap();
        with_certificate(&anonymous, &authority.issue_client(dir.path(), name))
    };
    let answer = async |config: &ClientConfig, query: String| {
        let tls = connect(&gateway, config).await.unwrap();
        let url = format!("wss://localhost/stream?{query}");
        match Client::over(tls, url).await {
            Ok(client) => {
                client.leave().await;
                101
            }
            Err((status, _)) => status,
        }
    };
    let keyed = |name: &str| format!("stream_key={}", key(name));
    let (collector, c) = (
        client_of(&authority, spiffe),
        client_of(&authority, "c.example"),
    );
    for (config, query, expected) in [
        // Where no certificate is asked for, one makes no difference.
        (&anonymous, keyed("a"), 101),
        (&c, keyed("a"), 101),
        // The key and the certificate.
        (&anonymous, keyed("b"), 403),
        (&c, keyed("b"), 403),
        (&collector, keyed("b"), 101),
        (&collector, "subscription=default/b".to_owned(), 401),
        // The certificate alone.
        (&c, "subscription=default/c".to_owned(), 101),
        (&anonymous, "subscription=default/c".to_owned(), 401),
        (&collector, "subscription=default/c".to_owned(), 401),
        (&c, "subscription=default/nothing".to_owned(), 401),
        (&c, String::new(), 401),
        (&anonymous, keyed("c"), 403),
    ] {
        assert_eq!(answer(config, query.clone()).await, expected, "{query}");
    }
    // Of another authority: no connection at all.
    let stranger = client_of(&Authority::new(), spiffe);
    let Ok(mut refused) = connect(&gateway, &stranger).await else {
        return gateway.stop().await;
    };
    let _ = refused
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;
    let read = timeout(PATIENCE, refused.read_to_end(&mut vec![])).await;
    assert!(read.unwrap().is_err());
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_is_taken_from_a_subscription_closes_its_stream() {
    let (dir, clients) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let config = certificate(dir.path(), &[&TLS13]);
    let authority = Authority::new();
    let asked = ClientCertificates::Asked(authority.write(clients.path()));
    let gateway = gateway_of(dir.path(), asked, vec![bound("b", "b.example", false)]).await;
    let files = authority.issue_client(clients.path(), "b.example");
    let mut client = open(&gateway, &with_certificate(&config, &files), "b", "").await;
    gateway
        .set_routes(vec![bound("b", "other.example", false)])
        .await;
    assert_eq!(client.closed().await.0, 1008);
    gateway.stop().await;
}

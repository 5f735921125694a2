//! Connections over TLS: which certificates a client takes, and what it says of the others.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use datastream_client::{Connection, Failure, Incoming, Trust, inquire};
use datastream_protocol::StreamUrl;
use futures_util::SinkExt as _;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;

/// An authority of the test's own.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, "test authority");
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { issuer, pem }
    }

    /// The authority's certificate as a file.
    fn file(&self, dir: &Path) -> PathBuf {
        let path = dir.join("ca.pem");
        std::fs::write(&path, &self.pem).unwrap();
        path
    }

    /// A server with a certificate for this name, which ends with this year. It sends a heartbeat to whoever connects.
    async fn serve(&self, name: &str, year: i32) -> StreamUrl {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_after = date_time_ymd(year, 12, 31);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let mut open = vec![];
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let Ok(tls) = acceptor.accept(tcp).await else {
                    continue;
                };
                if let Ok(mut socket) = accept_async(tls).await {
                    socket.send(Message::text("1|Z")).await.unwrap();
                    open.push(socket);
                }
            }
        });
        let url = format!("wss://localhost:{port}/stream?stream_key=k");
        url.parse().unwrap()
    }
}

async fn lost(url: &StreamUrl, trust: &Trust) -> String {
    let silence = Some(Duration::from_secs(10));
    match Connection::open(url, trust, silence).await {
        Err(Failure::Lost(reason)) => reason,
        Err(failure) => panic!("{failure}"),
        Ok(_) => panic!("connected"),
    }
}

#[tokio::test]
async fn a_server_with_a_certificate_of_a_trusted_authority_is_connected_to() {
    let (authority, dir) = (Authority::new(), tempfile::tempdir().unwrap());
    let url = authority.serve("localhost", 2100).await;
    let trust = Trust::new(Some(&authority.file(dir.path()))).unwrap();
    let mut connection = Connection::open(&url, &trust, None).await.unwrap();
    assert_eq!(connection.next().await, Ok(Incoming::Heartbeat));
}

#[tokio::test]
async fn a_certificate_that_is_not_taken_is_named_by_its_fault() {
    let (authority, dir) = (Authority::new(), tempfile::tempdir().unwrap());
    let trust = Trust::new(Some(&authority.file(dir.path()))).unwrap();

    let url = authority.serve("localhost", 2100).await;
    let unknown = lost(&url, &Trust::new(None).unwrap()).await;
    assert!(unknown.contains("that is not trusted"), "{unknown}");
    assert!(unknown.contains("--ca-file"), "{unknown}");

    let url = authority.serve("other.example", 2100).await;
    let other = lost(&url, &trust).await;
    assert!(other.contains("not valid for name"), "{other}");

    let url = authority.serve("localhost", 2020).await;
    let expired = lost(&url, &trust).await;
    assert!(expired.contains("expired"), "{expired}");
    let asked = inquire(&url, &trust).await.unwrap_err().to_string();
    assert!(asked.contains("expired"), "{asked}");
}

//! Connections over TLS: which certificates a client takes, and what it says of the others.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::PathBuf;
use std::time::Duration;

use datastream_client::{
    Connection, CredentialFiles, Credentials, Failure, Incoming, SilenceLimit, inquire,
};
use datastream_protocol::StreamUrl;
use datastream_service::tls::{
    Authority, ClientCertificates, DISTANT_YEAR, ServerFiles, ServerTls,
};
use futures_util::SinkExt as _;
use tokio::net::TcpListener;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;

/// A server with a certificate of this authority for this name, which ends with this year. It sends a heartbeat to whoever connects.
async fn serve(authority: &Authority, name: &str, year: i32) -> StreamUrl {
    let dir = tempfile::tempdir().unwrap();
    let files = ServerFiles {
        identity: authority.issue(dir.path(), &[name], year),
        clients: ClientCertificates::Unasked,
    };
    let tls = ServerTls::load(files, &[]).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut open = vec![];
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let Ok(tls) = tls.accept(tcp).await else {
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

/// The credentials of a client that trusts these authorities, or those of the web.
fn trusting(authorities: Option<PathBuf>) -> Credentials {
    let files = CredentialFiles {
        authorities,
        ..CredentialFiles::default()
    };
    Credentials::new(files).unwrap()
}

async fn lost(url: &StreamUrl, credentials: &Credentials) -> String {
    let silence = SilenceLimit::new(Some(Duration::from_secs(10)));
    match Connection::open(url, credentials, silence).await {
        Err(Failure::Lost(reason)) => reason,
        Err(failure) => panic!("{failure}"),
        Ok(_) => panic!("connected"),
    }
}

#[tokio::test]
async fn a_server_with_a_certificate_of_a_trusted_authority_is_connected_to() {
    let (authority, dir) = (Authority::new(), tempfile::tempdir().unwrap());
    let url = serve(&authority, "localhost", DISTANT_YEAR).await;
    let trust = trusting(Some(authority.write(dir.path())));
    let silence = SilenceLimit::default();
    let mut connection = Connection::open(&url, &trust, silence).await.unwrap();
    assert_eq!(connection.next().await, Ok(Incoming::Heartbeat));
}

#[tokio::test]
async fn a_certificate_that_is_not_taken_is_named_by_its_fault() {
    let (authority, dir) = (Authority::new(), tempfile::tempdir().unwrap());
    let trust = trusting(Some(authority.write(dir.path())));

    let url = serve(&authority, "localhost", DISTANT_YEAR).await;
    let unknown = lost(&url, &trusting(None)).await;
    assert!(unknown.contains("that is not trusted"), "{unknown}");
    assert!(unknown.contains("--ca-file"), "{unknown}");

    let url = serve(&authority, "other.example", DISTANT_YEAR).await;
    let other = lost(&url, &trust).await;
    assert!(other.contains("not valid for name"), "{other}");

    let url = serve(&authority, "localhost", 2020).await;
    let expired = lost(&url, &trust).await;
    assert!(expired.contains("expired"), "{expired}");
    let asked = inquire(&url, &trust).await.unwrap_err().to_string();
    assert!(asked.contains("expired"), "{asked}");
}

//! Questions of other gateways: answered by TLS with the certificate of the group and, once that is known, in no other way.

use std::net::SocketAddr;
use std::sync::Arc;

use datastream_gateway::config::ConfigUpdate;
use datastream_gateway::ownership::KubeClaims;
use datastream_service::tls::{Identity, SHARED_NAME, SharedTls, shared_identity};
use rustls::ClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::api::{Answer, Api};
use crate::common::client::get;
use crate::common::{TestGateway, route};

/// Asks whether the client of a stream is there; the status and the body, or none where TLS fails.
async fn ask(mut socket: impl AsyncRead + AsyncWrite + Unpin) -> Option<(u16, String)> {
    let request = "POST /streams/probe?subscription=default/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    socket.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    // Some close without saying so.
    let _ = socket.read_to_string(&mut answer).await;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

async fn plainly(address: SocketAddr) -> u16 {
    let socket = TcpStream::connect(address).await.unwrap();
    ask(socket).await.unwrap().0
}

async fn by_tls(address: SocketAddr, config: Arc<ClientConfig>) -> Option<(u16, String)> {
    let socket = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from(SHARED_NAME).unwrap();
    ask(TlsConnector::from(config)
        .connect(name, socket)
        .await
        .ok()?)
    .await
}

/// Takes any server for the one that it wants, and shows nothing, as a scraper does that skips the verification.
#[derive(Debug)]
struct Anything;

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

fn anonymous() -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anything))
        .with_no_client_auth();
    Arc::new(config)
}

fn peers(identity: &Arc<Identity>) -> ConfigUpdate {
    ConfigUpdate::Peers {
        object: "datastream-default-peers".to_owned(),
        identity: identity.clone(),
    }
}

#[tokio::test]
async fn only_gateways_with_the_certificate_of_the_group_may_ask_for_a_client() {
    let api = Api::new([], Some(Answer::Error(500)));
    let claims = KubeClaims::new(api.client(), "ds", "default", "gw-0", 0);
    let gateway = TestGateway::start_claiming(claims, vec![route("a")]).await;
    let address = gateway.admin;
    assert_eq!(plainly(address).await, 200, "the release before has none");

    let identity = Arc::new(shared_identity());
    let tls = SharedTls::new(&identity).unwrap();
    gateway.apply(peers(&identity)).await;
    while plainly(address).await != 403 {
        tokio::task::yield_now().await;
    }
    let (status, body) = by_tls(address, tls.client.clone()).await.unwrap();
    assert_eq!((status, body.contains("not_held")), (200, true), "{body}");
    let (status, body) = by_tls(address, anonymous()).await.unwrap();
    assert_eq!(status, 403, "{body}");
    let stranger = SharedTls::new(&shared_identity()).unwrap();
    assert_eq!(by_tls(address, stranger.client).await, None);
    // Probes and metrics need no TLS.
    assert_eq!(get(address, "/livez").await.0, 200);
    assert_eq!(get(address, "/metrics").await.0, 200);

    // One that cannot be used changes nothing.
    let pem = || datastream_service::tls::Pem::new("x".to_owned(), b"x".to_vec());
    let broken = Arc::new(Identity::new(pem(), pem()));
    gateway.apply(peers(&broken)).await;
    assert_eq!(by_tls(address, tls.client).await.unwrap().0, 200);
    gateway.stop().await;
}

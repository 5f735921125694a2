//! Asking another gateway whether the client of a stream that it serves is still there.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use datastream_routing::SubscriptionId;
use datastream_service::tls::{Fault, SHARED_NAME, SharedTls};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::session::Probed;

/// Path on a gateway's admin listener at which it is asked. The query names the subscription, `subscription=NAMESPACE/NAME`, and
/// who will take the stream without a claim if it is not held, `taker=HOLDER&port=PORT`, with the port of the taker's own admin
/// listener.
pub(crate) const PROBE_PATH: &str = "/streams/probe";
/// Time within which another gateway must accept the connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Time within which it must answer: its client has 5 s to answer a heartbeat.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(8);
const MAX_ANSWER: usize = 4 << 10;

/// The gateway is there, and it or this one does not take the other for a gateway of its group.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("it has another certificate than this gateway, or this one has none")]
pub(super) struct NotAPeer;

/// The body of the answer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ProbeReport {
    /// Result of the probe.
    pub client: Probed,
}

/// A gateway that takes a stream without a claim, as it says when it asks the others.
#[derive(Clone, Debug)]
pub(crate) struct Taker<P> {
    /// Name that its claims would bear.
    pub holder: String,
    /// Address at which it can be asked in turn: the port of its admin listener when it says so, the address for whoever hears it.
    pub place: Option<P>,
    /// It asks, and is asked, by TLS.
    pub tls: bool,
}

impl Taker<u16> {
    /// The same, for whoever was asked from this address. That it cannot name another host keeps whoever can ask
    /// from having other servers asked.
    pub(crate) fn at(self, remote: IpAddr) -> Taker<SocketAddr> {
        let tls = self.tls;
        let place = self
            .place
            .map(|port| SocketAddr::new(remote.to_canonical(), port));
        Taker {
            holder: self.holder,
            place,
            tls,
        }
    }
}

/// Asks the gateway whose admin listener is at `address`, by TLS if there is any. A `taker` takes the stream without a claim if it is
/// not held.
///
/// # Errors
/// It cannot be reached, or says something else.
pub(super) async fn probe_client(
    address: &str,
    tls: Option<&SharedTls>,
    id: &SubscriptionId,
    taker: Option<&Taker<u16>>,
) -> anyhow::Result<Probed> {
    let socket = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await??;
    let asked = async {
        match tls {
            None => request(socket, address, id, taker).await,
            Some(tls) => {
                let name = ServerName::try_from(SHARED_NAME)?;
                let connector = TlsConnector::from(tls.client.clone());
                // It speaks TLS, by another certificate: the group's was replaced, and one of the two does not know that yet.
                let socket =
                    connector.connect(name, socket).await.map_err(|error| {
                        match Fault::of(&error) {
                            Some(Fault::NoTls) | None => anyhow::Error::from(error),
                            Some(_) => NotAPeer.into(),
                        }
                    })?;
                request(socket, address, id, taker).await
            }
        }
    };
    timeout(ANSWER_TIMEOUT, asked).await?
}

async fn request(
    socket: impl AsyncRead + AsyncWrite + Unpin,
    address: &str,
    id: &SubscriptionId,
    taker: Option<&Taker<u16>>,
) -> anyhow::Result<Probed> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("subscription", &id.to_string())
        .extend_pairs(taker.map(|taker| ("taker", &taker.holder)))
        .extend_pairs(
            taker
                .and_then(|t| t.place)
                .map(|port| ("port", port.to_string())),
        )
        .finish();
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("{PROBE_PATH}?{query}"))
        .header(HOST, address)
        .body(Empty::<Bytes>::new())?;
    let answer = async {
        let response = sender.send_request(request).await?;
        if response.status() == StatusCode::FORBIDDEN {
            return Err(NotAPeer.into());
        }
        anyhow::ensure!(
            response.status().is_success(),
            "it answers {}",
            response.status()
        );
        let body = Limited::new(response.into_body(), MAX_ANSWER);
        let bytes = body.collect().await.map_err(anyhow::Error::from_boxed)?;
        let report: ProbeReport = serde_json::from_slice(&bytes.to_bytes())?;
        Ok(report.client)
    };
    tokio::select! {
        answer = answer => answer,
        result = connection => {
            result?;
            anyhow::bail!("it closed the connection")
        }
    }
}

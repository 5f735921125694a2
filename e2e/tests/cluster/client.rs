//! A client of the kind that users write: through the ingress with TLS, heartbeats answered, back with the last number plus one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::{SinkExt as _, StreamExt as _};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config};

use crate::events::number;
use crate::settings::{HOST, PATIENCE};

/// The way in: the address of the ingress, and whom to trust.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) address: String,
    trust: Arc<ClientConfig>,
}

impl Endpoint {
    /// The ingress at this address, HOST:PORT, whose certificate is signed by this authority (PEM).
    pub(crate) fn new(address: String, authority: &[u8]) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority)?)?;
        let trust = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            address,
            trust: Arc::new(trust),
        })
    }

    /// Opens a stream; or the HTTP status of the refusal, 0 if nobody answers.
    pub(crate) async fn open(&self, query: &str) -> Result<Stream, u16> {
        let attempt = async {
            let socket = TcpStream::connect(&self.address).await.map_err(|_| 0_u16)?;
            let url = format!("wss://{HOST}/stream?{query}");
            let connector = Connector::Rustls(self.trust.clone());
            let opened = client_async_tls_with_config(url, socket, None, Some(connector)).await;
            match opened {
                Ok((socket, _)) => Ok(Stream(socket)),
                Err(Error::Http(response)) => Err(response.status().as_u16()),
                Err(_) => Err(0),
            }
        };
        timeout(Duration::from_secs(20), attempt)
            .await
            .unwrap_or(Err(0))
    }

    /// Opens a stream as soon as the answer is not one that means "come again".
    pub(crate) async fn open_patiently(&self, query: &str) -> anyhow::Result<Stream> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.open(query).await {
                Ok(stream) => return Ok(stream),
                Err(0 | 409 | 429 | 500..) if Instant::now() < deadline => {
                    sleep(Duration::from_millis(100)).await;
                }
                Err(status) => anyhow::bail!("refused: {status}"),
            }
        }
    }
}

/// An open stream.
pub(crate) struct Stream(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Stream {
    /// The next event; none when the stream has ended. Heartbeats are answered.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            match self.0.next().await?.ok()? {
                Message::Text(text) if text.as_str() == "1|Z" => {
                    self.0.send(Message::text("Z")).await.ok()?;
                }
                Message::Text(text) => {
                    let (_, body) = text.split_once('|')?;
                    return serde_json::from_str(body).ok();
                }
                Message::Close(_) => return None,
                _ => (),
            }
        }
    }

    /// The numbers of the next events, this many.
    pub(crate) async fn numbers(&mut self, count: usize) -> anyhow::Result<Vec<u64>> {
        let mut numbers = vec![];
        while numbers.len() < count {
            let event = timeout(PATIENCE, self.next()).await;
            let event = event.with_context(|| format!("nothing after {numbers:?}"))?;
            numbers.extend(number(&event.context("the stream ended")?));
        }
        Ok(numbers)
    }
}

/// A client that comes back, and writes down what it gets.
pub(crate) struct Follower {
    task: JoinHandle<Record>,
    seen: watch::Receiver<Option<u64>>,
    stop: watch::Sender<bool>,
}

/// The events that a follower got, and its connections.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) numbers: Vec<u64>,
    pub(crate) connections: usize,
}

impl Follower {
    pub(crate) fn start(endpoint: Endpoint, key: String) -> Self {
        let (seen, has_seen) = watch::channel(None);
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(follow(endpoint, key, seen, stopped));
        Self {
            task,
            seen: has_seen,
            stop,
        }
    }

    /// Waits until it has got this number.
    pub(crate) async fn reach(&mut self, number: u64) -> anyhow::Result<()> {
        let reached = self.seen.wait_for(|seen| *seen >= Some(number));
        let reached = timeout(PATIENCE, reached).await;
        reached.with_context(|| format!("{number} does not come"))??;
        Ok(())
    }

    /// Ends it; what it got.
    pub(crate) async fn finish(self) -> anyhow::Result<Record> {
        self.stop.send_replace(true);
        Ok(timeout(PATIENCE, self.task).await??)
    }
}

async fn follow(
    endpoint: Endpoint,
    key: String,
    seen: watch::Sender<Option<u64>>,
    mut stop: watch::Receiver<bool>,
) -> Record {
    let mut record = Record::default();
    // From the first event on, also if the first connection breaks before it has one.
    let mut next = 1;
    while !*stop.borrow() {
        let query = format!("stream_key={key}&seq_start={next}");
        let Ok(mut stream) = endpoint.open(&query).await else {
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        record.connections += 1;
        loop {
            let event = tokio::select! {
                event = stream.next() => event,
                _ = stop.changed() => return record,
            };
            let Some(event) = event else { break };
            // One partition: seq is a number.
            let seq = event["seq"].as_str().and_then(|s| s.parse::<u64>().ok());
            next = seq.map_or(next, |seq| seq + 1);
            if let Some(number) = number(&event) {
                record.numbers.push(number);
                seen.send_replace(Some(number));
            }
        }
    }
    record
}

//! Clients that mean no good: each kind until its time is over, with keys of their own.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::door::{Door, Socket};
use crate::endpoint::Endpoint;
use crate::routes::key;

/// The keys that they have.
pub(crate) const ATTACKERS: usize = 24;
/// Connections that are held open at once: more than the gateway has descriptors.
const HELD: usize = 600;

/// An attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attack {
    /// Open streams, send pings and read nothing.
    Ping,
    /// Open streams, send what means nothing, and read nothing.
    Flood,
    /// Open streams and read nothing.
    Deaf,
    /// Open connections and say nothing, or half a request.
    Hold,
    /// Send what is no HTTP, or hardly.
    Garbage,
    /// Speak HTTP/1.0.
    Http10,
    /// Ask for the oldest events again and again, without and with the stream.
    Ask,
    /// Send requests without reading the answers.
    Pipeline,
}

pub(crate) const ATTACKS: [Attack; 8] = [
    Attack::Ping,
    Attack::Flood,
    Attack::Deaf,
    Attack::Hold,
    Attack::Garbage,
    Attack::Http10,
    Attack::Ask,
    Attack::Pipeline,
];

pub(crate) fn name(number: usize) -> String {
    format!("attacker-{number}")
}

impl Attack {
    /// Attacks the gateway behind this endpoint for so long, in the background.
    pub(crate) fn begin(self, endpoint: &Arc<Endpoint>, lasts: Duration) {
        let until = Instant::now() + lasts;
        for number in 0..ATTACKERS {
            let endpoint = endpoint.clone();
            tokio::spawn(async move {
                while Instant::now() < until {
                    if let Some(door) = endpoint.door() {
                        let _ = timeout_at(until, self.once(&door, number)).await;
                    }
                    let _ = timeout_at(until, sleep(Duration::from_millis(20))).await;
                }
            });
        }
    }

    async fn once(self, door: &Door, number: usize) -> anyhow::Result<()> {
        let path = format!("/stream?stream_key={}", key(&name(number)));
        match self {
            Self::Ping => {
                let mut socket = open(door, &path).await?;
                loop {
                    socket.feed(Message::Ping(vec![7; 125].into())).await?;
                }
            }
            Self::Flood => {
                let mut socket = open(door, &path).await?;
                loop {
                    let text = if number.is_multiple_of(2) {
                        "Z"
                    } else {
                        "nonsense"
                    };
                    socket.feed(Message::text(text)).await?;
                }
            }
            Self::Deaf => {
                let socket = open(door, &format!("{path}&seq_start=0&on_gap=earliest")).await?;
                sleep(Duration::from_mins(1)).await;
                drop(socket);
            }
            Self::Hold => {
                let mut held = vec![];
                for connection in 0..HELD / ATTACKERS {
                    let mut tcp = door.connect().await?;
                    if connection.is_multiple_of(2) {
                        tcp.write_all(format!("GET {path} HTTP/1.1\r\nHo").as_bytes())
                            .await?;
                    }
                    held.push(tcp);
                }
                sleep(Duration::from_mins(1)).await;
            }
            Self::Garbage => {
                let garbage = match number % 5 {
                    0 => vec![0; 100_000],
                    1 => format!("GET {path} HTTP/1.1\r\nA: {}\r\n\r\n", "x".repeat(200_000))
                        .into_bytes(),
                    2 => format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(200_000)).into_bytes(),
                    3 => format!("POST {path} HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\nx")
                        .into_bytes(),
                    _ => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
                };
                say(door, &garbage).await?;
            }
            Self::Http10 => {
                let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
                let request = format!("GET {path} HTTP/1.0\r\nHost: x\r\n{upgrade}\r\n");
                let answer = say(door, request.as_bytes()).await?;
                assert!(
                    !answer.contains(" 101 "),
                    "HTTP/1.0 has no upgrades, but it was answered {answer}"
                );
            }
            Self::Ask => {
                let request = format!(
                    "GET {path}&time_start=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
                );
                say(door, request.as_bytes()).await?;
                let mut socket =
                    open(door, &format!("{path}&time_start=1&on_gap=earliest")).await?;
                socket.next().await;
            }
            Self::Pipeline => {
                let mut tcp = door.connect().await?;
                let requests = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").repeat(100);
                loop {
                    tcp.write_all(requests.as_bytes()).await?;
                }
            }
        }
        Ok(())
    }
}

async fn open(door: &Door, path: &str) -> anyhow::Result<WebSocketStream<Socket>> {
    let (socket, _) = client_async(door.url(path), door.connect().await?).await?;
    Ok(socket)
}

/// Says it and reads the answer, to the end or its first part.
async fn say(door: &Door, what: &[u8]) -> anyhow::Result<String> {
    let mut tcp = door.connect().await?;
    tcp.write_all(what).await?;
    let mut answer = vec![0; 4096];
    let len = tcp.read(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer[..len]).into_owned())
}

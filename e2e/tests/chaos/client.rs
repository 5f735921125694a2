//! A WebSocket client of a stream that can be slow on purpose.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpSocket;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::door::{Door, Socket};

const CONNECT: Duration = Duration::from_secs(8);
const SEND: Duration = Duration::from_secs(1);
/// Bytes that the kernel may hold for a client that reads slowly.
const SMALL_BUFFER: u32 = 8 << 10;

/// An open stream.
pub(crate) struct Client(WebSocketStream<Socket>);

/// Message on a stream.
#[derive(Debug)]
pub(crate) enum Heard {
    Heartbeat,
    /// A frame of an event or a marker, whole.
    Frame(Utf8Bytes),
    Closed {
        code: u16,
        reason: String,
    },
    /// The connection ended without a close frame.
    Gone(String),
    /// Nothing for that long.
    Nothing,
}

/// The reason why there is no stream.
#[derive(Debug)]
pub(crate) enum Refusal {
    Status(u16, String),
    Unreachable,
}

impl Client {
    pub(crate) async fn connect(
        door: &Door,
        query: &str,
        small_buffer: bool,
    ) -> Result<Self, Refusal> {
        let connect = async {
            let socket = TcpSocket::new_v4()?;
            if small_buffer {
                socket.set_recv_buffer_size(SMALL_BUFFER)?;
            }
            let tcp = socket.connect(door.address()).await?;
            let url = door.url(&format!("/stream?{query}"));
            match client_async(url, door.over(tcp).await?).await {
                Ok((socket, _)) => Ok(Ok(Self(socket))),
                Err(Error::Http(response)) => {
                    let body = response.body().as_deref().unwrap_or_default();
                    let body = String::from_utf8_lossy(body).into_owned();
                    Ok(Err(Refusal::Status(response.status().as_u16(), body)))
                }
                Err(error) => Err(std::io::Error::other(error)),
            }
        };
        match timeout(CONNECT, connect).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(Refusal::Unreachable),
        }
    }

    /// The next thing that comes within this time. Can be dropped and called again.
    pub(crate) async fn next(&mut self, within: Duration) -> Heard {
        loop {
            match timeout(within, self.0.next()).await {
                Err(_) => return Heard::Nothing,
                Ok(Some(Ok(Message::Text(text)))) if text.as_str() == "1|Z" => {
                    return Heard::Heartbeat;
                }
                Ok(Some(Ok(Message::Text(text)))) => return Heard::Frame(text),
                Ok(Some(Ok(Message::Close(Some(frame))))) => {
                    // The answer.
                    let _ = timeout(SEND, self.0.flush()).await;
                    return Heard::Closed {
                        code: frame.code.into(),
                        reason: frame.reason.as_str().to_owned(),
                    };
                }
                Ok(Some(Ok(_))) => (),
                Ok(Some(Err(error))) => return Heard::Gone(error.to_string()),
                Ok(None) => return Heard::Gone("end of the connection".to_owned()),
            }
        }
    }

    /// Answers a heartbeat; whether that worked shows in what comes next.
    pub(crate) async fn answer(&mut self) {
        let _ = timeout(SEND, self.0.send(Message::text("Z"))).await;
    }

    /// Says goodbye.
    pub(crate) async fn leave(mut self) {
        let _ = timeout(SEND, self.0.close(None)).await;
    }
}

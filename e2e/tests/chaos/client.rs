//! A client of a stream that can be slow on purpose, in any dialect.
//!
//! Frames of other dialects are told as they would be in that of DSS: a frame is `LEN|BODY`.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpSocket;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::body::Body;
use crate::dialect::Dialect;
use crate::door::{Door, Socket};

const CONNECT: Duration = Duration::from_secs(8);
const SEND: Duration = Duration::from_secs(1);
/// Bytes that the kernel may hold for a client that reads slowly.
const SMALL_BUFFER: u32 = 8 << 10;

/// An open stream.
pub(crate) struct Client(Wire);

enum Wire {
    Messages(Box<WebSocketStream<Socket>>, Dialect),
    Body(Body),
}

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
        dialect: Dialect,
        small_buffer: bool,
    ) -> Result<Self, Refusal> {
        let connect = async {
            let socket = TcpSocket::new_v4()?;
            if small_buffer {
                socket.set_recv_buffer_size(SMALL_BUFFER)?;
            }
            let tcp = socket.connect(door.address()).await?;
            let io = door.over(tcp).await?;
            let query = format!("{query}&format={}", dialect.format());
            if dialect.is_body() {
                let opened = Body::open(io, &format!("/events?{query}"), dialect).await?;
                return Ok(opened.map(|body| Self(Wire::Body(body))));
            }
            let url = door.url(&format!("/stream?{query}"));
            match client_async(url, io).await {
                Ok((socket, _)) => Ok(Ok(Self(Wire::Messages(Box::new(socket), dialect)))),
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
        let heard = async {
            match &mut self.0 {
                Wire::Messages(socket, dialect) => next_message(socket, *dialect).await,
                Wire::Body(body) => body.next().await,
            }
        };
        timeout(within, heard).await.unwrap_or(Heard::Nothing)
    }

    /// Answers a heartbeat; whether that worked shows in what comes next.
    pub(crate) async fn answer(&mut self) {
        let answered = async {
            match &mut self.0 {
                Wire::Messages(socket, Dialect::Dss) => socket.send(Message::text("Z")).await,
                // The library has the pong.
                Wire::Messages(socket, _) => socket.flush().await,
                Wire::Body(_) => Ok(()),
            }
        };
        let _ = timeout(SEND, answered).await;
    }

    /// Says goodbye, if that is possible.
    pub(crate) async fn leave(self) {
        if let Wire::Messages(mut socket, _) = self.0 {
            let _ = timeout(SEND, WebSocketStream::close(&mut socket, None)).await;
        }
    }
}

async fn next_message(socket: &mut WebSocketStream<Socket>, dialect: Dialect) -> Heard {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) if dialect == Dialect::Dss => {
                return if text.as_str() == "1|Z" {
                    Heard::Heartbeat
                } else {
                    Heard::Frame(text)
                };
            }
            Some(Ok(Message::Text(text))) => return Heard::Frame(dialect.frame(&text)),
            Some(Ok(Message::Ping(_))) if dialect != Dialect::Dss => return Heard::Heartbeat,
            Some(Ok(Message::Close(Some(frame)))) => {
                // The answer.
                let _ = timeout(SEND, socket.flush()).await;
                return Heard::Closed {
                    code: frame.code.into(),
                    reason: frame.reason.as_str().to_owned(),
                };
            }
            Some(Ok(_)) => (),
            Some(Err(error)) => return Heard::Gone(error.to_string()),
            None => return Heard::Gone("end of the connection".to_owned()),
        }
    }
}

//! A client as DSS's examples are written, that checks every frame.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::PATIENCE;

pub struct Client<S = TcpStream> {
    pub socket: WebSocketStream<S>,
    pub heartbeats: usize,
    /// Heartbeats are answered.
    pub answers: bool,
}

impl Client {
    /// Connects, or returns the HTTP status and the JSON body of the refusal.
    pub async fn connect(
        address: SocketAddr,
        request: impl IntoClientRequest + Unpin,
    ) -> Result<Self, (u16, Value)> {
        Self::over(TcpStream::connect(address).await.unwrap(), request).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// Asks for a stream on this socket, or returns the HTTP status and the JSON body of the refusal.
    pub async fn over(
        io: S,
        request: impl IntoClientRequest + Unpin,
    ) -> Result<Self, (u16, Value)> {
        match timeout(PATIENCE, client_async(request, io))
            .await
            .expect("an answer in time")
        {
            Ok((socket, _)) => Ok(Self {
                socket,
                heartbeats: 0,
                answers: true,
            }),
            Err(Error::Http(response)) => {
                let body = response.body().clone().unwrap_or_default();
                Err((
                    response.status().as_u16(),
                    serde_json::from_slice(&body).unwrap(),
                ))
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// The next event, its frame checked; heartbeats in between are answered. `Err` is the close frame.
    pub async fn event(&mut self) -> Result<Value, Option<CloseFrame>> {
        loop {
            let message = timeout(PATIENCE, self.socket.next())
                .await
                .expect("something in time");
            match message {
                Some(Ok(Message::Text(text))) if text.as_str() == "1|Z" => {
                    self.heartbeats += 1;
                    if self.answers {
                        self.send(Message::text("Z")).await;
                    }
                }
                Some(Ok(Message::Text(text))) => {
                    assert_eq!(text.matches('|').count(), 1, "{text}");
                    assert!(text.is_ascii(), "{text}");
                    let (length, body) = text.split_once('|').unwrap();
                    assert_eq!(length.parse::<usize>().unwrap(), body.len(), "{text}");
                    assert!(body.starts_with(r#"{"seq":""#), "{text}");
                    return Ok(serde_json::from_str(body).unwrap());
                }
                Some(Ok(Message::Close(frame))) => {
                    // The answer.
                    let _ = self.socket.flush().await;
                    return Err(frame);
                }
                None | Some(Err(_)) => return Err(None),
                Some(Ok(_)) => (),
            }
        }
    }

    /// The body of the next frame, which must be no heartbeat, whatever it is.
    pub async fn raw(&mut self) -> Value {
        let message = timeout(PATIENCE, self.socket.next())
            .await
            .expect("something in time");
        let Some(Ok(Message::Text(text))) = message else {
            panic!("{message:?}")
        };
        let (length, body) = text.split_once('|').unwrap();
        assert_eq!(length.parse::<usize>().unwrap(), body.len(), "{text}");
        serde_json::from_str(body).unwrap()
    }

    /// The numbers of the next events.
    pub async fn numbers(&mut self, count: usize) -> Vec<usize> {
        let mut numbers = Vec::with_capacity(count);
        for _ in 0..count {
            let event = self.event().await.expect("an event");
            numbers.push(event["datapoint"]["value"].as_u64().unwrap() as usize);
        }
        numbers
    }

    /// The code and reason of the close frame that must come next, events before it skipped.
    pub async fn closed(&mut self) -> (u16, String) {
        let closed = async {
            loop {
                match self.event().await {
                    Ok(_) => (),
                    Err(Some(frame)) => return (frame.code.into(), frame.reason.to_string()),
                    Err(None) => panic!("closed without a close frame"),
                }
            }
        };
        let closed = tokio::time::timeout(super::PATIENCE * 3, closed).await;
        closed.expect("closed in time")
    }

    /// Answers heartbeats, and drops what comes, for as long as it is polled.
    pub async fn answering(mut self) {
        while self.event().await.is_ok() {}
    }

    pub async fn send(&mut self, message: Message) {
        let _ = self.socket.send(message).await;
    }

    /// Says goodbye and waits until the gateway has, too.
    pub async fn leave(mut self) {
        let _ = self.socket.close(None).await;
        while let Some(Ok(_)) = timeout(PATIENCE, self.socket.next())
            .await
            .expect("an end in time")
        {}
    }
}

/// Header lines of a good handshake, as the example of RFC 6455 has them.
pub const GOOD: [&str; 4] = [
    "Host: x",
    "Upgrade: websocket",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
];

/// The bytes of a handshake for a subscription's stream with these header lines, which asks for this version of HTTP. With
/// `close, Upgrade` as its `Connection` a refusal ends the connection.
pub fn handshake(subscription: &str, version: &str, connection: &str, lines: &[&str]) -> String {
    let key = super::key(subscription);
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    format!(
        "GET /stream?stream_key={key} HTTP/{version}\r\n{lines}Connection: {connection}\r\n\r\n"
    )
}

/// A plain GET: status and body.
pub async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut tcp = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, tcp.read_to_string(&mut answer))
        .await
        .expect("an answer in time")
        .unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (
        head.split(' ').nth(1).unwrap().parse().unwrap(),
        body.to_owned(),
    )
}

//! A client of a stream.

use std::time::Instant;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::stack::PATIENCE;

pub(crate) struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

/// Event or end of a stream.
#[derive(Debug, PartialEq)]
pub(crate) enum Received {
    Event(Value),
    Closed(u16),
}

impl Client {
    /// Connects, or returns the HTTP status of the refusal; 0 if nobody answers.
    pub(crate) async fn connect(address: &str, key: &str) -> Result<Self, u16> {
        Self::open(format!("ws://{address}/stream?stream_key={key}")).await
    }

    /// Connects as [`Client::connect`] does, with a `seq_start`.
    pub(crate) async fn connect_from(address: &str, key: &str, seq: &str) -> Result<Self, u16> {
        let url = format!("ws://{address}/stream?stream_key={key}&seq_start={seq}");
        Self::open(url).await
    }

    async fn open(url: String) -> Result<Self, u16> {
        match timeout(PATIENCE, connect_async(url))
            .await
            .expect("an answer in time")
        {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            // A gateway that was killed.
            Err(Error::Io(_) | Error::Protocol(_)) => Err(0),
            Err(error) => panic!("{error}"),
        }
    }

    /// Connects until the gateway answers with this status; 101 is an open stream.
    pub(crate) async fn connect_until(address: &str, key: &str, status: u16) -> Option<Self> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let result = Self::connect(address, key).await;
            let found = result.as_ref().err().copied().unwrap_or(101);
            if found == status {
                return result.ok();
            }
            assert!(Instant::now() < deadline, "{found} instead of {status}");
            sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// The next event or the end; heartbeats in between are answered.
    pub(crate) async fn next(&mut self) -> Received {
        loop {
            match timeout(PATIENCE, self.0.next())
                .await
                .expect("something in time")
            {
                Some(Ok(Message::Text(text))) if text.as_str() == "1|Z" => {
                    self.0.send(Message::text("Z")).await.unwrap();
                }
                Some(Ok(Message::Text(text))) => {
                    let (_, body) = text.split_once('|').unwrap();
                    return Received::Event(serde_json::from_str(body).unwrap());
                }
                Some(Ok(Message::Close(Some(frame)))) => {
                    return Received::Closed(frame.code.into());
                }
                Some(Ok(_)) => (),
                other => panic!("{other:?}"),
            }
        }
    }

    /// Answers heartbeats, and drops what comes, until the stream ends; returns the close code.
    pub(crate) async fn answering(mut self) -> u16 {
        loop {
            if let Received::Closed(code) = self.next().await {
                return code;
            }
        }
    }

    /// Answers heartbeats for a while, whatever comes; returns whether the stream is still open.
    pub(crate) async fn stays_for(&mut self, time: std::time::Duration) -> bool {
        let until = tokio::time::Instant::now() + time;
        loop {
            match tokio::time::timeout_at(until, self.0.next()).await {
                Err(_) => return true,
                Ok(Some(Ok(Message::Text(text)))) if text.as_str() == "1|Z" => {
                    let _ = self.0.send(Message::text("Z")).await;
                }
                Ok(Some(Ok(Message::Close(_)) | Err(_)) | None) => return false,
                Ok(Some(Ok(_))) => (),
            }
        }
    }

    /// Says goodbye, and waits until the gateway has, too.
    pub(crate) async fn leave(mut self) {
        let _ = self.0.close(None).await;
        while let Ok(Some(Ok(_))) = timeout(PATIENCE, self.0.next()).await {}
    }

    /// The value of the datapoint that must come next.
    pub(crate) async fn value(&mut self) -> i64 {
        match self.next().await {
            Received::Event(event) => event["datapoint"]["value"].as_i64().unwrap(),
            closed @ Received::Closed(_) => panic!("{closed:?}"),
        }
    }
}

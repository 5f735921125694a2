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

/// What a stream tells.
#[derive(Debug, PartialEq)]
pub(crate) enum Told {
    Event(Value),
    Closed(u16),
}

impl Client {
    /// Connects, or tells the HTTP status of the refusal.
    pub(crate) async fn connect(address: &str, key: &str) -> Result<Self, u16> {
        let url = format!("ws://{address}/stream?stream_key={key}");
        match timeout(PATIENCE, connect_async(url))
            .await
            .expect("an answer in time")
        {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(Error::Http(response)) => Err(response.status().as_u16()),
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
    pub(crate) async fn next(&mut self) -> Told {
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
                    return Told::Event(serde_json::from_str(body).unwrap());
                }
                Some(Ok(Message::Close(Some(frame)))) => return Told::Closed(frame.code.into()),
                Some(Ok(_)) => (),
                other => panic!("{other:?}"),
            }
        }
    }

    /// The value of the datapoint that must come next.
    pub(crate) async fn value(&mut self) -> i64 {
        match self.next().await {
            Told::Event(event) => event["datapoint"]["value"].as_i64().unwrap(),
            closed @ Told::Closed(_) => panic!("{closed:?}"),
        }
    }
}

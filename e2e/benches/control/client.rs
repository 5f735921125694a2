//! A client of a stream.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::harness::PATIENCE;

pub(crate) struct Stream(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Stream {
    /// Connects as soon as the key is good.
    pub(crate) async fn open(address: &str, key: &str) -> Self {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match connect_async(format!("ws://{address}/stream?stream_key={key}")).await {
                Ok((socket, _)) => return Self(socket),
                Err(Error::Http(response)) if response.status().as_u16() == 401 => (),
                Err(error) => panic!("{error}"),
            }
            assert!(Instant::now() < deadline, "the key stays unknown");
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// Returns whether nothing but events and heartbeats has come.
    pub(crate) async fn stays_open(mut self) -> bool {
        while let Ok(message) = timeout(Duration::from_millis(1), self.0.next()).await {
            if !matches!(message, Some(Ok(Message::Text(_)))) {
                return false;
            }
        }
        true
    }
}

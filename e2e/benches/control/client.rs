//! A client of a stream.

use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

pub(crate) struct Stream(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Stream {
    /// Connects, with a key that is good: a gateway holds back its answers to an address that tries others.
    pub(crate) async fn open(address: &str, key: &str) -> Self {
        let opened = connect_async(format!("ws://{address}/stream?stream_key={key}")).await;
        Self(opened.unwrap().0)
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

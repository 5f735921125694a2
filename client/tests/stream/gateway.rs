//! A server of which the test says every word.

use std::time::Duration;

use datastream_client::{EventStream, EventStreamBuilder};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::http::header::AUTHORIZATION;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// The key of its stream.
pub(crate) const KEY: &str = "0123456789abcdef0123456789abcdef";

/// A server on a free port.
pub(crate) struct Gateway(TcpListener);

/// A client that was accepted.
pub(crate) struct Client {
    socket: WebSocketStream<TcpStream>,
    /// The query of its request, without its key.
    pub(crate) query: String,
    pub(crate) authorization: Option<String>,
}

/// The JSON of an event.
pub(crate) fn event(seq: impl std::fmt::Display) -> String {
    format!(
        r#"{{"seq":"{seq}","metadata":{{"dsn":"AC1","event_type":"datapoint"}},"datapoint":{{"value":{seq}}}}}"#
    )
}

impl Gateway {
    pub(crate) async fn start() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    pub(crate) fn url(&self) -> String {
        let address = self.0.local_addr().unwrap();
        format!("ws://{address}/stream?stream_key={KEY}")
    }

    /// A stream of it that is to be opened.
    pub(crate) fn stream(&self) -> EventStreamBuilder {
        EventStream::builder(&self.url())
    }

    async fn connection(&self) -> TcpStream {
        let accepted = timeout(PATIENCE, self.0.accept()).await;
        let (stream, _) = accepted.expect("a client in time").unwrap();
        // What is sent next does not wait until the client's system has acknowledged what came before.
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// Accepts a client.
    pub(crate) async fn accept(&self) -> Client {
        let (mut query, mut authorization) = (String::new(), None);
        #[allow(clippy::result_large_err)]
        let remember = |request: &Request, response: Response| {
            let found = request.uri().query().unwrap_or_default();
            found.clone_into(&mut query);
            let header = request.headers().get(AUTHORIZATION);
            authorization = header.map(|value| value.to_str().unwrap().to_owned());
            Ok(response)
        };
        let socket = accept_hdr_async(self.connection().await, remember).await;
        let key = format!("stream_key={KEY}&");
        let query = query.strip_prefix(&key).unwrap_or(&query).to_owned();
        Client {
            socket: socket.unwrap(),
            query,
            authorization,
        }
    }

    /// Refuses a client with this status, these header lines and this error.
    pub(crate) async fn refuse(&self, status: u16, headers: &str, error: &str) {
        let mut stream = self.connection().await;
        let mut request = [0; 4096];
        assert!(stream.read(&mut request).await.unwrap() > 0);
        let body = format!(r#"{{"error":"{error}","message":"so it is"}}"#);
        let length = body.len();
        let answer =
            format!("HTTP/1.1 {status} No\r\n{headers}content-length: {length}\r\n\r\n{body}");
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

impl Client {
    /// Sends a body.
    pub(crate) async fn body(&mut self, body: &str) {
        self.text(format!("{}|{body}", body.len())).await;
    }

    /// Sends events with these numbers.
    pub(crate) async fn events(&mut self, numbers: impl IntoIterator<Item = u64>) {
        for seq in numbers {
            self.body(&event(seq)).await;
        }
    }

    pub(crate) async fn heartbeat(&mut self) {
        self.text("1|Z".to_owned()).await;
    }

    pub(crate) async fn text(&mut self, text: String) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    /// Sends bytes that are not a whole message.
    pub(crate) async fn bytes(&mut self, bytes: &[u8]) {
        self.socket.get_mut().write_all(bytes).await.unwrap();
    }

    /// The next message of the client.
    pub(crate) async fn said(&mut self) -> Message {
        let next = timeout(PATIENCE, self.socket.next()).await;
        next.expect("a message in time").unwrap().unwrap()
    }

    /// Returns whether the client has said nothing in the time that a round trip takes.
    pub(crate) async fn is_silent(&mut self) -> bool {
        let next = timeout(Duration::from_millis(200), self.socket.next()).await;
        next.is_err()
    }

    /// Waits until the client has hung up.
    pub(crate) async fn gone(mut self) {
        let end = async { while let Some(Ok(_)) = self.socket.next().await {} };
        timeout(PATIENCE, end).await.expect("the end in time");
    }

    /// Ends the stream.
    pub(crate) async fn close(mut self, code: u16, reason: &str) {
        let frame = CloseFrame {
            code: code.into(),
            reason: reason.into(),
        };
        self.socket.close(Some(frame)).await.unwrap();
        // The connection stays until the client has read it.
        while let Some(Ok(_)) = self.socket.next().await {}
    }
}

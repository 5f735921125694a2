//! A server of which the test says every word.

use futures_util::SinkExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

use super::PATIENCE;

/// The key of its stream.
pub(crate) const KEY: &str = "0123456789abcdef0123456789abcdef";

/// The frame of an event.
pub(crate) fn event(seq: &str, value: u32) -> String {
    let json = format!(
        r#"{{"seq":"{seq}","metadata":{{"dsn":"AC1","property_name":"Blue_LED","event_type":"datapoint"}},"datapoint":{{"created_at":"2018-09-24T10:25:14Z","value":{value}}}}}"#
    );
    frame(&json)
}

/// The frame of any JSON.
pub(crate) fn frame(json: &str) -> String {
    format!("{}|{json}", json.len())
}

/// Accepts one client; gives the query of its request, too.
pub(crate) async fn accept(listener: &TcpListener) -> (WebSocketStream<TcpStream>, String) {
    let (stream, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    let mut query = String::new();
    #[allow(clippy::result_large_err)]
    let remember = |request: &Request, response: Response| {
        request
            .uri()
            .query()
            .unwrap_or_default()
            .clone_into(&mut query);
        Ok(response)
    };
    let socket = accept_hdr_async(stream, remember).await.unwrap();
    (socket, query)
}

/// Sends a text.
pub(crate) async fn send(socket: &mut WebSocketStream<TcpStream>, text: String) {
    socket.send(Message::Text(text.into())).await.unwrap();
}

/// A server on a free port, and the URL of its stream.
pub(crate) async fn server() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let url = format!("ws://{address}/stream?stream_key={KEY}");
    (listener, url)
}

/// Refuses one client, in a JSON body as the gateway does, and with these headers; gives the query of its request, too.
pub(crate) async fn refuse(
    listener: &TcpListener,
    status: u16,
    headers: &str,
    body: &str,
) -> String {
    let (mut stream, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    let mut request = [0; 4096];
    let length = stream.read(&mut request).await.unwrap();
    let request = String::from_utf8_lossy(&request[..length]).into_owned();
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status} No\r\ncontent-type: application/json\r\n{headers}content-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(answer.as_bytes()).await.unwrap();
    let target = request.split(' ').nth(1).unwrap_or_default();
    let query = target.split_once('?').map(|(_, query)| query);
    query.unwrap_or_default().to_owned()
}

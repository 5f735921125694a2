//! Clients of `/events`: over HTTP/1.1 and HTTP/2, line by line.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::header::{HOST, HeaderMap};
use hyper::{Request, StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::PATIENCE;

/// An answer, of which the body is read line by line.
pub struct Events {
    pub status: StatusCode,
    pub headers: HeaderMap,
    body: Incoming,
    read: Vec<u8>,
}

/// One connection, on which requests are made.
pub enum Connection {
    Http1(http1::SendRequest<Empty<Bytes>>),
    Http2(http2::SendRequest<Empty<Bytes>>),
}

impl Connection {
    pub async fn open(address: SocketAddr, version: Version) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap(), version).await
    }

    /// Speaks this version of HTTP on a socket.
    pub async fn over(
        io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        version: Version,
    ) -> Self {
        let io = TokioIo::new(io);
        if version == Version::HTTP_2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
            tokio::spawn(connection);
            Self::Http2(sender)
        } else {
            let (sender, connection) = http1::handshake(io).await.unwrap();
            tokio::spawn(connection);
            Self::Http1(sender)
        }
    }

    /// Another handle of the same connection, for requests at the same time.
    #[allow(dead_code, reason = "not every test asks so much at once")]
    pub fn beside(&self) -> Self {
        match self {
            Self::Http1(_) => panic!("one request after the other"),
            Self::Http2(sender) => Self::Http2(sender.clone()),
        }
    }

    pub async fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> Events {
        let mut request = Request::builder();
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let sent = async {
            match self {
                Self::Http1(sender) => {
                    let request = request.uri(path).header(HOST, "x");
                    let request = request.body(Empty::new()).unwrap();
                    sender.send_request(request).await
                }
                Self::Http2(sender) => {
                    let request = request.uri(format!("http://x{path}"));
                    let request = request.body(Empty::new()).unwrap();
                    sender.send_request(request).await
                }
            }
        };
        let response = timeout(PATIENCE, sent).await.expect("an answer in time");
        let (head, body) = response.unwrap().into_parts();
        Events {
            status: head.status,
            headers: head.headers,
            body,
            read: vec![],
        }
    }
}

impl Events {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }

    /// The next bytes; none at the end.
    pub async fn bytes(&mut self) -> Option<Bytes> {
        loop {
            let frame = timeout(PATIENCE, self.body.frame()).await;
            match frame.expect("something in time") {
                None => return None,
                Some(frame) => {
                    if let Ok(data) = frame.expect("an orderly body").into_data() {
                        return Some(data);
                    }
                }
            }
        }
    }

    /// The next line, without its end; none at the end of the body.
    pub async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line = self.read.drain(..=end).collect::<Vec<_>>();
                return Some(String::from_utf8(line[..end].to_vec()).unwrap());
            }
            let Some(more) = self.bytes().await else {
                assert!(self.read.is_empty(), "half a line");
                return None;
            };
            self.read.extend_from_slice(&more);
        }
    }

    /// The rest of the body.
    pub async fn rest(mut self) -> String {
        let mut rest = String::new();
        while let Some(line) = self.line().await {
            rest += &line;
            rest.push('\n');
        }
        rest
    }

    /// The JSON of the next line that is no heartbeat; none at the end.
    pub async fn json(&mut self) -> Option<Value> {
        loop {
            let line = self.line().await?;
            if !line.is_empty() {
                return Some(serde_json::from_str(&line).unwrap());
            }
        }
    }

    /// The numbers of the next events.
    pub async fn numbers(&mut self, count: usize) -> Vec<usize> {
        let mut numbers = Vec::with_capacity(count);
        for _ in 0..count {
            let event = self.json().await.expect("an event");
            numbers.push(event["datapoint"]["value"].as_u64().unwrap() as usize);
        }
        numbers
    }

    /// The lines of the next server-sent event: its fields, in their order. Comments are left out.
    pub async fn sse(&mut self) -> Option<Vec<(String, String)>> {
        let mut fields = vec![];
        loop {
            let line = self.line().await?;
            if line.is_empty() && !fields.is_empty() {
                return Some(fields);
            }
            if let Some((name, value)) = line.split_once(": ") {
                fields.push((name.to_owned(), value.to_owned()));
            }
        }
    }

    /// The error body of a refusal.
    pub async fn refusal(self) -> (u16, Value) {
        let status = self.status.as_u16();
        let text = timeout(PATIENCE, self.body.collect()).await.unwrap();
        let body = text.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }
}

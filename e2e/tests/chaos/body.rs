//! A stream in the body of a response.

use std::io;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio_util::task::AbortOnDropHandle;

use crate::client::{Heard, Refusal};
use crate::dialect::Dialect;
use crate::door::Socket;

/// An open body.
pub(crate) struct Body {
    incoming: Incoming,
    dialect: Dialect,
    read: Vec<u8>,
    /// Fields of the server-sent event that is being read.
    fields: Vec<(String, String)>,
    _connection: AbortOnDropHandle<()>,
}

impl Body {
    /// Asks for a stream.
    ///
    /// # Errors
    /// There is no answer.
    pub(crate) async fn open(
        socket: Socket,
        path: &str,
        dialect: Dialect,
    ) -> io::Result<Result<Self, Refusal>> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(socket))
            .await
            .map_err(io::Error::other)?;
        let connection = tokio::spawn(async move { drop(connection.await) });
        let connection = AbortOnDropHandle::new(connection);
        let request = Request::get(path).header("host", "x");
        let request = request
            .body(Empty::<Bytes>::new())
            .map_err(io::Error::other)?;
        let response = sender
            .send_request(request)
            .await
            .map_err(io::Error::other)?;
        let (status, body) = (response.status(), response.into_body());
        // A stream has no length; what a browser is refused for a while has one.
        let is_whole = body.size_hint().exact().is_some();
        if status == StatusCode::OK && !is_whole {
            return Ok(Ok(Self {
                incoming: body,
                dialect,
                read: vec![],
                fields: vec![],
                _connection: connection,
            }));
        }
        let text = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let text = String::from_utf8_lossy(&text).into_owned();
        let refused = text.lines().find_map(|line| line.strip_prefix("data: "));
        let refused: Option<Value> = refused.and_then(|data| serde_json::from_str(data).ok());
        let inner = refused.and_then(|refused| refused["status"].as_u64());
        let status = inner.map_or(status.as_u16(), |status| status as u16);
        Ok(Err(Refusal::Status(status, text)))
    }

    /// The next thing that comes. Can be dropped and called again.
    pub(crate) async fn next(&mut self) -> Heard {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line[..end]).into_owned();
                if let Some(heard) = self.line(&line) {
                    return heard;
                }
                continue;
            }
            match self.incoming.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.read.extend_from_slice(&data);
                    }
                }
                Some(Err(error)) => return Heard::Gone(error.to_string()),
                None => return Heard::Gone("end of the body".to_owned()),
            }
        }
    }

    fn line(&mut self, line: &str) -> Option<Heard> {
        if self.dialect == Dialect::Ndjson {
            return Some(if line.is_empty() {
                Heard::Heartbeat
            } else {
                self.said(line)
            });
        }
        if line == ":" {
            return Some(Heard::Heartbeat);
        }
        if let Some((name, value)) = line.split_once(": ") {
            self.fields.push((name.to_owned(), value.to_owned()));
            return None;
        }
        let fields = std::mem::take(&mut self.fields);
        let field = |name: &str| fields.iter().find(|(n, _)| n == name).map(|(_, v)| v);
        let data = field("data")?;
        let is_named = field("id").is_none_or(|id| data.starts_with(&format!(r#"{{"seq":"{id}""#)));
        // What is not as it must be is told as it is, and not understood.
        Some(if is_named {
            self.said(data)
        } else {
            Heard::Frame(format!("{fields:?}").into())
        })
    }

    fn said(&self, json: &str) -> Heard {
        if !json.starts_with(r#"{"control":"close""#) {
            return Heard::Frame(self.dialect.frame(json));
        }
        let close: Value = serde_json::from_str(json).unwrap_or_default();
        Heard::Closed {
            code: close["code"].as_u64().unwrap_or_default() as u16,
            reason: close["reason"].as_str().unwrap_or_default().to_owned(),
        }
    }
}

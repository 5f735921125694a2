//! The opening handshake of a WebSocket, checked as RFC 6455, section 4.2.1, and RFC 9112 ask.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use datastream_protocol::{
    CLOUD_EVENTS_SUBPROTOCOL, KEY_SUBPROTOCOL, SUBPROTOCOL, TOKEN_SUBPROTOCOL,
};
use http_body_util::Full;
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use hyper::{Method, Request, Response, StatusCode, Version};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::access::Refusal;
use crate::header_list::items;

/// The version of the protocol that is spoken.
pub(crate) const VERSION: &str = "13";
/// Bytes of a `Sec-WebSocket-Key`, decoded.
const KEY_BYTES: usize = 16;

/// Content of the answer to a good handshake.
#[derive(Debug)]
pub(crate) struct Handshake {
    accept: String,
    /// The subprotocol that is chosen, of those that are offered.
    subprotocol: Option<&'static str>,
}

/// Returns whether a request asks for a WebSocket.
pub(crate) fn asks_for_upgrade(headers: &HeaderMap) -> bool {
    has_token(headers, &UPGRADE, "websocket")
}

impl Handshake {
    /// Checks the handshake of a request.
    pub(crate) fn of<B>(request: &Request<B>) -> Result<Self, Refusal> {
        let headers = request.headers();
        if request.method() != Method::GET {
            return Err(Refusal::BadHandshake("a WebSocket is asked for by GET"));
        }
        // What would be the body on its way through a proxy is frames here.
        let is_empty = only(headers, &CONTENT_LENGTH).is_none_or(|length| length == "0");
        if !is_empty || headers.contains_key(TRANSFER_ENCODING) {
            return Err(Refusal::BadHandshake(
                "a WebSocket is asked for without a body",
            ));
        }
        if request.version() != Version::HTTP_11 {
            return Err(Refusal::BadHandshake(
                "HTTP/1.1 is needed for a WebSocket (for nginx: proxy_http_version 1.1)",
            ));
        }
        if !has_token(headers, &CONNECTION, "upgrade") {
            return Err(Refusal::BadHandshake(
                "Connection: Upgrade is missing (a proxy may have removed it)",
            ));
        }
        if only(headers, &SEC_WEBSOCKET_VERSION).is_none_or(|v| v != VERSION) {
            return Err(Refusal::BadHandshake("Sec-WebSocket-Version must be 13"));
        }
        let subprotocol = subprotocol(headers);
        let secrets = [KEY_SUBPROTOCOL, TOKEN_SUBPROTOCOL];
        let is_secret = |offered: &str| secrets.iter().any(|s| offered.starts_with(s));
        if subprotocol.is_none() && offers(headers, is_secret) {
            // Browsers give up where none of those that they offer is answered, and neither a key nor a token is ever answered.
            return Err(Refusal::BadHandshake(
                "offer the subprotocol datastream.v1 or cloudevents.json beside datastream.key.KEY or datastream.token.TOKEN",
            ));
        }
        let key = only(headers, &SEC_WEBSOCKET_KEY).ok_or(Refusal::BadHandshake(
            "Sec-WebSocket-Key must be there, once",
        ))?;
        let bytes = BASE64_STANDARD.decode(key.as_bytes());
        if bytes.is_ok_and(|bytes| bytes.len() == KEY_BYTES) {
            Ok(Self {
                accept: derive_accept_key(key.as_bytes()),
                subprotocol,
            })
        } else {
            Err(Refusal::BadHandshake(
                "Sec-WebSocket-Key must be 16 bytes in base64",
            ))
        }
    }

    /// The answer, after which the connection is a WebSocket.
    pub(crate) fn answer(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(Bytes::new()));
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        if let Ok(accept) = HeaderValue::try_from(self.accept) {
            headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        }
        if let Some(subprotocol) = self.subprotocol {
            headers.insert(
                SEC_WEBSOCKET_PROTOCOL,
                HeaderValue::from_static(subprotocol),
            );
        }
        response
    }
}

/// The value of a header that is there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).into_iter();
    values.next().filter(|_| values.next().is_none())
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    items(headers, name).any(|item| item.eq_ignore_ascii_case(token))
}

/// The first subprotocol of those that a client offers that is spoken here.
fn subprotocol(headers: &HeaderMap) -> Option<&'static str> {
    let known = [SUBPROTOCOL, CLOUD_EVENTS_SUBPROTOCOL];
    items(headers, &SEC_WEBSOCKET_PROTOCOL)
        .find_map(|offered| known.into_iter().find(|known| *known == offered))
}

/// Returns whether a client asks for CloudEvents by the subprotocols that it offers.
pub(crate) fn offers_cloud_events(headers: &HeaderMap) -> bool {
    subprotocol(headers) == Some(CLOUD_EVENTS_SUBPROTOCOL)
}

/// Returns whether the client offers such a subprotocol.
fn offers(headers: &HeaderMap, is_such: impl Fn(&str) -> bool) -> bool {
    items(headers, &SEC_WEBSOCKET_PROTOCOL).any(is_such)
}

//! The protocols that servers speak inside WebSocket frames.

use memchr::memchr_iter;

use crate::feed::{EVERYBODY, own};
use crate::routes::key;
use crate::{frames, protobuf};

/// The protocol of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Events, and nothing else.
    Plain,
    /// The gateway's: `LEN|JSON`, and heartbeats that want an answer.
    Dss,
    /// NATS' own protocol; a frame has as many messages as there are.
    Nats,
    /// Centrifuge's, in protobuf, which costs the server less than JSON when it is busy; a frame has as many messages as there are.
    Centrifuge,
}

impl Dialect {
    /// The path and query of a client.
    pub(crate) fn target(self, number: usize) -> String {
        match self {
            Self::Plain => own(number),
            Self::Dss => format!("stream?stream_key={}", key(number)),
            Self::Nats => String::new(),
            Self::Centrifuge => "connection?format=protobuf".to_owned(),
        }
    }

    /// The message by which a client asks for its events after the handshake, and what is in the answer to it, if there is one.
    pub(crate) fn subscribe(self, number: usize) -> Option<(Vec<u8>, &'static [u8])> {
        let own = own(number);
        match self {
            Self::Plain | Self::Dss => None,
            Self::Nats => {
                let text = format!(
                    "CONNECT {{\"verbose\":false}}\r\nSUB {EVERYBODY} 1\r\nSUB {own} 2\r\nPING\r\n"
                );
                Some((text.into_bytes(), b"PONG\r\n"))
            }
            Self::Centrifuge => Some((protobuf::connect(&[EVERYBODY, &own]), protobuf::CONNECTED)),
        }
    }

    /// The kind of frame of what a client says.
    pub(crate) const fn kind(self) -> u8 {
        match self {
            Self::Plain | Self::Dss => frames::TEXT,
            Self::Nats | Self::Centrifuge => frames::BINARY,
        }
    }

    /// The answer to a heartbeat, if there is one in this payload.
    pub(crate) fn answer(self, payload: &[u8]) -> Option<&'static [u8]> {
        match self {
            Self::Dss if payload == b"1|Z" => Some(b"Z"),
            Self::Nats if has_line(payload, b"PING\r") => Some(b"PONG\r\n"),
            Self::Centrifuge if protobuf::has_ping(payload) => Some(protobuf::PONG),
            _ => None,
        }
    }
}

/// Returns whether there is such a line, maybe among others.
fn has_line(payload: &[u8], line: &[u8]) -> bool {
    let mut start = 0;
    for end in memchr_iter(b'\n', payload) {
        if &payload[start..end] == line {
            return true;
        }
        start = end + 1;
    }
    false
}

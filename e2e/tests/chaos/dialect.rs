//! The dialects that clients speak.

use datastream_protocol::frame::framed;
use rand::RngExt as _;
use rand::rngs::StdRng;
use tokio_tungstenite::tungstenite::Utf8Bytes;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Dss,
    Json,
    CloudEvents,
    Sse,
    Ndjson,
}

impl Dialect {
    /// Any of them.
    pub(crate) fn any(rng: &mut StdRng) -> Self {
        match rng.random_range(0..8) {
            0 => Self::Json,
            1 => Self::CloudEvents,
            2 => Self::Sse,
            3 => Self::Ndjson,
            _ => Self::Dss,
        }
    }

    /// Its name in a request.
    pub(crate) const fn format(self) -> &'static str {
        match self {
            Self::Dss => "dss",
            Self::Json => "json",
            Self::CloudEvents => "cloudevents",
            Self::Sse => "sse",
            Self::Ndjson => "ndjson",
        }
    }

    /// Returns whether it is spoken in the body of a response.
    pub(crate) const fn is_body(self) -> bool {
        matches!(self, Self::Sse | Self::Ndjson)
    }

    /// The frame of DSS with what is in a message.
    pub(crate) fn frame(self, message: &str) -> Utf8Bytes {
        let data = match self {
            Self::CloudEvents => message.split_once(r#","data":"#).map(|(_, data)| data),
            _ => None,
        };
        let body = data.and_then(|data| data.strip_suffix('}'));
        framed(body.unwrap_or(message)).into()
    }
}

//! Reasons to refuse a request on `/stream`, with their HTTP statuses.

use std::borrow::Cow;

/// Reason why a request on `/stream` gets no stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing in the request opens a stream (401).
    #[error(
        "the request has no stream key: give it as stream_key=KEY in the URL, or as the header Authorization: Bearer KEY"
    )]
    NoCredential,
    /// No subscription has the key, or what else is to open a stream (401).
    #[error(
        "no subscription has this stream key: it may be an old one, take it from the subscription's Secret, or from what datastream dev prints"
    )]
    Unauthorized,
    /// A token that is not good (401).
    #[error("the token is refused: {0}")]
    TokenRefused(String),
    /// Credentials that are good, and do not open this stream (403).
    #[error("{0}")]
    Forbidden(&'static str),
    /// The subscription is suspended (403).
    #[error("the subscription is suspended: set spec.suspended to false to get its events")]
    Suspended,
    /// Access rules deny what the subscription asks for (403).
    #[error("the subscription has no access: {0}")]
    Denied(Box<str>),
    /// Another client has the stream, and answers (409).
    #[error(
        "the subscription already has an open stream{}, and its client answers; only one is allowed: close it first",
        on_pod(pod.as_deref())
    )]
    InUse {
        /// The gateway's pod, if it is another one.
        pod: Option<String>,
    },
    /// Another gateway has the stream, and does not respond (409).
    #[error(
        "the subscription has a stream on gateway {pod}, which does not respond: it will be released in {seconds} s unless the gateway comes back"
    )]
    HolderUnreachable {
        /// The gateway's pod.
        pod: String,
        /// Seconds after which the stream is free.
        seconds: u32,
    },
    /// A parameter that names no position of the topic (400).
    #[error("{parameter}: {reason}")]
    BadPosition {
        /// The parameter's name.
        parameter: &'static str,
        /// The fault, and what to do.
        reason: String,
    },
    /// The first events that are asked for have expired (410).
    #[error(
        "{parameter}: the first events from there on have expired; the earliest that can be replayed is {earliest}: start there, or connect with on_gap=earliest"
    )]
    Gone {
        /// The parameter's name.
        parameter: &'static str,
        /// The `seq_start` of the earliest event that is left.
        earliest: String,
    },
    /// There is no room now (503).
    #[error("{reason}: try again in {retry_seconds} s")]
    Busy {
        /// The limit that was reached, as metrics name it: what is limited, and for whom.
        limit: &'static str,
        /// The limit in words.
        reason: &'static str,
        /// Seconds after which to try again.
        retry_seconds: u32,
    },
    /// This gateway cannot know or serve it now (503).
    #[error("{0}")]
    Unavailable(&'static str),
    /// The request asks for a WebSocket in a wrong way (400).
    #[error("{0}")]
    BadHandshake(&'static str),
    /// There is no format that the client accepts (406).
    #[error(
        "nothing of what Accept names is here: there are text/event-stream and application/x-ndjson"
    )]
    NotAcceptable,
    /// The request is wrong in another way (400).
    #[error("{0}")]
    BadRequest(Cow<'static, str>),
}

fn on_pod(pod: Option<&str>) -> String {
    pod.map_or_else(String::new, |pod| format!(" on gateway {pod}"))
}

impl Refusal {
    /// A refusal of a request that is wrong in this way.
    pub(crate) const fn wrong(reason: &'static str) -> Self {
        Self::BadRequest(Cow::Borrowed(reason))
    }

    /// A refusal for lack of room. Clients that are refused at the same moment are asked to come back at different ones.
    pub(crate) fn busy(limit: &'static str, reason: &'static str) -> Self {
        Self::Busy {
            limit,
            reason,
            retry_seconds: rand::random_range(1..=10),
        }
    }

    /// The HTTP status.
    pub const fn status(&self) -> u16 {
        match self {
            Self::NoCredential | Self::Unauthorized | Self::TokenRefused(_) => 401,
            Self::Forbidden(_) | Self::Suspended | Self::Denied(_) => 403,
            Self::InUse { .. } | Self::HolderUnreachable { .. } => 409,
            Self::BadPosition { .. } | Self::BadHandshake(_) | Self::BadRequest(_) => 400,
            Self::NotAcceptable => 406,
            Self::Gone { .. } => 410,
            Self::Unavailable(_) | Self::Busy { .. } => 503,
        }
    }

    /// Seconds that a client should wait before it tries again, if that helps.
    pub const fn retry_after(&self) -> Option<u32> {
        match self {
            Self::Unavailable(_) => Some(2),
            Self::Busy { retry_seconds, .. } => Some(*retry_seconds),
            Self::HolderUnreachable { seconds, .. } => Some(*seconds),
            _ => None,
        }
    }

    /// The `error` of the JSON body: a name for programs, where the message is for people.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NoCredential | Self::Unauthorized => "unauthorized",
            Self::TokenRefused(_) => "invalid_token",
            Self::Forbidden(_) => "forbidden",
            Self::Suspended => "suspended",
            Self::Denied(_) => "access_denied",
            Self::InUse { .. } | Self::HolderUnreachable { .. } => "in_use",
            Self::BadPosition { .. } => "bad_position",
            Self::Gone { .. } => "gone",
            Self::Unavailable(_) => "unavailable",
            Self::Busy { .. } => "busy",
            Self::BadHandshake(_) => "bad_handshake",
            Self::NotAcceptable => "not_acceptable",
            Self::BadRequest(_) => "bad_request",
        }
    }
}

//! Reasons to refuse a request on `/stream`, with their HTTP statuses.

/// Reason why a request on `/stream` gets no stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(
        "no subscription has this stream key: it may be an old one, take it from the subscription's Secret, or from what datastream dev prints"
    )]
    Unauthorized,
    #[error("the subscription is suspended: set spec.suspended to false to get its events")]
    Suspended,
    #[error(
        "the subscription has a stream already{}, whose client answers, and it may have one at a time: close the other one first",
        on_pod(pod.as_deref())
    )]
    InUse {
        /// The gateway's pod, if it is another one.
        pod: Option<String>,
    },
    #[error(
        "the subscription has a stream on gateway {pod}, which cannot be asked now: it is given up in {seconds} s unless it comes back"
    )]
    HolderUnreachable { pod: String, seconds: u32 },
    #[error("{parameter}: {reason}")]
    BadPosition {
        parameter: &'static str,
        reason: String,
    },
    #[error(
        "{parameter}: the first events from there on have expired; the earliest that can be replayed is {earliest}: start there, or connect with on_gap=earliest"
    )]
    Gone {
        parameter: &'static str,
        earliest: String,
    },
    #[error("{reason}: try again in {retry_seconds} s")]
    Busy {
        reason: &'static str,
        retry_seconds: u32,
    },
    #[error("{0}")]
    Unavailable(&'static str),
    #[error("{0}")]
    BadHandshake(&'static str),
    #[error("{0}")]
    BadRequest(&'static str),
}

fn on_pod(pod: Option<&str>) -> String {
    pod.map_or_else(String::new, |pod| format!(" on gateway {pod}"))
}

impl Refusal {
    /// Refused for lack of room. Whoever is refused at the same moment is told to come back at another one.
    pub(crate) fn busy(reason: &'static str) -> Self {
        Self::Busy {
            reason,
            retry_seconds: rand::random_range(1..=10),
        }
    }

    /// The HTTP status.
    pub(crate) const fn status(&self) -> u16 {
        match self {
            Self::Unauthorized => 401,
            Self::Suspended => 403,
            Self::InUse { .. } | Self::HolderUnreachable { .. } => 409,
            Self::BadPosition { .. } | Self::BadHandshake(_) | Self::BadRequest(_) => 400,
            Self::Gone { .. } => 410,
            Self::Unavailable(_) | Self::Busy { .. } => 503,
        }
    }

    /// Seconds that a client should wait before it tries again, if that helps.
    pub(crate) const fn retry_after(&self) -> Option<u32> {
        match self {
            Self::Unavailable(_) => Some(2),
            Self::Busy { retry_seconds, .. } => Some(*retry_seconds),
            Self::HolderUnreachable { seconds, .. } => Some(*seconds),
            _ => None,
        }
    }

    /// The `error` of the JSON body: a name for programs, where the message is for people.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::Suspended => "suspended",
            Self::InUse { .. } | Self::HolderUnreachable { .. } => "in_use",
            Self::BadPosition { .. } => "bad_position",
            Self::Gone { .. } => "gone",
            Self::Unavailable(_) => "unavailable",
            Self::Busy { .. } => "busy",
            Self::BadHandshake(_) => "bad_handshake",
            Self::BadRequest(_) => "bad_request",
        }
    }
}

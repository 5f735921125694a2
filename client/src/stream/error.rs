//! Reasons for which a stream ends before the end that was asked for.

use crate::connection::Failure;
use crate::refusal::Refusal;

/// Reason for which a stream ends before its end. The refusals are those that do not pass by themselves; each has the server's name
/// for it and its explanation. Shown as `STATUS ERROR: MESSAGE`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Status 400: a position that is none of this topic, a parameter that cannot be used.
    #[error("{}", shown(.0))]
    BadRequest(Refusal),
    /// Status 401: no such key, or no longer; a token that is not good.
    #[error("{}", shown(.0))]
    Unauthorized(Refusal),
    /// Status 403: the subscription is suspended, or the client may not have it.
    #[error("{}", shown(.0))]
    Forbidden(Refusal),
    /// Status 404: the path of the URL is not that of a stream.
    #[error("{}", shown(.0))]
    NotFound(Refusal),
    /// Status 410: the events from the start on have expired; the message names the earliest that is left.
    #[error("{}", shown(.0))]
    Gone(Refusal),
    /// Another status that does not pass by itself.
    #[error("{}", shown(.0))]
    Refused(Refusal),
    /// Events before this number have expired. Comes from [`EventStream::next`](crate::EventStream::next) alone, and does not end the
    /// stream: asked again, it goes on with what is left.
    #[error("events before {seq_start} have expired")]
    Gap {
        /// The number to start with to get what is left.
        seq_start: String,
    },
    /// The answer is no stream, or is larger than any frame, and came again.
    #[error("{0}")]
    Unreadable(String),
    /// The URL or an option cannot be used.
    #[error("{0}")]
    Invalid(String),
    /// The stream has failed as often in a row as [`EventStreamBuilder::retries`](crate::EventStreamBuilder::retries) allows.
    #[error("given up after {attempts} failures in a row: {last}")]
    GivenUp {
        /// Failures in a row.
        attempts: u32,
        /// The last one.
        last: Failure,
    },
}

impl Error {
    /// The refusal that it is, if the server gave no stream.
    pub const fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::BadRequest(refusal)
            | Self::Unauthorized(refusal)
            | Self::Forbidden(refusal)
            | Self::NotFound(refusal)
            | Self::Gone(refusal)
            | Self::Refused(refusal)
            | Self::GivenUp {
                last: Failure::Refused(refusal),
                ..
            } => Some(refusal),
            _ => None,
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal.status {
            400 => Self::BadRequest(refusal),
            401 => Self::Unauthorized(refusal),
            403 => Self::Forbidden(refusal),
            404 => Self::NotFound(refusal),
            410 => Self::Gone(refusal),
            _ => Self::Refused(refusal),
        }
    }
}

fn shown(refusal: &Refusal) -> String {
    let Refusal {
        status,
        error,
        message,
        ..
    } = refusal;
    if error.is_empty() {
        format!("{status}: {message}")
    } else {
        format!("{status} {error}: {message}")
    }
}

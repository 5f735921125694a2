//! Updates of a stream: events, and what happens between them.

use std::time::Duration;

use super::event::Event;
use crate::connection::Failure;

/// Something that happens on a stream, in order: [`EventStream::next_update`](crate::EventStream::next_update).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Update {
    /// A connection is open.
    Connected,
    /// An event.
    Event(Event),
    /// A heartbeat has come. It is answered when everything before it has been handled.
    Heartbeat,
    /// Everything stored has come: the stream is live.
    Live {
        /// The number to start with to get what follows.
        seq_start: String,
    },
    /// Events before `seq_start` have expired. The stream goes on with those that are left.
    Gap {
        /// The number to start with to get what is left.
        seq_start: String,
    },
    /// A message that is not part of the protocol was left out, as
    /// [`EventStreamBuilder::skip_unreadable`](crate::EventStreamBuilder::skip_unreadable) says; a description of it.
    Skipped(String),
    /// There is no connection, or no more. The next attempt follows after the delay.
    Reconnecting {
        /// The reason.
        failure: Failure,
        /// The time until the next attempt.
        delay: Duration,
    },
}

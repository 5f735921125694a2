//! The bounds of what a client may send: it has no more to say than an answer to each heartbeat.

use std::fmt;
use std::io;
use tokio::time::Instant;

use crate::session::FLOOD_WINDOW;

/// The most messages that a client may send in a [`FLOOD_WINDOW`].
const MAX_MESSAGES: u32 = 1_000;
/// The most bytes that it may send in a [`FLOOD_WINDOW`]: so many control frames of the largest size, which also bounds the frames that
/// belong to one message.
const MAX_BYTES: u32 = MAX_MESSAGES * MAX_CONTROL_FRAME;
/// A control frame of a client: header, mask and payload (RFC 6455, section 5.5).
const MAX_CONTROL_FRAME: u32 = 2 + 4 + 125;

/// The count of something in the current window.
#[derive(Debug)]
pub(super) struct Flood {
    since: Instant,
    count: u32,
    most: u32,
}

impl Flood {
    /// Counts messages.
    pub(super) fn of_messages() -> Self {
        Self::new(MAX_MESSAGES)
    }

    /// Counts bytes.
    pub(super) fn of_bytes() -> Self {
        Self::new(MAX_BYTES)
    }

    /// Counts without a bound.
    #[cfg(feature = "test-util")]
    pub(super) fn unbounded() -> Self {
        Self::new(u32::MAX)
    }

    fn new(most: u32) -> Self {
        Self {
            since: Instant::now(),
            count: 0,
            most,
        }
    }

    /// Counts more; true if there were too many.
    pub(super) fn is_reached_by(&mut self, more: usize) -> bool {
        if self.since.elapsed() >= FLOOD_WINDOW {
            *self = Self::new(self.most);
        }
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        self.count = self.count.saturating_add(more);
        self.count > self.most
    }
}

/// The error of a socket whose client has sent too many bytes.
#[derive(Debug)]
pub(super) struct Flooded;

impl fmt::Display for Flooded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the client has sent too many bytes")
    }
}

impl std::error::Error for Flooded {}

impl Flooded {
    /// Returns whether an error is this one.
    pub(super) fn is(error: &io::Error) -> bool {
        matches!(error.get_ref(), Some(inner) if inner.is::<Self>())
    }
}

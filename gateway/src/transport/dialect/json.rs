//! One JSON object a message; heartbeats are pings.

use super::Parts;
use crate::fanout::QueuedFrame;

/// The JSON of an event or a marker.
pub(super) fn payload(frame: &QueuedFrame) -> Option<Parts<'_>> {
    frame.body().map(|body| Parts::new([body]))
}

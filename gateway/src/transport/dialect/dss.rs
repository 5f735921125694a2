//! The dialect of the Ayla Datastream Service: `LEN|BODY` (`docs/protocol.md`).

use datastream_protocol::frame::HEARTBEAT;

use super::Parts;
use crate::fanout::QueuedFrame;

/// The frame, as it was rendered.
pub(super) fn payload(frame: &QueuedFrame) -> Parts<'_> {
    Parts::new([match frame {
        QueuedFrame::Event(event) => &event.text,
        QueuedFrame::Marker(marker) => marker.text(),
        QueuedFrame::Heartbeat => HEARTBEAT,
    }])
}

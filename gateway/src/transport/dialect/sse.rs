//! Server-sent events (HTML Living Standard, section 9.2): `id` is the `seq`, `event` the type, and a comment is a heartbeat.

use datastream_protocol::close::is_passing;

use super::Parts;
use crate::fanout::QueuedFrame;

/// Milliseconds after which a browser connects again when its stream ended for what passes by itself.
pub(crate) const RETRY_MS: u32 = 1_000;

/// The lines of a frame.
pub(super) fn line(frame: &QueuedFrame) -> Parts<'_> {
    match frame {
        QueuedFrame::Event(event) => Parts::new([
            "id: ",
            event.seq(),
            "\nevent: ",
            event.event_type.as_str(),
            "\ndata: ",
            event.body(),
            "\n\n",
        ]),
        QueuedFrame::Marker(marker) => {
            Parts::new(["event: control\ndata: ", marker.body(), "\n\n"])
        }
        // Without an empty line, which some readers take for an event without data.
        QueuedFrame::Heartbeat => Parts::new([":\n"]),
    }
}

/// The last lines. Whoever was sent away for what passes is asked to come back soon.
pub(super) fn end(code: u16, control: &str) -> String {
    let retry = if is_passing(code) {
        format!("retry: {RETRY_MS}\n")
    } else {
        String::new()
    };
    format!("{retry}event: control\ndata: {control}\n\n")
}

//! A JSON object a line (newline-delimited JSON); an empty line is a heartbeat.

use super::Parts;
use crate::fanout::QueuedFrame;

/// The line of a frame.
pub(super) fn line(frame: &QueuedFrame) -> Parts<'_> {
    Parts::new([frame.body().unwrap_or_default(), "\n"])
}

/// The last line.
pub(super) fn end(control: &str) -> String {
    format!("{control}\n")
}

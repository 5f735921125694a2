//! Frames that are sent in one piece.

use std::collections::VecDeque;

use datastream_protocol::close::Close;
use datastream_protocol::position::{Position, Seq};

use super::BodyEncoder;
use crate::fanout::{QueuedFrame, WRITE_BYTES};
use crate::transport::dialect::{Parts, end, line};

/// Bytes to be sent, and the heartbeats among them.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub bytes: Vec<u8>,
    pub heartbeats: u64,
}

impl BodyEncoder {
    /// Takes frames from the front of `unsent`, at least one, behind `room` bytes that are left free.
    pub(super) fn gather(&mut self, unsent: &mut VecDeque<QueuedFrame>, room: usize) -> Gathered {
        let mut gathered = Gathered::default();
        let bytes = &mut gathered.bytes;
        while let Some(frame) = unsent.front() {
            let line = line(self.dialect, frame);
            let length = line.len();
            if bytes.len() > room && bytes.len() + length > WRITE_BYTES {
                break;
            }
            if bytes.is_empty() {
                // A little more than that: what stands around them.
                let likely = length
                    .saturating_mul(unsent.len())
                    .min(WRITE_BYTES.max(length));
                bytes.reserve(room + likely + 8);
                bytes.resize(room, 0);
            }
            put(frame, &line, bytes);
            gathered.heartbeats += u64::from(frame.is_heartbeat());
            unsent.pop_front();
        }
        if unsent.is_empty() {
            // An emptied queue keeps its memory: give it back, most streams are idle.
            *unsent = VecDeque::new();
        }
        self.compress(&mut gathered.bytes, room);
        gathered
    }

    /// The last bytes of a stream: why it ends, if the client is told, and the end of its compression.
    pub(super) fn last(&mut self, close: Option<&Close>, position: &Position) -> Vec<u8> {
        let close = close.filter(|_| self.tells_end);
        let last = close.map(|close| end(self.dialect, close, &Seq::starting_at(position)));
        let mut bytes = last.unwrap_or_default().into_bytes();
        if !bytes.is_empty() {
            self.compress(&mut bytes, 0);
        }
        if let Some(compressor) = self.compressor.take() {
            // Memory takes whatever is written to it.
            bytes.extend(compressor.finish().unwrap_or_default());
        }
        bytes
    }

    fn compress(&mut self, bytes: &mut Vec<u8>, room: usize) {
        if let Some(compressor) = &mut self.compressor {
            let compressed = compressor.compress(&bytes[room..]).unwrap_or_default();
            bytes.truncate(room);
            bytes.extend(compressed);
        }
    }
}

/// Appends the line of a frame, in which there are no other line breaks than its dialect's own.
fn put(frame: &QueuedFrame, line: &Parts<'_>, out: &mut Vec<u8>) {
    let start = out.len() + line.before_json();
    line.put(out);
    if let Some(event) = frame.event().filter(|event| event.has_line_breaks) {
        // Line breaks stand between the members of JSON only: in a string they are escaped.
        for byte in &mut out[start..start + event.body().len()] {
            if matches!(byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
    }
}

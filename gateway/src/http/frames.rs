//! The frames of HTTP/2, as far as to see where one is over.

/// Bytes that a client begins with (RFC 9113, section 3.4).
const PREFACE: usize = 24;
/// Bytes of a frame before its payload: its length, type, flags and stream (RFC 9113, section 4.1).
const HEADER: usize = 9;
/// Types of frames whose flags say whether a block of header fields is complete.
const HEADERS: u8 = 0x01;
const CONTINUATION: u8 = 0x09;
/// The flag that says it is.
const END_HEADERS: u8 = 0x04;

/// Pieces of what a client sends, one after the other: its preface, and then frames, or heads of several frames.
#[derive(Debug)]
pub(super) struct Pieces {
    /// The header of the frame that comes next, as far as it is there.
    header: [u8; HEADER],
    header_len: usize,
    /// Bytes that are missing of the preface, or of the payload of a frame.
    missing: usize,
    /// More frames belong to the head that has begun.
    is_in_head: bool,
}

/// The end of what was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It is the end of a piece.
    Whole,
    /// It is within a piece that has begun in what was read.
    Begun,
    /// It is within the piece that was not complete before.
    Unfinished,
}

impl Pieces {
    /// The start of a connection.
    pub(super) const fn new() -> Self {
        Self {
            header: [0; HEADER],
            header_len: 0,
            missing: PREFACE,
            is_in_head: false,
        }
    }

    /// Looks at the next bytes.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> End {
        let mut end = self.end_of(End::Unfinished);
        while !bytes.is_empty() {
            if self.missing > 0 {
                let count = self.missing.min(bytes.len());
                self.missing -= count;
                bytes = &bytes[count..];
            } else {
                let count = (HEADER - self.header_len).min(bytes.len());
                self.header[self.header_len..][..count].copy_from_slice(&bytes[..count]);
                self.header_len += count;
                bytes = &bytes[count..];
                self.begin();
            }
            end = self.end_of(if end == End::Unfinished {
                end
            } else {
                End::Begun
            });
        }
        end
    }

    /// Begins the payload of a frame whose header is there.
    fn begin(&mut self) {
        let [a, b, c, kind, flags, ..] = self.header;
        if self.header_len < HEADER {
            return;
        }
        self.header_len = 0;
        self.missing = u32::from_be_bytes([0, a, b, c]) as usize;
        if matches!(kind, HEADERS | CONTINUATION) {
            self.is_in_head = flags & END_HEADERS == 0;
        }
    }

    /// The end of what has been read, which is this one where it is not that of a piece.
    const fn end_of(&self, within: End) -> End {
        match (self.missing, self.header_len, self.is_in_head) {
            (0, 0, false) => End::Whole,
            _ => within,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let len = (payload as u32).to_be_bytes();
        let header = [len[1], len[2], len[3], kind, flags, 0, 0, 0, 1];
        [&header[..], &vec![0xff; payload]].concat()
    }

    /// The preface, or a frame, or the frames of a head.
    fn piece() -> impl Strategy<Value = Vec<u8>> {
        let payload = 0..300_usize;
        prop_oneof![
            (2..8_u8, payload.clone()).prop_map(|(kind, payload)| frame(kind, 0, payload)),
            payload
                .clone()
                .prop_map(|payload| frame(HEADERS, END_HEADERS | 1, payload)),
            prop::collection::vec(payload, 2..5).prop_map(|parts| {
                let last = parts.len() - 1;
                let frames = parts.iter().enumerate().map(|(n, payload)| {
                    let kind = if n == 0 { HEADERS } else { CONTINUATION };
                    frame(kind, if n == last { END_HEADERS } else { 0 }, *payload)
                });
                frames.collect::<Vec<_>>().concat()
            }),
        ]
    }

    proptest! {
        #[test]
        fn a_piece_is_whole_at_its_end_and_nowhere_else(
            pieces in prop::collection::vec(piece(), 0..12),
            sizes in prop::collection::vec(1..400_usize, 1..20),
        ) {
            let preface = vec![b'P'; PREFACE];
            let mut ends = vec![];
            let mut sent: Vec<u8> = vec![];
            for piece in [vec![preface], pieces].concat() {
                sent.extend(piece);
                ends.push(sent.len());
            }
            let (mut read, mut at) = (Pieces::new(), 0);
            for size in sizes.iter().cycle() {
                let to = sent.len().min(at + size);
                let expected = match ends.iter().rev().find(|end| **end <= to) {
                    Some(end) if *end == to => End::Whole,
                    Some(end) if *end >= at => End::Begun,
                    _ => End::Unfinished,
                };
                prop_assert_eq!(read.read(&sent[at..to]), expected);
                at = to;
                if at == sent.len() {
                    break;
                }
            }
        }
    }
}

//! Cuts what is read into lines.

use bytes::{Bytes, BytesMut};
use memchr::memchr;

/// A line of an input.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Number of the line, counted from 1.
    pub number: u64,
    /// Text without the line break, or the number of its bytes if they are more than are kept.
    pub text: Result<Bytes, usize>,
}

/// The lines of one input, of which nothing is held but the last one, as long as it has no end.
pub(super) struct Lines {
    most: usize,
    done: u64,
    rest: BytesMut,
    /// Bytes of a line that is longer than `most` and that were dropped.
    dropped: usize,
}

impl Lines {
    /// Keeps lines of up to `most` bytes.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            done: 0,
            rest: BytesMut::new(),
            dropped: 0,
        }
    }

    /// Takes in what was read next, and hands out the lines that it completes.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        while let Some(end) = memchr(b'\n', bytes) {
            self.keep(&bytes[..end]);
            lines.push(self.line());
            bytes = &bytes[end + 1..];
        }
        self.keep(bytes);
        lines
    }

    /// The last line, if it has no line end.
    pub(super) fn end(mut self) -> Option<Line> {
        (self.dropped > 0 || !self.rest.is_empty()).then(|| self.line())
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.dropped == 0 && self.rest.len() + bytes.len() <= self.most {
            self.rest.extend_from_slice(bytes);
        } else {
            self.dropped += self.rest.len() + bytes.len();
            self.rest.clear();
        }
    }

    fn line(&mut self) -> Line {
        self.done += 1;
        let text = match std::mem::take(&mut self.dropped) {
            0 => Ok(self.rest.split().freeze()),
            dropped => Err(dropped),
        };
        Line {
            number: self.done,
            text,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(most: usize, pieces: &[&[u8]]) -> Vec<(u64, Result<String, usize>)> {
        let mut lines = Lines::new(most);
        let mut all: Vec<_> = pieces.iter().flat_map(|p| lines.read(p)).collect();
        all.extend(lines.end());
        let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        all.into_iter()
            .map(|line| (line.number, line.text.map(text)))
            .collect()
    }

    #[test]
    fn a_line_that_is_too_long_is_reported_and_the_next_line_is_read() {
        let long = Err(7);
        let ok = |text: &str| Ok(text.to_owned());
        assert_eq!(
            lines(4, &[b"ab\n123", b"4567", b"\n\nabcd\n12345", b"67"]),
            [
                (1, ok("ab")),
                (2, long.clone()),
                (3, ok("")),
                (4, ok("abcd")),
                (5, long)
            ]
        );
        assert_eq!(lines(4, &[b""]), []);
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_the_sizes_of_reads(text in "[a\n]{0,60}", cuts in prop::collection::vec(1usize..9, 1..20)) {
            let mut pieces = Vec::new();
            let mut rest = text.as_bytes();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                pieces.push(piece);
                rest = after;
            }
            let expected: Vec<_> = (1..).zip(text.lines()).map(|(n, line)| {
                (n, if line.len() > 5 { Err(line.len()) } else { Ok(line.to_owned()) })
            }).collect();
            prop_assert_eq!(lines(5, &pieces), expected);
        }
    }
}

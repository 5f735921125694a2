//! The frames of a stream: text, `LEN|BODY`.

use std::fmt::Write as _;

use crate::close::Close;
use crate::position::Seq;

/// The largest frame that a gateway sends by default, in bytes: what many client libraries accept by default.
pub const DEFAULT_FRAME: usize = 1 << 20;

/// The largest frame that any gateway sends, in bytes: a client that takes messages of this size takes all.
pub const LARGEST_FRAME: usize = 16 << 20;

/// The frame of a heartbeat.
pub const HEARTBEAT: &str = "1|Z";

/// The longest message that a client may send, in bytes: it has nothing to say but the answer to a heartbeat, and a new token.
pub const LONGEST_MESSAGE: usize = 4 << 10;
/// The answer of a client to a heartbeat.
pub const HEARTBEAT_ANSWER: &str = "Z";

/// The most bytes of `LEN|`, for bodies of less than 100 MB.
pub const LENGTH_PREFIX: usize = 9;

/// The message of a control frame; clients that asked for markers get them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marker {
    /// Everything stored has been sent; what follows is live.
    Live,
    /// Events before the first one that follows have expired.
    Gap,
}

impl Marker {
    /// The control frame: `LEN|{"control":"live","seq_start":"N"}`, where N is the number to start with to get what follows.
    pub fn frame(self, seq_start: &Seq) -> String {
        let control = match self {
            Self::Live => "live",
            Self::Gap => "gap",
        };
        framed(&format!(
            r#"{{"control":"{control}","seq_start":"{seq_start}"}}"#
        ))
    }
}

/// The control message of a stream that ends: `{"control":"close","code":C,"reason":"R","seq_start":"N"}`, where N is the number to
/// start with to get what follows.
pub fn close_control(close: &Close, seq_start: &Seq) -> String {
    // Only the reason needs escapes, and a string can always be written.
    let reason = serde_json::to_string(&close.reason).unwrap_or_default();
    format!(
        r#"{{"control":"close","code":{},"reason":{reason},"seq_start":"{seq_start}"}}"#,
        close.code
    )
}

/// The frame of a body: `LEN|BODY`.
pub fn framed(body: &str) -> String {
    let mut frame = begun(body.len());
    frame.push_str(body);
    frame
}

/// The beginning of a frame, `LEN|`, with exactly the room for a body of this length.
pub fn begun(length: usize) -> String {
    let digits = length.checked_ilog10().unwrap_or_default() as usize + 1;
    let mut frame = String::with_capacity(digits + 1 + length);
    let _ = write!(frame, "{length}|");
    frame
}

/// Content of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// `1|Z`: the server asks whether the client is still there; the answer is [`HEARTBEAT_ANSWER`].
    Heartbeat,
    /// `1|X`: nothing has to be answered.
    KeepAlive,
    /// Anything else: an event, as JSON text.
    Event(&'a str),
}

/// A text that is no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// There is no `|`.
    #[error("a frame without '|'")]
    NoSeparator,
    /// The text before the `|` is no number.
    #[error("a frame whose length is no number")]
    BadLength,
    /// The body is longer or shorter than it should be: it was cut, or two were joined.
    #[error("a frame that announces {announced} characters but has {found}")]
    WrongLength {
        /// The number before the `|`.
        announced: usize,
        /// The characters after it.
        found: usize,
    },
}

impl<'a> Frame<'a> {
    /// Reads one frame.
    ///
    /// DSS does not say in which unit LEN counts. The gateway's bodies are ASCII, where it makes no difference;
    /// of other servers, bytes, characters and UTF-16 units are all accepted.
    pub fn parse(text: &'a str) -> Result<Self, FrameError> {
        let (length, body) = text.split_once('|').ok_or(FrameError::NoSeparator)?;
        if length.is_empty() || !length.bytes().all(|b| b.is_ascii_digit()) {
            return Err(FrameError::BadLength);
        }
        let announced: usize = length.parse().map_err(|_| FrameError::BadLength)?;
        let fits = announced == body.len()
            || announced == body.chars().count()
            || announced == body.encode_utf16().count();
        if !fits {
            return Err(FrameError::WrongLength {
                announced,
                found: body.chars().count(),
            });
        }
        Ok(match body {
            "Z" => Self::Heartbeat,
            "X" => Self::KeepAlive,
            _ => Self::Event(body),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_kind_of_frame_is_recognized() {
        assert_eq!(Frame::parse("1|Z"), Ok(Frame::Heartbeat));
        assert_eq!(Frame::parse("1|X"), Ok(Frame::KeepAlive));
        assert_eq!(Frame::parse("2|{}"), Ok(Frame::Event("{}")));
        assert_eq!(Frame::parse("Z"), Err(FrameError::NoSeparator));
        for bad in [
            "|{}",
            "+2|{}",
            "-2|{}",
            " 2|{}",
            "x|{}",
            "99999999999999999999|{}",
        ] {
            assert_eq!(Frame::parse(bad), Err(FrameError::BadLength), "{bad}");
        }
        let cut = FrameError::WrongLength {
            announced: 3,
            found: 2,
        };
        assert_eq!(Frame::parse("3|{}"), Err(cut));
    }

    proptest! {
        #[test]
        fn a_length_in_bytes_characters_or_utf_16_units_is_accepted(body in "\\PC{2,60}") {
            for length in [body.len(), body.chars().count(), body.encode_utf16().count()] {
                let text = format!("{length}|{body}");
                prop_assert_eq!(Frame::parse(&text), Ok(Frame::Event(&body)));
            }
        }

        #[test]
        fn a_truncated_frame_is_rejected(body in "[ -~]{3,60}", cut in 1usize..60) {
            let text = format!("{}|{body}", body.len());
            let cut = cut.min(body.len());
            prop_assert!(Frame::parse(&text[..text.len() - cut]).is_err());
        }

        #[test]
        fn arbitrary_text_is_parsed_without_a_panic(text: String) {
            let _ = Frame::parse(&text);
        }
    }
}

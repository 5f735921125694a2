//! The frames of a stream: text, `LEN|BODY`.

/// What one frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    /// `1|Z`: the server asks whether the client is still there; the answer is [`HEARTBEAT_ANSWER`].
    Heartbeat,
    /// `1|X`: nothing has to be answered.
    KeepAlive,
    /// Anything else: an event, as JSON text.
    Event(&'a str),
}

/// What a client answers a heartbeat with.
pub(crate) const HEARTBEAT_ANSWER: &str = "Z";

/// A text that is no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    /// There is no `|`.
    #[error("a frame without '|'")]
    NoSeparator,
    /// What stands before the `|` is no number.
    #[error("a frame whose length is no number")]
    BadLength,
    /// The body is longer or shorter than it should be: it was cut, or two were joined.
    #[error("a frame that announces {announced} characters but has {found}")]
    WrongLength {
        /// What stands before the `|`.
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
    pub(crate) fn parse(text: &'a str) -> Result<Self, FrameError> {
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
    fn the_frames_of_the_protocol_are_told_apart() {
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
        fn any_body_comes_back_whatever_unit_its_length_has(body in "\\PC{2,60}") {
            for length in [body.len(), body.chars().count(), body.encode_utf16().count()] {
                let text = format!("{length}|{body}");
                prop_assert_eq!(Frame::parse(&text), Ok(Frame::Event(&body)));
            }
        }

        #[test]
        fn a_cut_frame_is_noticed(body in "[ -~]{3,60}", cut in 1usize..60) {
            let text = format!("{}|{body}", body.len());
            let cut = cut.min(body.len());
            prop_assert!(Frame::parse(&text[..text.len() - cut]).is_err());
        }

        #[test]
        fn no_text_makes_it_panic(text: String) {
            let _ = Frame::parse(&text);
        }
    }
}

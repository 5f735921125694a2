//! Frames as clients read them, from this gateway and from others, and the events in them.

use datastream_protocol::event::View;
use datastream_protocol::frame::{Frame, FrameError, framed};
use datastream_protocol::position::{EventIdentity, after};

use crate::json;

/// Reads a frame, and makes one with the same text as its body.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match Frame::parse(text) {
        Ok(frame) => understood(frame, text),
        Err(error) => refused(error, text),
    }
    let expected = match text {
        "Z" => Frame::Heartbeat,
        "X" => Frame::KeepAlive,
        _ => Frame::Event(text),
    };
    assert_eq!(Frame::parse(&framed(text)), Ok(expected));
}

fn understood(frame: Frame<'_>, text: &str) {
    let (length, body) = text.split_once('|').unwrap();
    let announced: usize = length.parse().unwrap();
    assert!(lengths(body).contains(&announced), "{announced}");
    match frame {
        Frame::Heartbeat => assert_eq!(body, "Z"),
        Frame::KeepAlive => assert_eq!(body, "X"),
        Frame::Event(json) => {
            assert_eq!(json, body);
            event(json);
        }
    }
    if body.is_ascii() && !body.is_empty() {
        let cut = &text[..text.len() - 1];
        assert!(Frame::parse(cut).is_err(), "a frame that was cut");
    }
}

fn refused(error: FrameError, text: &str) {
    let Some((length, body)) = text.split_once('|') else {
        assert_eq!(error, FrameError::NoSeparator);
        return;
    };
    // Of what is a number to Rust, `+7` is no length.
    let announced: Option<usize> = length.parse().ok().filter(|_| !length.starts_with('+'));
    let expected = match announced {
        None => FrameError::BadLength,
        Some(announced) => FrameError::WrongLength {
            announced,
            found: body.chars().count(),
        },
    };
    assert_eq!(error, expected);
    assert!(announced.is_none_or(|announced| !lengths(body).contains(&announced)));
}

/// Lengths of a body in bytes, characters and UTF-16 units.
fn lengths(body: &str) -> [usize; 3] {
    [
        body.len(),
        body.chars().count(),
        body.encode_utf16().count(),
    ]
}

fn event(text: &str) {
    let view = View::parse(text);
    assert_eq!(view.is_ok(), json::is_object(text));
    let Ok(view) = view else { return };
    // Whatever is in an event, there are a few words for it.
    let (what, happened) = (view.what(), view.happened());
    if view.body().is_none() {
        assert_eq!((&*what, happened), (text, None));
    }
    let Some(seq) = view.text("seq") else { return };
    if let Ok((identity, position)) = EventIdentity::of_seq(&seq) {
        assert!(identity.is_before(&position), "{seq}");
        assert!(after(&seq).is_some(), "{seq}");
    }
}

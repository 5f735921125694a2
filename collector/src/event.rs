//! Content of a frame: an event as it is stored, or a control frame.

use datastream_client::Body;
use datastream_protocol::event::View;
use datastream_protocol::position::{EventIdentity, Position, Seq};
use jiff::Timestamp;

use super::columns::Columns;

/// An event. Cheap to clone but for its few short texts.
#[derive(Clone, Debug)]
pub(super) struct Event {
    /// Its JSON, byte for byte as it came.
    pub body: Body,
    /// Its sequence number.
    pub seq: Box<str>,
    /// Its identity: no other event has it.
    pub identity: EventIdentity,
    /// Position of a stream that has seen it.
    pub position: Position,
    /// Its type; empty if it has none.
    pub kind: Box<str>,
    /// Its device; empty if it has none.
    pub dsn: Box<str>,
    /// Time at which it arrived here.
    pub received: Timestamp,
    /// The other columns that databases have of it.
    pub columns: Columns,
}

/// The content of a frame that is no heartbeat.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// An event.
    Event(Event),
    /// Everything stored has been sent; what follows the position is live.
    Live(Position),
    /// Events before the position have expired.
    Gap(Position),
    /// Another control frame: nothing that has to be known.
    Other,
}

impl Content {
    /// Reads the body of a frame that arrived at this time.
    ///
    /// # Errors
    /// Neither an event with a sequence number nor a control frame.
    pub(super) fn of(body: Body, received: Timestamp) -> Result<Self, String> {
        let view = View::parse(body.as_str())
            .map_err(|e| format!("an event that is no JSON object: {e}"))?;
        let Some(seq) = view.text("seq") else {
            return match view.text("control") {
                Some(control) => marker(&control, &view.text("seq_start").unwrap_or_default()),
                None => Err("an event without a seq".to_owned()),
            };
        };
        let (identity, position) =
            EventIdentity::of_seq(&seq).map_err(|e| format!("an event with seq {seq:?}: {e}"))?;
        let seq = seq.into();
        let [kind, dsn] =
            ["event_type", "dsn"].map(|name| column(&view.metadata(name).unwrap_or_default()));
        let columns = Columns::of(&view);
        Ok(Self::Event(Event {
            body,
            seq,
            identity,
            position,
            kind,
            dsn,
            received,
            columns,
        }))
    }
}

/// The identity of the event on this line, and the position of a stream that has seen it.
pub(super) fn place_of_line(line: &str) -> Option<(EventIdentity, Position)> {
    let seq = View::parse(line).ok()?.text("seq")?;
    EventIdentity::of_seq(&seq).ok()
}

fn marker(control: &str, seq_start: &str) -> Result<Content, String> {
    let content = match control {
        "live" => Content::Live,
        "gap" => Content::Gap,
        _ => return Ok(Content::Other),
    };
    let position = Seq::start_of(seq_start)
        .map_err(|e| format!("a control frame with seq_start {seq_start:?}: {e}"))?;
    Ok(content(position))
}

/// A column of text: without NUL, which PostgreSQL cannot store.
pub(super) fn column(text: &str) -> Box<str> {
    text.replace('\0', "\u{fffd}").into()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn content(json: &str) -> Result<Content, String> {
        Content::of(Body::from(json), Timestamp::UNIX_EPOCH)
    }

    /// The event with this body.
    pub(crate) fn event(json: &str) -> Event {
        match content(json).unwrap() {
            Content::Event(event) => event,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_event_is_parsed_into_body_seq_type_and_dsn() {
        let json = r#"{"seq":"7","metadata":{"dsn":"AC1","event_type":"datapoint"},"datapoint":{"value":1.10}}"#;
        let event = event(json);
        assert_eq!(event.body.as_str(), json);
        assert_eq!((&*event.seq, event.identity.offset), ("7", 6));
        assert_eq!((&*event.kind, &*event.dsn), ("datapoint", "AC1"));
        assert_eq!(event.position, Position::new([7]));
    }

    #[test]
    fn events_with_unusual_json_are_parsed() {
        let deep = format!("{}{}", "[".repeat(2000), "]".repeat(2000));
        for rest in [
            r#""metadata":{},"metadata":[]"#,
            r#""metadata":{"dsn":"\ud800","event_type":7}"#,
            r#""metadata":{"dsn":"a\u0000b"}"#,
            r#""\ud800":1,"control":"live","seq":"99""#,
            &format!(r#""deep":{deep}"#),
            "\"a\":\n1",
        ] {
            let event = event(&format!(r#"{{"seq":"7",{rest}}}"#));
            assert_eq!(&*event.seq, "7");
            assert!(!event.dsn.contains('\0'));
        }
    }

    #[test]
    fn columns_are_parsed_with_the_rules_of_filters() {
        for (metadata, columns) in [
            (r#""event_type":"datapoint","dsn":null"#, ("datapoint", "")),
            (r#""event_type":"datapoint""#, ("datapoint", "")),
            (
                r#""event\u005ftype":"datapoint","d\u0073n":"AC9""#,
                ("datapoint", "AC9"),
            ),
            (r#""dsn":"A\u0043\/1""#, ("", "AC/1")),
            (r#""dsn":"\ud83d""#, ("", r"\ud83d")),
            (r#""dsn":"a\u0000b""#, ("", "a\u{fffd}b")),
        ] {
            let event = event(&format!(r#"{{"seq":"7","metadata":{{{metadata}}}}}"#));
            assert_eq!((&*event.kind, &*event.dsn), columns, "{metadata}");
        }
    }

    #[test]
    fn live_and_gap_frames_are_distinguished_from_events() {
        let live = content(r#"{"control":"live","seq_start":"8"}"#).unwrap();
        assert!(matches!(live, Content::Live(position) if position == Position::new([7])));
        let gap = content(r#"{"control":"gap","seq_start":"1"}"#).unwrap();
        assert!(matches!(gap, Content::Gap(position) if position == Position::new([0])));
        assert!(matches!(
            content(r#"{"control":"new"}"#),
            Ok(Content::Other)
        ));
    }

    #[test]
    fn events_without_a_valid_seq_are_rejected() {
        for (json, expected) in [
            ("{}", "without a seq"),
            ("[]", "no JSON object"),
            (r#"{"seq":"7""#, "no JSON object"),
            (r#"{"seq":"x"}"#, "seq \"x\""),
            (r#"{"seq":null}"#, "without a seq"),
            (r#"{"control":"gap"}"#, "seq_start \"\""),
        ] {
            let error = content(json).unwrap_err();
            assert!(error.contains(expected), "{json}: {error}");
        }
    }
}

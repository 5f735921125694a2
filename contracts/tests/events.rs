//! Typed events: they read whatever the test vectors of events hold, and say the same as what every program of datastream reads.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use datastream_contracts::control::Control;
use datastream_contracts::documents::schemas;
use datastream_contracts::event::{Coordinate, Event};
use datastream_contracts::json::RawJson;
use datastream_contracts::validate::Validator;
use datastream_protocol::close::CloseCause;
use datastream_protocol::event::View;
use datastream_protocol::frame::close_control;
use datastream_protocol::position::{Position, Seq};
use serde::Deserialize;

#[derive(Deserialize)]
struct Vector {
    name: String,
    event: String,
}

fn vectors() -> Vec<Vector> {
    serde_json::from_str(include_str!("../../protocol/tests/vectors/events.json")).unwrap()
}

#[test]
fn typed_events_have_the_fields_that_every_program_reads() {
    for Vector { name, event: json } in vectors() {
        let event = Event::parse(&json).unwrap();
        let view = View::parse(&json).unwrap();
        let known = view.body().and(view.event_type());
        assert_eq!(event.event_type(), known, "{name}");
        let Some(metadata) = event.metadata() else {
            continue;
        };
        for (field, member) in [
            ("dsn", &metadata.dsn),
            ("property_name", &metadata.property_name),
        ] {
            let kept = metadata.other.get(field).map(|value| value.get().into());
            let found = member.as_deref().map(Into::into).or(kept);
            assert_eq!(found, view.metadata(field), "{name}: {field}");
        }
        let body = view.body().unwrap();
        match &event {
            Event::Datapoint(event) => {
                let value = event.body.value.as_ref().map(RawJson::get);
                assert_eq!(value, body.raw("value"), "{name}");
            }
            Event::Location(event) => {
                let degrees = event.body.lat.as_ref().and_then(Coordinate::degrees);
                let expected = body
                    .text("lat")
                    .map(|text| text.trim().parse::<f64>().unwrap());
                assert_eq!(degrees, expected, "{name}");
            }
            _ => (),
        }
    }
}

#[test]
fn typed_events_are_written_as_they_were_read() {
    for Vector { name, event: json } in vectors() {
        let event = Event::parse(&json).unwrap();
        let written = serde_json::to_string(&event).unwrap();
        assert_eq!(Event::parse(&written).unwrap(), event, "{name}");
        let again: Event = serde_json::from_str(&written).unwrap();
        assert_eq!(again, event, "{name}");
    }
}

#[test]
fn what_is_read_as_a_typed_event_is_what_the_schema_accepts() {
    let schema = schemas()
        .into_iter()
        .find(|document| document.path == "event.json");
    let validator = Validator::new(&schema.unwrap().json).unwrap();
    for Vector { name, event: json } in vectors() {
        let accepted = validator.check(&json);
        // Gateways send such an event, but not like this.
        let is_rendered = ![
            "an acknowledgement under datapointack alone",
            "fields of other types are shown as they were sent",
        ]
        .contains(&name.as_str());
        let is_typed = Event::parse(&json).unwrap().event_type().is_some();
        assert_eq!(
            accepted.is_ok(),
            is_typed && is_rendered,
            "{name}: {accepted:?}"
        );
    }
}

#[test]
fn control_messages_are_those_of_the_protocol() {
    let seq = Seq::starting_at(&Position::new(vec![11]));
    let close = CloseCause::BatchDone.frame().unwrap();
    let json = close_control(&close, &seq);
    let Control::Close(read) = serde_json::from_str(&json).unwrap() else {
        panic!("{json}")
    };
    assert_eq!(
        (read.code, read.reason, read.seq_start),
        (close.code, close.reason, seq.to_string())
    );
    for text in [
        r#"{"control":"live","seq_start":"12"}"#,
        r#"{"control":"gap","seq_start":"12"}"#,
        r#"{"control":"refused","status":409,"error":"in_use","message":"m"}"#,
    ] {
        let control: Control = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&control).unwrap(), text);
    }
}

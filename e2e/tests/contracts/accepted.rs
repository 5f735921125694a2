//! Whatever a producer writes: what a gateway makes of an event that it accepts is what the schemas say.

use datastream_contracts::event::Event as TypedEvent;
use datastream_gateway::event::Event;
use datastream_protocol::event::EventType;
use datastream_protocol::frame::Frame;
use datastream_protocol::position::{EventPosition, Position};
use proptest::prelude::*;
use serde_json::json;

use crate::{check, message};

/// Names of members that mean something, and one that does not.
const NAMES: &[&str] = &[
    "value",
    "status",
    "lat",
    "long",
    "registered",
    "ack_status",
    "echo",
    "event_time",
    "metadata",
    "updated_at",
    "display_name",
    "resource_tags",
    "x",
];

/// JSON texts, with what no type of Rust holds.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i64>().prop_map(|value| value.to_string()),
        "-?[1-9][0-9]{0,40}(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,4})?",
        any::<String>().prop_map(|text| json!(text).to_string()),
        "\"\\\\ud8[0-9a-f]{2}[a-z|é]{0,3}\"",
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        let list = prop::collection::vec(inner.clone(), 0..4);
        prop_oneof![
            list.prop_map(|items| format!("[{}]", items.join(" , "))),
            members(inner).prop_map(|members| format!("{{{members}}}")),
        ]
    })
}

/// Members of an object, of which some may be there twice.
fn members(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let member = (prop::sample::select(NAMES), value);
    let members = prop::collection::vec(member, 0..6);
    members.prop_map(|members| {
        let members = members.iter();
        let members = members.map(|(name, value)| format!("\"{name}\" :\t{value}"));
        members.collect::<Vec<_>>().join(",\r\n")
    })
}

/// A member that gateways check: a text, `null`, or nothing.
fn checked(name: &'static str) -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        Just(format!(",\"{name}\":null")),
        any::<String>().prop_map(move |text| format!(",\"{name}\":{}", json!(text))),
    ]
}

/// Records that a gateway accepts.
fn record() -> impl Strategy<Value = String> {
    let event_type = prop::sample::select(EventType::ALL.as_slice());
    let event = event_type.prop_flat_map(|event_type| {
        let key = prop::sample::select(event_type.body_keys());
        let metadata = (
            checked("dsn"),
            checked("property_name"),
            checked("oem_id"),
            checked("oem_model"),
        );
        (Just(event_type), key, metadata, members(value()))
    });
    let more = prop_oneof![
        Just(String::new()),
        value().prop_map(|value| format!(",\"more\": {value}")),
        value().prop_map(|value| format!(",\"seq\" :{value}")),
    ];
    (event, members(value()), more).prop_map(|((event_type, key, checked, body), others, more)| {
        let (dsn, property_name, oem_id, oem_model) = checked;
        let comma = if others.is_empty() { "" } else { "," };
        format!(
            "{{ \"metadata\":{{{others}{comma}\"event_type\":\"{event_type}\"{dsn}{property_name}{oem_id}{oem_model}}}\n,\"{key}\":{{{body}}}{more}}}"
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn what_a_gateway_makes_of_an_event_is_valid(record in record(), offsets in prop::collection::vec(0_u64..1 << 40, 1..4)) {
        let event = Event::decode(0, 0, record.clone().into(), usize::MAX);
        let event = event.unwrap_or_else(|reason| panic!("{reason:?}: {record}"));
        let at = EventPosition { after: Position::new(offsets), partition: 0 };
        let frame = event.frame_at(at);
        let Frame::Event(body) = Frame::parse(&frame.text).unwrap() else { panic!("{}", frame.text) };
        check("event", body);
        let event_type = event.fields().event_type;
        check(&format!("{event_type}-event"), body);
        prop_assert_eq!(TypedEvent::parse(body).unwrap().event_type(), Some(event_type));
        thread_local! {
            static FRAME: datastream_contracts::validate::Validator = message("EventFrame");
        }
        let checked = FRAME.with(|frames| frames.check(&json!(&frame.text).to_string()));
        prop_assert_eq!(checked, Ok(()));
    }
}

//! CloudEvents 1.0 in structured mode, as the dialect CloudEvents has them.

use crate::control::Control;
use crate::event::Event;

message! {
    /// Event in the envelope of CloudEvents 1.0.
    CloudEvent {
        /// Version of CloudEvents.
        ["1.0", "const" = "1.0"] specversion: String,
        /// `PARTITION-OFFSET` of the event in its topic: the same on every gateway, and each time that it is sent.
        ["0-11", "pattern" = "^[0-9]+-[0-9]+$"] id: String,
        /// Scope in which the `id` is unique: `/datastream/TOPIC`.
        ["/datastream/device-events", "format" = "uri-reference"] source: String,
        /// `dev.datastream.` and the event type.
        #[serde(rename = "type")]
        ["dev.datastream.datapoint", "enum" = (crate::describe::cloud_types())] cloud_type: String,
        /// The serial number of the device, if the event has one.
        #[serde(skip_serializing_if = "Option::is_none")]
        ["AC000W000340000", "type" = "string"] subject: Option<String>,
        /// Time at which it happened, if its body says so: RFC 3339, UTC.
        #[serde(skip_serializing_if = "Option::is_none")]
        ["2018-09-24T10:25:15Z", "type" = "string", "format" = "date-time"] time: Option<String>,
        /// Media type of `data`.
        ["application/json", "const" = "application/json"] datacontenttype: String,
        /// Sequence number of the event, an extension: decimal digits, to be treated as text.
        ["12", "pattern" = "^[0-9]+$"] seq: String,
        /// The event.
        [(crate::describe::example_of::<Event>())] data: Event,
    }
}

message! {
    /// Control message in the envelope of CloudEvents 1.0.
    CloudControl {
        /// Version of CloudEvents.
        ["1.0", "const" = "1.0"] specversion: String,
        /// The `seq_start` of the message.
        ["12", "pattern" = "^[0-9]+$"] id: String,
        /// The `source` of the events.
        ["/datastream/device-events", "format" = "uri-reference"] source: String,
        /// `dev.datastream.control`.
        #[serde(rename = "type")]
        ["dev.datastream.control", "const" = "dev.datastream.control"] cloud_type: String,
        /// Media type of `data`.
        ["application/json", "const" = "application/json"] datacontenttype: String,
        /// The control message.
        [(crate::describe::example_of::<Control>())] data: Control,
    }
}

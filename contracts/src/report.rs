//! The report about a key: the answer to a plain `GET /stream`.

use datastream_protocol::event::EventTypes;

message! {
    /// Report about a stream key: whose it is, and which events can be replayed.
    KeyReport {
        /// Namespace of the subscription.
        ["default"] namespace: String,
        /// Name of the subscription.
        ["blue-led"] name: String,
        /// Types of the events that the subscription asks for.
        #[cfg_attr(feature = "schema", schemars(schema_with = "crate::describe::event_type_list"))]
        [(vec!["datapoint", "datapointack"])] event_types: EventTypes,
        /// A stream is open on this gateway.
        [false] connected: bool,
        /// The sequence numbers that a replay may start with.
        [(serde_json::json!({"first": "1", "next": "12"}))] replay: ReplayRange,
    }
}

message! {
    /// Range of sequence numbers that a replay may start with.
    ReplayRange {
        /// The earliest.
        ["1", "pattern" = "^[0-9]+$"] first: String,
        /// The next one to come: a replay from here gets no stored event.
        ["12", "pattern" = "^[0-9]+$"] next: String,
    }
}

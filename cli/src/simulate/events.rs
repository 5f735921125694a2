//! Device events as a producer writes them: the fields and their order are those of the Ayla Datastream Service.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

/// One event, ready to become a record of the topic.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// The part that filters read.
    pub metadata: Metadata,
    /// The body: what happened.
    #[serde(flatten)]
    pub body: Body,
}

/// The part that every event has.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Metadata {
    /// Identity of the manufacturer.
    pub oem_id: String,
    /// The device's model.
    pub oem_model: String,
    /// Device serial number; also the record's key, so that a device's events keep their order.
    pub dsn: String,
    /// The property, for datapoints and their acknowledgements.
    #[serde(flatten)]
    pub property: Option<PropertyMetadata>,
    /// Tags of the device; the simulated fleet has none.
    pub resource_tags: [String; 0],
    /// One of the five event types.
    pub event_type: &'static str,
}

/// The part of the metadata that only events about a property have.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PropertyMetadata {
    /// The property's name.
    pub property_name: String,
    /// The property's name for people.
    pub display_name: String,
    /// `boolean`, `integer`, `decimal` or `string`.
    pub base_type: &'static str,
}

/// The body of an event, under the key that its event type has on the wire.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Body {
    /// Body of `connectivity`.
    #[serde(rename = "connection")]
    Connection(Connection),
    /// Body of `datapoint`, and of `datapointack` with `ack` set.
    #[serde(rename = "datapoint")]
    Datapoint(Datapoint),
    /// Body of `location`.
    #[serde(rename = "location_event")]
    Location(Location),
    /// Body of `registration`.
    #[serde(rename = "registration_event")]
    Registration(Registration),
}

/// A device went online or offline.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Connection {
    /// Time of the change.
    pub event_time: String,
    /// The user whose device it is.
    pub user_uuid: String,
    /// `Online` or `Offline`.
    pub status: &'static str,
}

/// A property got a value.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Datapoint {
    /// Identity of the datapoint; an acknowledgement carries the one that it acknowledges.
    pub id: String,
    /// Time at which the device measured it, if the device has a clock.
    pub created_at_from_device: Option<String>,
    /// Time at which the cloud last touched it.
    pub updated_at: String,
    /// Time at which the cloud received it.
    pub created_at: String,
    /// The user whose device it is.
    pub user_uuid: String,
    /// The device sent back a value that had been sent to it.
    pub echo: bool,
    /// The datapoint is a file that is complete; always false here.
    pub closed: bool,
    /// The value: a number or a string.
    pub value: Value,
    /// Acknowledgement, in `datapointack` only.
    #[serde(flatten)]
    pub ack: Option<Ack>,
    /// Metadata of the datapoint itself; always empty here.
    pub metadata: Empty,
}

/// A device's answer to a value that was sent to it.
#[allow(clippy::struct_field_names)] // the names of the wire
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ack {
    /// Code that the device chose, 0 for success.
    pub ack_message: i32,
    /// HTTP-like status.
    pub ack_status: u16,
    /// Identity of the acknowledgement.
    pub ack_id: String,
    /// Time of the acknowledgement.
    pub acked_at: String,
}

/// `{}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Empty {}

/// A device was located.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Location {
    /// The device.
    pub dsn: String,
    /// Its public address.
    pub ip: String,
    /// Degrees north, as a string that starts with a space unless negative.
    pub lat: String,
    /// Degrees east, likewise.
    pub long: String,
    /// The way in which it was located.
    pub provider: &'static str,
    /// The user whose device it is.
    pub user_uuid: String,
    /// Time of the location.
    pub created_at: String,
}

/// A device was registered to a user, or unregistered.
#[allow(clippy::struct_field_names)] // the names of the wire
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Registration {
    /// The device.
    pub dsn: String,
    /// The user whose device it is now, if anybody's.
    pub user_uuid: Option<String>,
    /// The device is registered now.
    pub registered: bool,
    /// The way in which the device was paired.
    pub registration_type: &'static str,
    /// Time at which it was registered, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registered_at: Option<String>,
    /// Time at which it was unregistered, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unregistered_at: Option<String>,
}

/// A time as events carry it: RFC 3339, UTC, whole seconds.
pub(super) fn timestamp(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

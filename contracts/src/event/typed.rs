//! A whole event of one type.

use datastream_protocol::event::EventType;
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::{Connectivity, Datapoint, Datapointack, Location, Metadata, Registration};
use crate::json::{Field, Members};

/// Body of an event of one type.
pub trait Body: Sized + Serialize {
    /// The type of the events that have this body.
    const EVENT_TYPE: EventType;

    /// Reads the body from the members of an event; none if it is missing, or no object.
    fn of_event(event: &Members) -> Option<Self>;
}

macro_rules! bodies {
    ($($name:ident),*) => {
        $(impl Body for $name {
            const EVENT_TYPE: EventType = EventType::$name;

            fn of_event(event: &Members) -> Option<Self> {
                let keys = Self::EVENT_TYPE.body_keys();
                let mut values = keys.iter().filter_map(|key| event.get(key));
                values.find(|value| !value.is_null()).and_then(Self::read)
            }
        })*
    };
}

bodies!(
    Connectivity,
    Datapoint,
    Datapointack,
    Location,
    Registration
);

/// A whole event of one type.
#[derive(Clone, Debug, PartialEq)]
pub struct TypedEvent<B> {
    /// The sequence number: decimal digits, to be treated as text.
    pub seq: String,
    /// The part that every event has.
    pub metadata: Metadata,
    /// The body that belongs to the event's type.
    pub body: B,
    /// Members beyond these, such as bodies of other types.
    pub other: Members,
}

impl<B: Body> TypedEvent<B> {
    /// Reads an event of this type from its members; none if one that every such event has is missing.
    pub(super) fn of(members: &Members) -> Option<Self> {
        let body = B::of_event(members)?;
        let (seq, metadata) = (members.read("seq")?, members.read("metadata")?);
        let mut other = members.clone();
        for name in ["seq", "metadata"].iter().chain(B::EVENT_TYPE.body_keys()) {
            other.remove(name);
        }
        Some(Self {
            seq,
            metadata,
            body,
            other,
        })
    }
}

impl<B: Body> Serialize for TypedEvent<B> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut event = serializer.serialize_map(None)?;
        event.serialize_entry("seq", &self.seq)?;
        event.serialize_entry("metadata", &self.metadata)?;
        for key in B::EVENT_TYPE.body_keys() {
            event.serialize_entry(key, &self.body)?;
        }
        for (name, value) in self.other.iter() {
            event.serialize_entry(name, value)?;
        }
        event.end()
    }
}

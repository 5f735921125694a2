//! A whole event of any type.

use datastream_protocol::event::EventType;
use serde::{Deserialize, Deserializer, Serialize};

use super::{Connectivity, Datapoint, Datapointack, Location, Metadata, Registration, TypedEvent};
use crate::json::Members;

/// An event as a gateway sends it.
///
/// Reading fails only if the text is no JSON object. It keeps numbers of any size and other texts as they stand, and so has to be from
/// `serde_json`, and not through a `serde_json::Value`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Event {
    /// A device went online or offline.
    Connectivity(TypedEvent<Connectivity>),
    /// A property of a device got a new value.
    Datapoint(TypedEvent<Datapoint>),
    /// A device acknowledged a value that was sent to it.
    Datapointack(TypedEvent<Datapointack>),
    /// A device reported where it is.
    Location(TypedEvent<Location>),
    /// A device was registered to a user, or unregistered.
    Registration(TypedEvent<Registration>),
    /// An object without a number, metadata, a known type or the body of its type: no gateway of this version sends one.
    Other(Members),
}

impl Event {
    /// Reads an event.
    ///
    /// # Errors
    /// The text is no JSON object.
    pub fn parse(json: &str) -> Result<Self, serde_json::Error> {
        Members::parse(json).map(Self::of)
    }

    /// The type; none of an event of a type that is not known.
    pub const fn event_type(&self) -> Option<EventType> {
        match self {
            Self::Connectivity(_) => Some(EventType::Connectivity),
            Self::Datapoint(_) => Some(EventType::Datapoint),
            Self::Datapointack(_) => Some(EventType::Datapointack),
            Self::Location(_) => Some(EventType::Location),
            Self::Registration(_) => Some(EventType::Registration),
            Self::Other(_) => None,
        }
    }

    /// The metadata; none of an event of a type that is not known.
    pub const fn metadata(&self) -> Option<&Metadata> {
        match self {
            Self::Connectivity(event) => Some(&event.metadata),
            Self::Datapoint(event) => Some(&event.metadata),
            Self::Datapointack(event) => Some(&event.metadata),
            Self::Location(event) => Some(&event.metadata),
            Self::Registration(event) => Some(&event.metadata),
            Self::Other(_) => None,
        }
    }

    fn of(members: Members) -> Self {
        let metadata = members.read::<Metadata>("metadata");
        let name = metadata.and_then(|metadata| metadata.event_type);
        let event_type = name.and_then(|name| name.parse().ok());
        let typed = event_type.and_then(|event_type| match event_type {
            EventType::Connectivity => TypedEvent::of(&members).map(Self::Connectivity),
            EventType::Datapoint => TypedEvent::of(&members).map(Self::Datapoint),
            EventType::Datapointack => TypedEvent::of(&members).map(Self::Datapointack),
            EventType::Location => TypedEvent::of(&members).map(Self::Location),
            EventType::Registration => TypedEvent::of(&members).map(Self::Registration),
        });
        typed.unwrap_or(Self::Other(members))
    }
}

#[cfg(feature = "schema")]
one_of!(
    Event,
    "Event of any type. Its body is the one of its type; members beside it are the producer's own.",
    [
        TypedEvent<Connectivity>,
        TypedEvent<Datapoint>,
        TypedEvent<Datapointack>,
        TypedEvent<Location>,
        TypedEvent<Registration>
    ]
);

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Members::deserialize(deserializer).map(Self::of)
    }
}

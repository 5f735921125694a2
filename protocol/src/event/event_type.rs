//! The five event types of the Ayla Datastream Service, and sets of them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Kind of device event that a record carries (`metadata.event_type` on the wire).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventType {
    /// A device went online or offline.
    Connectivity,
    /// A property of a device got a new value.
    Datapoint,
    /// A device acknowledged a value that was sent to it.
    Datapointack,
    /// A device reported where it is.
    Location,
    /// A device was registered to a user, or unregistered.
    Registration,
}

/// The text is none of the five event types.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown event type {0:?}: use connectivity, datapoint, datapointack, location or registration"
)]
pub struct UnknownEventType(pub String);

impl EventType {
    /// Returns whether events of this type are about a property.
    pub const fn has_property(self) -> bool {
        matches!(self, Self::Datapoint | Self::Datapointack)
    }

    /// All event types, in the order of their names.
    pub const ALL: [Self; 5] = [
        Self::Connectivity,
        Self::Datapoint,
        Self::Datapointack,
        Self::Location,
        Self::Registration,
    ];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connectivity => "connectivity",
            Self::Datapoint => "datapoint",
            Self::Datapointack => "datapointack",
            Self::Location => "location",
            Self::Registration => "registration",
        }
    }

    /// The keys under which the event's body may stand in its JSON object, the one that DSS documents first. Bodies under other
    /// keys are none of this event's.
    pub const fn body_keys(self) -> &'static [&'static str] {
        match self {
            Self::Connectivity => &["connection"],
            Self::Datapoint => &["datapoint"],
            Self::Datapointack => &["datapoint", "datapointack"],
            Self::Location => &["location_event"],
            Self::Registration => &["registration_event"],
        }
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for EventType {
    type Err = UnknownEventType;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|t| t.as_str() == s)
            .ok_or_else(|| UnknownEventType(s.to_owned()))
    }
}

/// A set of event types; serialised as a sorted list of names.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct EventTypes(u8);

impl EventTypes {
    /// Returns whether `t` is in the set.
    pub const fn contains(self, t: EventType) -> bool {
        self.0 & (1 << t as u8) != 0
    }

    /// Returns whether the set has no member.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The members, in the order of [`EventType::ALL`].
    pub fn iter(self) -> impl Iterator<Item = EventType> {
        EventType::ALL
            .into_iter()
            .filter(move |t| self.contains(*t))
    }
}

impl FromIterator<EventType> for EventTypes {
    fn from_iter<I: IntoIterator<Item = EventType>>(types: I) -> Self {
        Self(types.into_iter().fold(0, |set, t| set | 1 << t as u8))
    }
}

impl fmt::Debug for EventTypes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl Serialize for EventTypes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for EventTypes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let set: Self = Vec::<EventType>::deserialize(deserializer)?
            .into_iter()
            .collect();
        if set.is_empty() {
            return Err(D::Error::custom("eventTypes is empty"));
        }
        Ok(set)
    }
}

//! Filters of a subscription: which events of its types it wants.

use datastream_protocol::event::EventType;
use serde::{Deserialize, Serialize};

use crate::pattern::Pattern;

/// One entry of a subscription's filters. A missing list is no condition; in a list any item may match; all
/// given lists must match. An entry with `property_names` matches only events that have a property.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Filter {
    /// Matched against `metadata.oem_id`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub oem_ids: Vec<Pattern>,
    /// Matched against `metadata.oem_model`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub oem_models: Vec<Pattern>,
    /// Matched against `metadata.dsn`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dsns: Vec<Pattern>,
    /// Matched against `metadata.property_name`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub property_names: Vec<Pattern>,
}

/// The fields of an event that filters read, borrowed from the decoded record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventFields<'a> {
    /// `metadata.event_type`.
    pub event_type: EventType,
    /// `metadata.oem_id`, if the event has one.
    pub oem_id: Option<&'a str>,
    /// `metadata.oem_model`, if the event has one.
    pub oem_model: Option<&'a str>,
    /// `metadata.dsn`, if the event has one.
    pub dsn: Option<&'a str>,
    /// `metadata.property_name`, if the event has one.
    pub property_name: Option<&'a str>,
}

impl Filter {
    /// Returns whether every given list matches the event (the route checks the event's type).
    pub fn matches(&self, event: &EventFields<'_>) -> bool {
        list_matches(&self.dsns, event.dsn)
            && list_matches(&self.property_names, event.property_name)
            && list_matches(&self.oem_models, event.oem_model)
            && list_matches(&self.oem_ids, event.oem_id)
    }
}

fn list_matches(list: &[Pattern], value: Option<&str>) -> bool {
    list.is_empty() || value.is_some_and(|v| list.iter().any(|p| p.matches(v)))
}

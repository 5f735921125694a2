//! Filters of a subscription: which events of its types it wants.

use std::fmt;

use datastream_protocol::event::EventType;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::field::{Field, PerField};
use crate::pattern::Pattern;

/// One entry of a subscription's filters: a list of patterns for each field. An empty list is no condition; any item of a list
/// may match, and every list that is given must. An entry with property names matches only events that have a property.
///
/// Stored as an object of the lists that are not empty, by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    lists: PerField<Vec<Pattern>>,
}

/// The fields of an event that filters read, borrowed from the decoded record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventFields<'a> {
    /// `metadata.event_type`.
    pub event_type: EventType,
    /// Value of each field in the event's `metadata`, if it is there.
    pub values: PerField<Option<&'a str>>,
}

impl Filter {
    /// A filter with these lists.
    pub const fn new(lists: PerField<Vec<Pattern>>) -> Self {
        Self { lists }
    }

    /// The filter with one more list.
    #[must_use]
    pub fn with(mut self, field: Field, patterns: impl IntoIterator<Item = Pattern>) -> Self {
        self.lists[field] = patterns.into_iter().collect();
        self
    }

    /// Gives back memory that has room for more.
    pub fn shrink_to_fit(&mut self) {
        for field in Field::ALL {
            self.lists[field].shrink_to_fit();
        }
    }

    /// The patterns for a field.
    pub fn list(&self, field: Field) -> &[Pattern] {
        &self.lists[field]
    }

    /// The patterns for every field.
    pub fn lists(&self) -> impl Iterator<Item = (Field, &[Pattern])> {
        self.lists.iter().map(|(field, list)| (field, &list[..]))
    }

    /// Returns whether every given list matches the event (the route checks the event's type).
    pub fn matches(&self, event: &EventFields<'_>) -> bool {
        self.lists()
            .all(|(field, list)| list_matches(list, event.values[field]))
    }
}

fn list_matches(list: &[Pattern], value: Option<&str>) -> bool {
    list.is_empty() || value.is_some_and(|v| list.iter().any(|p| p.matches(v)))
}

impl Serialize for Filter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let given = Field::STORED.map(|field| (field.list_name(), self.list(field)));
        let given = given.into_iter().filter(|(_, list)| !list.is_empty());
        let mut map = serializer.serialize_map(Some(given.clone().count()))?;
        for (name, list) in given {
            map.serialize_entry(name, list)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Filter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Lists)
    }
}

/// Reads the lists of a filter.
struct Lists;

impl<'de> Visitor<'de> for Lists {
    type Value = Filter;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of lists of patterns")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Filter, A::Error> {
        let mut lists: PerField<Option<Vec<Pattern>>> = PerField::default();
        while let Some(name) = map.next_key::<String>()? {
            let field = Field::of_list_name(&name)
                .ok_or_else(|| A::Error::unknown_field(&name, &Field::LIST_NAMES))?;
            if lists[field].replace(map.next_value()?).is_some() {
                return Err(A::Error::duplicate_field(field.list_name()));
            }
        }
        Ok(Filter::new(PerField::from_fn(|field| {
            lists[field].take().unwrap_or_default()
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_stored_by_name_in_one_order_and_empty_ones_left_out() {
        let filter = Filter::default()
            .with(Field::PropertyName, ["p".into()])
            .with(Field::Dsn, ["A*".into(), "B".into()])
            .with(Field::OemId, ["7".into()]);
        let text = serde_json::to_string(&filter).unwrap();
        assert_eq!(
            text,
            r#"{"oemIds":["7"],"dsns":["A*","B"],"propertyNames":["p"]}"#
        );
        assert_eq!(serde_json::from_str::<Filter>(&text).unwrap(), filter);
        assert_eq!(serde_json::to_string(&Filter::default()).unwrap(), "{}");
    }

    #[test]
    fn unknown_lists_and_lists_given_twice_are_refused() {
        for (text, error) in [
            (
                r#"{"dsn":["A"]}"#,
                "unknown field `dsn`, expected one of `oemIds`, `oemModels`, `dsns`, `propertyNames`",
            ),
            (r#"{"dsns":["A"],"dsns":[]}"#, "duplicate field `dsns`"),
        ] {
            let refused = serde_json::from_str::<Filter>(text).unwrap_err();
            assert!(refused.to_string().starts_with(error), "{refused}");
        }
    }
}

//! JSON as its producer wrote it: values that no type of Rust holds, and members that nobody has documented.

use std::borrow::Cow;
use std::fmt;

use datastream_protocol::event::{Object, unescape};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// A JSON value as text, byte for byte: numbers of any size and strings with half of a surrogate pair included.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RawJson(Box<RawValue>);

impl RawJson {
    /// Takes a JSON text as it stands.
    ///
    /// # Errors
    /// The text is no JSON value.
    pub fn new(json: &str) -> Result<Self, serde_json::Error> {
        RawValue::from_string(json.to_owned()).map(Self)
    }

    /// Returns the JSON text.
    pub fn get(&self) -> &str {
        self.0.get()
    }

    /// Returns the text of a string, without its quotes and escapes; none of anything else, or of a string with half of a surrogate
    /// pair.
    pub fn as_text(&self) -> Option<Cow<'_, str>> {
        unescape(self.get())
    }

    /// Returns whether it is `null`, which counts as missing but in the value of a property.
    pub fn is_null(&self) -> bool {
        self.get() == "null"
    }

    /// Reads the value as this type.
    ///
    /// # Errors
    /// It is none of that type.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.get())
    }
}

impl PartialEq for RawJson {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl fmt::Debug for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.get())
    }
}

/// Members of an object, in the order in which they stand there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Members(Vec<(String, RawJson)>);

impl Members {
    /// Reads an object. Repeated names, numbers beyond every type and nesting of any depth leave all other members readable.
    ///
    /// # Errors
    /// The text is no JSON object.
    pub fn parse(json: &str) -> Result<Self, serde_json::Error> {
        let object = Object::parse(json)?;
        let members = object.iter();
        let members = members.map(|(name, value)| Ok((name.to_owned(), RawJson::new(value)?)));
        members.collect::<Result<_, _>>().map(Self)
    }

    /// Returns the first member with this name, `null` included.
    pub fn get(&self, name: &str) -> Option<&RawJson> {
        self.named(name).next()
    }

    /// Returns all members.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &RawJson)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads a member; none if it is missing, `null`, or of another type.
    pub(crate) fn read<T: Field>(&self, name: &str) -> Option<T> {
        self.first::<T>(name).and_then(|value| T::read(value))
    }

    /// Takes a member out, with those of the same name behind it, which do not count. One of another type stays where it is.
    pub(crate) fn take<T: Field>(&mut self, name: &str) -> Option<T> {
        let first = self.first::<T>(name);
        let read = first.and_then(|value| T::read(value));
        if first.is_none() || read.is_some() {
            self.remove(name);
        }
        read
    }

    /// Takes out all members with this name.
    pub(crate) fn remove(&mut self, name: &str) {
        self.0.retain(|(key, _)| key != name);
    }

    /// The member that counts, of those with this name.
    fn first<T: Field>(&self, name: &str) -> Option<&RawJson> {
        self.named(name)
            .find(|value| T::NULL_IS_A_VALUE || !value.is_null())
    }

    fn named(&self, name: &str) -> impl Iterator<Item = &RawJson> {
        let members = self.0.iter().filter(move |(key, _)| key == name);
        members.map(|(_, value)| value)
    }
}

impl Serialize for Members {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        Self::parse(json.get()).map_err(D::Error::custom)
    }
}

/// A type that a member may have.
pub(crate) trait Field: Sized {
    /// A member that is `null` is there.
    const NULL_IS_A_VALUE: bool = false;

    /// Reads a value; none if it has another type.
    fn read(value: &RawJson) -> Option<Self>;
}

macro_rules! fields {
    ($($type:ty),*) => {
        $(impl Field for $type {
            fn read(value: &RawJson) -> Option<Self> {
                value.parse().ok()
            }
        })*
    };
}

fields!(String, bool, i64, Vec<String>, Members);

impl Field for RawJson {
    const NULL_IS_A_VALUE: bool = true;

    fn read(value: &RawJson) -> Option<Self> {
        Some(value.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_of_another_type_is_kept_as_it_stands() {
        let json = r#"{"a":1e400,"b":null,"c":"\ud83d","d":"x","d":"y","\ud800":0}"#;
        let mut members = Members::parse(json).unwrap();
        assert_eq!(members.take::<i64>("a"), None);
        assert_eq!(members.take::<String>("b"), None);
        assert_eq!(members.take::<String>("c"), None);
        assert_eq!(members.take::<String>("d").as_deref(), Some("x"));
        let left = serde_json::to_string(&members).unwrap();
        assert_eq!(left, r#"{"a":1e400,"c":"\ud83d"}"#);
    }

    #[test]
    fn null_is_a_value_where_any_value_is_one() {
        let mut members = Members::parse(r#"{"value":null,"value":2}"#).unwrap();
        assert_eq!(members.read::<i64>("value"), Some(2));
        assert_eq!(members.take::<RawJson>("value").unwrap().get(), "null");
        assert!(members.is_empty());
    }
}

//! Fields of events that filters read: the one place that names them.

use std::fmt;
use std::ops::{Index, IndexMut};

/// A member of an event's `metadata` that a filter may have a list for.
///
/// In the order in which lists are compared: the usually most selective one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Field {
    /// The serial number of the device.
    Dsn,
    /// The name of the property that got a value.
    PropertyName,
    /// The model of the device.
    OemModel,
    /// The maker of the device.
    OemId,
}

impl Field {
    /// All fields, in the order of the enum.
    pub const ALL: [Self; 4] = [Self::Dsn, Self::PropertyName, Self::OemModel, Self::OemId];

    /// All fields, in the order in which routing objects hold their lists.
    pub(crate) const STORED: [Self; Self::ALL.len()] =
        [Self::OemId, Self::OemModel, Self::Dsn, Self::PropertyName];

    /// Names of the lists, in the order of [`Field::STORED`].
    pub(crate) const LIST_NAMES: [&str; Self::ALL.len()] = {
        let mut names = [""; Self::ALL.len()];
        let mut number = 0;
        while number < names.len() {
            names[number] = Self::STORED[number].list_name();
            number += 1;
        }
        names
    };

    /// Key of the member in an event's `metadata`.
    #[inline] // of every record
    pub const fn metadata_key(self) -> &'static str {
        match self {
            Self::Dsn => "dsn",
            Self::PropertyName => "property_name",
            Self::OemModel => "oem_model",
            Self::OemId => "oem_id",
        }
    }

    /// Name of the list in `spec.filters[]` and in routing objects.
    pub const fn list_name(self) -> &'static str {
        match self {
            Self::Dsn => "dsns",
            Self::PropertyName => "propertyNames",
            Self::OemModel => "oemModels",
            Self::OemId => "oemIds",
        }
    }

    /// The field with this key in an event's `metadata`, if filters read it.
    #[inline] // of every record
    pub fn of_metadata_key(key: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|field| field.metadata_key() == key)
    }

    /// The field whose list has this name.
    pub fn of_list_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|field| field.list_name() == name)
    }
}

/// One value for each field.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct PerField<T>([T; Field::ALL.len()]);

impl<T> PerField<T> {
    /// Values that a function makes, field by field.
    pub fn from_fn(mut value: impl FnMut(Field) -> T) -> Self {
        Self(Field::ALL.map(&mut value))
    }

    /// The fields with their values, in the order of [`Field::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Field, &T)> {
        Field::ALL.into_iter().zip(&self.0)
    }
}

impl<T> Index<Field> for PerField<T> {
    type Output = T;

    fn index(&self, field: Field) -> &T {
        &self.0[field as usize]
    }
}

impl<T> IndexMut<Field> for PerField<T> {
    fn index_mut(&mut self, field: Field) -> &mut T {
        &mut self.0[field as usize]
    }
}

impl<T: fmt::Debug> fmt::Debug for PerField<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The field behind another one: a match, so that the compiler points at one that is left out.
    const fn behind(field: Field) -> Option<Field> {
        match field {
            Field::Dsn => Some(Field::PropertyName),
            Field::PropertyName => Some(Field::OemModel),
            Field::OemModel => Some(Field::OemId),
            Field::OemId => None,
        }
    }

    #[test]
    fn the_list_of_all_fields_has_every_one() {
        let all = std::iter::successors(Some(Field::Dsn), |field| behind(*field));
        assert_eq!(all.collect::<Vec<_>>(), Field::ALL);
    }

    #[test]
    fn every_field_is_found_by_its_key_and_by_the_name_of_its_list() {
        for (field, number) in Field::ALL.into_iter().zip(0..) {
            assert_eq!(field as usize, number, "{field:?}");
            assert_eq!(Field::of_metadata_key(field.metadata_key()), Some(field));
            assert_eq!(Field::of_list_name(field.list_name()), Some(field));
            assert!(Field::STORED.contains(&field));
        }
        assert_eq!(Field::of_metadata_key("event_type"), None);
        assert_eq!(Field::of_list_name("dsn"), None);
    }
}

//! Definitions of types, each with the examples that its schema shows.

/// An object that a producer wrote: no member is required, `null` counts as missing, and what does not have its documented type is kept
/// in `other`. Gateways check only what is named behind `guarantees`.
///
/// Before a member stands its example and what else its schema says.
macro_rules! open_object {
    ($(#[$about:meta])* $name:ident guarantees [$($guaranteed:literal),*] {
        $($(#[$doc:meta])* [$example:tt $(, $key:literal = $value:tt)*] $field:ident: $type:ty,)*
    }) => {
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        $(#[$about])*
        #[cfg_attr(feature = "schema", schemars(
            transform = crate::describe::Open($name::GUARANTEED),
            transform = crate::describe::example_of_members
        ))]
        pub struct $name {
            $(
                $(#[$doc])*
                #[cfg_attr(feature = "schema", schemars(example = &$example $(, extend($key = $value))*))]
                #[serde(skip_serializing_if = "Option::is_none")]
                pub $field: Option<$type>,
            )*
            /// Members that are not documented, or do not have their documented type.
            #[cfg_attr(feature = "schema", schemars(skip))]
            #[serde(flatten)]
            pub other: crate::json::Members,
        }

        impl $name {
            /// Names of the members that have their documented type, or are `null`, in every event that a gateway sends.
            pub const GUARANTEED: &[&str] = &[$($guaranteed),*];

            pub(crate) fn of(mut members: crate::json::Members) -> Self {
                Self {
                    $($field: members.take(stringify!($field)),)*
                    other: members,
                }
            }
        }

        impl crate::json::Field for $name {
            fn read(value: &crate::json::RawJson) -> Option<Self> {
                crate::json::Members::parse(value.get()).ok().map(Self::of)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                crate::json::Members::deserialize(deserializer).map(Self::of)
            }
        }
    };
}

/// An object that datastream itself writes or reads: every member is there and has its type, unless it is an `Option`.
///
/// Before a member stands its example and what else its schema says.
macro_rules! message {
    ($(#[$about:meta])* $name:ident {
        $($(#[$doc:meta])* [$example:tt $(, $key:literal = $value:tt)*] $field:ident: $type:ty,)*
    }) => {
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        $(#[$about])*
        #[cfg_attr(feature = "schema", schemars(transform = crate::describe::example_of_members))]
        pub struct $name {
            $(
                $(#[$doc])*
                #[cfg_attr(feature = "schema", schemars(example = &$example $(, extend($key = $value))*))]
                pub $field: $type,
            )*
        }
    };
}

/// The schema of an enum whose variants are told apart by what they hold: one of the schemas of these types.
#[cfg(feature = "schema")]
macro_rules! one_of {
    ($name:ident, $description:literal, [$($type:ty),*]) => {
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let mut examples = vec![];
                $(examples.extend(crate::describe::examples_of::<$type>(generator));)*
                schemars::json_schema!({
                    "description": $description,
                    "examples": examples,
                    "oneOf": [$(generator.subschema_for::<$type>()),*],
                })
            }
        }
    };
}

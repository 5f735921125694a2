//! The version of an object.

use std::fmt;

/// `metadata.resourceVersion` of an object. It is a number in every API server that is known, and kept as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ResourceVersion {
    /// A number, without zeros in front of it.
    Number(u64),
    /// Something else.
    Text(Box<str>),
}

impl From<String> for ResourceVersion {
    fn from(text: String) -> Self {
        let number = text.parse().ok();
        let number = number.filter(|number: &u64| number.to_string() == text);
        number.map_or_else(|| Self::Text(text.into()), Self::Number)
    }
}

impl fmt::Display for ResourceVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_is_written_as_it_was_read() {
        for text in [
            "",
            "0",
            "7",
            "007",
            "+7",
            "18446744073709551615",
            "99999999999999999999",
            "x",
        ] {
            assert_eq!(ResourceVersion::from(text.to_owned()).to_string(), text);
        }
    }
}

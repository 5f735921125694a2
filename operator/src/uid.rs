//! The identity of an object.

use std::fmt;

/// `metadata.uid` of an object, in the smallest form: five tables have that of each subscription.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Uid {
    /// A UUID, in lower case and with hyphens, as every API server makes them.
    Uuid([u8; 16]),
    /// Any other text.
    Text(Box<str>),
}

/// Digits of a UUID before each hyphen, and after the last one.
const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];

impl Uid {
    /// The bytes of a UUID in lower case and with hyphens.
    fn uuid(text: &str) -> Option<[u8; 16]> {
        let groups = text.split('-');
        let mut digits = [0; 32];
        let mut rest = &mut digits[..];
        let mut lengths = GROUPS.into_iter();
        for group in groups {
            let length = lengths.next().filter(|length| *length == group.len())?;
            let (here, after) = rest.split_at_mut_checked(length)?;
            here.copy_from_slice(group.as_bytes());
            rest = after;
        }
        let is_digit = |digit: &u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
        let is_whole = lengths.next().is_none() && digits.iter().all(is_digit);
        let mut bytes = [0; 16];
        hex::decode_to_slice(digits, &mut bytes)
            .ok()
            .filter(|()| is_whole)?;
        Some(bytes)
    }

    /// Returns whether this is the text of it.
    pub fn is(&self, text: &str) -> bool {
        match self {
            Self::Uuid(bytes) => Self::uuid(text).as_ref() == Some(bytes),
            Self::Text(other) => **other == *text,
        }
    }
}

impl Default for Uid {
    fn default() -> Self {
        Self::Text(Box::default())
    }
}

impl From<&str> for Uid {
    fn from(text: &str) -> Self {
        Self::uuid(text).map_or_else(|| Self::Text(text.into()), Self::Uuid)
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Uuid(bytes) => {
                let digits = hex::encode(bytes);
                let mut rest = digits.as_str();
                for (number, length) in GROUPS.into_iter().enumerate() {
                    let (here, after) = rest.split_at(length);
                    let hyphen = if number == 0 { "" } else { "-" };
                    write!(f, "{hyphen}{here}")?;
                    rest = after;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_uid_is_written_as_it_was_read() {
        const UUID: &str = "6f8f6c1e-3c1b-4f0e-8a51-0d5d6c3b2a19";
        assert!(matches!(Uid::from(UUID), Uid::Uuid(_)));
        let others = [
            UUID.to_uppercase(),
            UUID.replace('-', ""),
            format!("{UUID}-"),
            format!("{UUID}0"),
            UUID[1..].to_owned(),
            UUID.replacen('c', "x", 1),
            "6f8f6c1-e3c1b-4f0e-8a51-0d5d6c3b2a19".to_owned(),
            "6f8f6c1é-3c1b-4f0e-8a51-0d5d6c3b2a1".to_owned(),
            "u1".to_owned(),
            String::new(),
        ];
        for text in &others {
            assert!(matches!(Uid::from(text.as_str()), Uid::Text(_)), "{text}");
        }
        for text in others.iter().map(String::as_str).chain([UUID]) {
            let uid = Uid::from(text);
            assert_eq!(uid.to_string(), text);
            assert!(uid.is(text) && !uid.is("u2"));
        }
    }
}

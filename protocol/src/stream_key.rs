//! Stream keys.

use std::fmt::Write as _;

use secrecy::{ExposeSecret as _, SecretString};

/// The frames of a stream as a subprotocol (RFC 6455, section 1.9), which a client may offer and is then answered with.
pub const SUBPROTOCOL: &str = "datastream.v1";
/// The subprotocol of events in the envelope of CloudEvents (its WebSocket binding, structured JSON).
pub const CLOUD_EVENTS_SUBPROTOCOL: &str = "cloudevents.json";
/// Beginning of the subprotocol in which a browser brings a stream key; the key follows. It is never the one that is answered.
pub const KEY_SUBPROTOCOL: &str = "datastream.key.";
/// Beginning of the subprotocol in which a browser brings a token (a JWT); the token follows. It is never the one that is answered.
pub const TOKEN_SUBPROTOCOL: &str = "datastream.token.";

/// A stream key: 32 lower-case hexadecimal digits, 128 bits. Never shown by `Debug`.
#[derive(Clone, Debug)]
pub struct StreamKey(SecretString);

/// The text is not 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stream key has 32 lower-case hexadecimal digits")]
pub struct MalformedKey;

impl StreamKey {
    /// The number of digits.
    pub const DIGITS: usize = 32;

    /// Reads a key.
    ///
    /// # Errors
    /// The text cannot be a key.
    pub fn parse(text: &str) -> Result<Self, MalformedKey> {
        let is_digit = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        if text.len() == Self::DIGITS && text.bytes().all(is_digit) {
            Ok(Self(text.into()))
        } else {
            Err(MalformedKey)
        }
    }

    /// Makes a key of these bytes, which must come from the system's random source.
    pub fn from_random(bytes: [u8; Self::DIGITS / 2]) -> Self {
        let mut digits = String::with_capacity(Self::DIGITS);
        for byte in bytes {
            let _ = write!(digits, "{byte:02x}");
        }
        Self(digits.into())
    }

    /// The digits, for whoever must present or store them, and for nothing else.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn malformed_stream_keys_are_rejected() {
        assert_eq!(StreamKey::parse(KEY).unwrap().expose(), KEY);
        for bad in ["", "x", &KEY.to_uppercase(), &KEY[1..], &format!("{KEY}0")] {
            assert_eq!(StreamKey::parse(bad).err(), Some(MalformedKey), "{bad}");
        }
    }

    #[test]
    fn a_random_key_is_valid_and_hidden_in_debug_output() {
        let key = StreamKey::from_random(*b"\0\x01\xff4567890123456");
        assert!(key.expose().starts_with("0001ff34"));
        assert!(StreamKey::parse(key.expose()).is_ok());
        assert!(!format!("{key:?}").contains("0001ff"));
    }
}

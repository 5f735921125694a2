//! One pass over a JSON text (RFC 8259): checks the grammar and the depth, and reports the place of each member of an object.
//!
//! Events leave the gateway byte for byte as they came, so nothing is parsed into values: what is needed is where
//! things are. The text must be valid UTF-8 already.

use std::borrow::Cow;
use std::ops::Range;

use datastream_protocol::event::unescape;

/// Reason why a text was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScanError {
    /// Not JSON.
    Syntax,
    /// Arrays and objects nested too deep.
    Depth,
}

/// Kind of a value, by its first character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Object,
    Array,
    String,
    Scalar,
    Null,
}

/// A string: where it is, its quotes included, and whether there are escapes in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Quoted {
    pub place: Range<usize>,
    pub has_escapes: bool,
}

impl Quoted {
    /// Its text, unescaped; nothing if it has none (half a surrogate pair).
    pub(super) fn unescaped<'a>(&self, text: &'a str) -> Option<Cow<'a, str>> {
        if self.has_escapes {
            unescape(&text[self.place.clone()])
        } else {
            Some(Cow::Borrowed(
                &text[self.place.start + 1..self.place.end - 1],
            ))
        }
    }
}

/// A member of an object: its key, and where its value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub key: Quoted,
    pub value: Range<usize>,
    pub kind: Kind,
    /// The value is a string with escapes in it.
    pub has_escapes: bool,
}

impl Member {
    /// The value as a string, which it has to be.
    pub(super) fn quoted(&self) -> Quoted {
        Quoted {
            place: self.value.clone(),
            has_escapes: self.has_escapes,
        }
    }
}

pub(super) struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    depth: usize,
    max_depth: usize,
}

impl<'a> Scanner<'a> {
    /// A scanner of `text[at..]` that allows `max_depth` nested arrays and objects.
    pub(super) fn new(text: &'a [u8], at: usize, max_depth: usize) -> Self {
        Self {
            text,
            at,
            depth: 0,
            max_depth,
        }
    }

    /// Kind of the next value, after white space; `None` at the end.
    pub(super) fn peek_kind(&mut self) -> Option<Kind> {
        self.space();
        self.text.get(self.at).map(|b| match b {
            b'{' => Kind::Object,
            b'[' => Kind::Array,
            b'"' => Kind::String,
            b'n' => Kind::Null,
            _ => Kind::Scalar,
        })
    }

    /// Position of the scanner in the text.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// Returns whether only white space is left.
    pub(super) fn at_end(&mut self) -> bool {
        self.space();
        self.at == self.text.len()
    }

    /// Scans one object and calls `member` for each of its members, in order.
    pub(super) fn object(&mut self, mut member: impl FnMut(Member)) -> Result<(), ScanError> {
        self.object_with(|scanner, key| {
            member(scanner.member(key)?);
            Ok(())
        })
    }

    /// Scans one object and calls `value` behind each key of it, which has to scan the value.
    pub(super) fn object_with(
        &mut self,
        mut value: impl FnMut(&mut Self, Quoted) -> Result<(), ScanError>,
    ) -> Result<(), ScanError> {
        self.open(b'{')?;
        self.space();
        if self.eat(b'}') {
            self.depth -= 1;
            return Ok(());
        }
        loop {
            self.space();
            let start = self.at;
            let has_escapes = self.string()?;
            let place = start..self.at;
            self.space();
            self.expect(b':')?;
            value(self, Quoted { place, has_escapes })?;
            self.space();
            if self.eat(b',') {
                continue;
            }
            self.depth -= 1;
            return self.expect(b'}');
        }
    }

    /// Scans the value behind a key.
    pub(super) fn member(&mut self, key: Quoted) -> Result<Member, ScanError> {
        let kind = self.peek_kind().ok_or(ScanError::Syntax)?;
        let start = self.at;
        let mut has_escapes = false;
        match kind {
            Kind::String => has_escapes = self.string()?,
            _ => self.value_of(kind)?,
        }
        Ok(Member {
            key,
            value: start..self.at,
            kind,
            has_escapes,
        })
    }

    /// Scans one value of any kind.
    pub(super) fn value(&mut self) -> Result<(), ScanError> {
        let kind = self.peek_kind().ok_or(ScanError::Syntax)?;
        self.value_of(kind)
    }

    fn value_of(&mut self, kind: Kind) -> Result<(), ScanError> {
        match kind {
            Kind::Object => self.object_with(|scanner, _| scanner.value()),
            Kind::Array => self.array(),
            Kind::String => self.string().map(drop),
            Kind::Null => self.literal(b"null"),
            Kind::Scalar => match self.text[self.at] {
                b't' => self.literal(b"true"),
                b'f' => self.literal(b"false"),
                _ => self.number(),
            },
        }
    }

    fn array(&mut self) -> Result<(), ScanError> {
        self.open(b'[')?;
        self.space();
        if !self.eat(b']') {
            loop {
                self.value()?;
                self.space();
                if !self.eat(b',') {
                    break;
                }
            }
            self.expect(b']')?;
        }
        self.depth -= 1;
        Ok(())
    }

    /// Scans a string. Returns whether there are escapes in it.
    fn string(&mut self) -> Result<bool, ScanError> {
        self.expect(b'"')?;
        let mut has_escapes = false;
        self.at += plain_bytes(&self.text[self.at..]);
        while let Some(byte) = self.text.get(self.at) {
            self.at += 1;
            match byte {
                b'"' => return Ok(has_escapes),
                b'\\' => {
                    has_escapes = true;
                    self.escape()?;
                }
                0..0x20 => return Err(ScanError::Syntax),
                _ => (),
            }
            self.at += plain_bytes(&self.text[self.at..]);
        }
        Err(ScanError::Syntax)
    }

    fn escape(&mut self) -> Result<(), ScanError> {
        let Some(kind) = self.text.get(self.at) else {
            return Err(ScanError::Syntax);
        };
        self.at += 1;
        match kind {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(()),
            b'u' => match self.text.get(self.at..self.at + 4) {
                Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => {
                    self.at += 4;
                    Ok(())
                }
                _ => Err(ScanError::Syntax),
            },
            _ => Err(ScanError::Syntax),
        }
    }

    fn number(&mut self) -> Result<(), ScanError> {
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            let _ = self.eat(b'+') || self.eat(b'-');
            self.digits()?;
        }
        Ok(())
    }

    /// One digit or more.
    fn digits(&mut self) -> Result<(), ScanError> {
        let count = self.text[self.at..]
            .iter()
            .take_while(|b| b.is_ascii_digit())
            .count();
        self.at += count;
        if count == 0 {
            Err(ScanError::Syntax)
        } else {
            Ok(())
        }
    }

    fn literal(&mut self, word: &[u8]) -> Result<(), ScanError> {
        if !self.text[self.at..].starts_with(word) {
            return Err(ScanError::Syntax);
        }
        self.at += word.len();
        Ok(())
    }

    fn open(&mut self, bracket: u8) -> Result<(), ScanError> {
        self.expect(bracket)?;
        self.depth += 1;
        if self.depth > self.max_depth {
            Err(ScanError::Depth)
        } else {
            Ok(())
        }
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.text.get(self.at) {
            self.at += 1;
        }
    }

    fn eat(&mut self, byte: u8) -> bool {
        let there = self.text.get(self.at) == Some(&byte);
        self.at += usize::from(there);
        there
    }

    fn expect(&mut self, byte: u8) -> Result<(), ScanError> {
        if self.eat(byte) {
            Ok(())
        } else {
            Err(ScanError::Syntax)
        }
    }
}

/// Counts the bytes at the front of a text that mean themselves in a string, eight at a time: neither a quote, a backslash nor a control
/// character. May stop before the end of the text.
fn plain_bytes(text: &[u8]) -> usize {
    const LOW: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    // A byte below a limit, in its highest bit; above such a byte there may be others that are not (Hacker's Delight, section 6-1).
    let below = |word: u64, limit: u8| word.wrapping_sub(LOW * u64::from(limit)) & !word & HIGH;
    let equal = |word: u64, byte: u8| below(word ^ (LOW * u64::from(byte)), 1);
    let (words, _) = text.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let special = below(word, 0x20) | equal(word, b'"') | equal(word, b'\\');
        if special != 0 {
            return index * 8 + special.trailing_zeros() as usize / 8;
        }
    }
    words.len() * 8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_json(text: &str) -> bool {
        let mut scanner = Scanner::new(text.as_bytes(), 0, 64);
        scanner.value().is_ok() && scanner.at_end()
    }

    proptest! {
        #[test]
        fn accepts_what_serde_json_accepts(text in r#"[\[\]{}",:0-9eE.+\-truefalsn\\ "u|é]{0,24}"#) {
            prop_assert_eq!(is_json(&text), serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok());
        }

        #[test]
        fn plain_bytes_are_those_before_the_first_special_one(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
            let first = text.iter().position(is_special).unwrap_or(text.len());
            let plain = plain_bytes(&text);
            prop_assert!(plain <= first && first - plain < 8 && (plain == first || plain.is_multiple_of(8)), "{plain} {first}");
        }

        #[test]
        fn accepts_what_serde_json_writes(value in json()) {
            prop_assert!(is_json(&value.to_string()));
            let pretty = format!("{value:#}");
            prop_assert!(is_json(&pretty));
        }
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            any::<String>().prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                proptest::collection::btree_map(any::<String>(), inner, 0..6)
                    .prop_map(|m| m.into_iter().collect::<serde_json::Map<_, _>>().into()),
            ]
        })
    }

    #[test]
    fn nesting_is_allowed_up_to_the_limit_and_no_further() {
        let nested = |n: usize| "[".repeat(n) + &"]".repeat(n);
        assert_eq!(Scanner::new(nested(8).as_bytes(), 0, 8).value(), Ok(()));
        assert_eq!(
            Scanner::new(nested(9).as_bytes(), 0, 8).value(),
            Err(ScanError::Depth)
        );
        assert_eq!(
            Scanner::new("[".repeat(100_000).as_bytes(), 0, 8).value(),
            Err(ScanError::Depth)
        );
    }

    #[test]
    fn members_are_told_with_their_places() {
        let text = br#" { "a" : [1] ,"b":null}"#;
        let mut members = vec![];
        Scanner::new(text, 0, 8).object(|_| ()).unwrap_err();
        let mut scanner = Scanner::new(text, 0, 8);
        assert_eq!(scanner.peek_kind(), Some(Kind::Object));
        scanner.object(|m| members.push(m)).unwrap();
        let texts: Vec<_> = members
            .iter()
            .map(|m| (&text[m.key.place.clone()], &text[m.value.clone()], m.kind))
            .collect();
        assert_eq!(
            texts,
            [
                (&b"\"a\""[..], &b"[1]"[..], Kind::Array),
                (b"\"b\"", b"null", Kind::Null)
            ]
        );
    }
}

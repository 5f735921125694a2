//! Decoding of records, as far as the gateway needs it: the fields that filters read, and where to cut and splice.

use std::borrow::Cow;
use std::ops::Range;

use datastream_protocol::event::EventType;
use datastream_routing::{EventFields, Field, PerField};
use datastream_source::MAX_RECORD_BYTES;

use super::scan::{Kind, Member, Quoted, ScanError, Scanner};

/// The deepest nesting of arrays and objects that is served, the event's own braces included.
pub const MAX_DEPTH: usize = 32;

/// Reason why a record was skipped. Its name is the `reason` label of `datastream_gateway_records_skipped_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SkipReason {
    /// Not valid JSON in UTF-8, or not an object.
    NotJson,
    /// Larger than [`MAX_RECORD_BYTES`].
    TooLarge,
    /// Its frame, escapes included, is larger than the gateway sends.
    FrameTooLarge,
    /// Nested deeper than [`MAX_DEPTH`].
    TooDeep,
    /// No `metadata`.
    NoMetadata,
    /// `metadata.event_type` is missing or none of the five.
    UnknownEventType,
    /// A field has a type that it must not have, or is there twice.
    WrongType,
    /// No body under the key that the event's type asks for.
    NoBody,
}

impl SkipReason {
    /// Every reason, for metrics that start at zero.
    pub const ALL: [Self; 8] = [
        Self::NotJson,
        Self::TooLarge,
        Self::FrameTooLarge,
        Self::TooDeep,
        Self::NoMetadata,
        Self::UnknownEventType,
        Self::WrongType,
        Self::NoBody,
    ];

    /// Explains the reason to whoever sends such a record.
    pub const fn explain(self) -> &'static str {
        match self {
            Self::NotJson => "not a JSON object in UTF-8",
            Self::TooLarge => "larger than 1 MiB",
            Self::FrameTooLarge => "its frame, escapes included, is larger than gateways send",
            Self::TooDeep => "nested deeper than 32 levels",
            Self::NoMetadata => "no metadata",
            Self::UnknownEventType => {
                "metadata.event_type is missing or unknown: use connectivity, datapoint, datapointack, location or registration"
            }
            Self::WrongType => {
                "metadata, its event_type, dsn, property_name, oem_id or oem_model, or the event's body has a wrong type or is there twice"
            }
            Self::NoBody => {
                "no body for its event type: connection for connectivity, datapoint for datapoint and datapointack, location_event for location, registration_event for registration"
            }
        }
    }

    /// The name in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotJson => "not_json",
            Self::TooLarge => "too_large",
            Self::FrameTooLarge => "frame_too_large",
            Self::TooDeep => "too_deep",
            Self::NoMetadata => "no_metadata",
            Self::UnknownEventType => "unknown_event_type",
            Self::WrongType => "wrong_type",
            Self::NoBody => "no_body",
        }
    }
}

impl From<ScanError> for SkipReason {
    fn from(error: ScanError) -> Self {
        match error {
            ScanError::Syntax => Self::NotJson,
            ScanError::Depth => Self::TooDeep,
        }
    }
}

/// Decoded record. Its parts are places in the bytes of the record.
#[derive(Debug)]
pub struct Decoded {
    event_type: EventType,
    fields: PerField<Option<Text>>,
    /// From behind the opening brace to before the closing one, less surrounding white space.
    pub(super) members: Range<usize>,
    /// A `seq` of the producer's own, with the comma that goes with it: the gateway gives the number.
    pub(super) foreign_seq: Option<Range<usize>>,
    /// The body that belongs to the event's type.
    pub(super) body: Range<usize>,
    /// Place at which the body of a datapointack must be repeated.
    pub(super) repeat_body: Option<Repeat>,
}

/// A place for the second copy of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// A new member with this key.
    Under(&'static str),
    /// Instead of the `null` that stands there.
    At(Range<usize>),
}

/// A string of the record: where its text is, or the text itself if it had to be unescaped.
#[derive(Debug)]
enum Text {
    At(Range<u32>),
    Unescaped(Box<str>),
}

impl Text {
    fn get<'a>(&'a self, value: &'a [u8]) -> Option<&'a str> {
        match self {
            Self::At(range) => {
                std::str::from_utf8(&value[range.start as usize..range.end as usize]).ok()
            }
            Self::Unescaped(text) => Some(text),
        }
    }
}

impl Decoded {
    /// The type of the event.
    pub(super) const fn event_type(&self) -> EventType {
        self.event_type
    }

    /// Finds out what `value` holds.
    pub fn new(value: &[u8]) -> Result<Self, SkipReason> {
        if value.len() > MAX_RECORD_BYTES {
            return Err(SkipReason::TooLarge);
        }
        let text = std::str::from_utf8(value).map_err(|_| SkipReason::NotJson)?;
        let mut top = TopLevel::default();
        let mut scanner = Scanner::new(value, 0, MAX_DEPTH);
        if scanner.peek_kind() != Some(Kind::Object) {
            return Err(SkipReason::NotJson);
        }
        let open = scanner.position();
        scanner.object_with(|scanner, key| top.scan(text, scanner, key))?;
        let close = scanner.position() - 1;
        if !scanner.at_end() {
            return Err(SkipReason::NotJson);
        }
        if top.repeated {
            return Err(SkipReason::WrongType);
        }
        match top.metadata_kind {
            Some(Kind::Object) => (),
            None | Some(Kind::Null) => return Err(SkipReason::NoMetadata),
            Some(_) => return Err(SkipReason::WrongType),
        }
        let event_type = top.metadata.event_type(value)?;
        let (body, repeat_body) = top.bodies.check(event_type)?;
        Ok(Self {
            event_type,
            fields: top.metadata.fields,
            members: trim(value, open + 1..close),
            foreign_seq: top.seq.map(|member| with_comma(value, member)),
            body,
            repeat_body,
        })
    }

    /// The fields that filters read, borrowed from the record's `value`.
    pub fn fields<'a>(&'a self, value: &'a [u8]) -> EventFields<'a> {
        let text = |field| self.fields[field].as_ref().and_then(|t| t.get(value));
        EventFields {
            event_type: self.event_type,
            values: PerField::from_fn(text),
        }
    }
}

/// The members of the event itself that matter here.
#[derive(Default)]
struct TopLevel {
    metadata: Metadata,
    metadata_kind: Option<Kind>,
    seq: Option<Member>,
    bodies: Bodies,
    /// A member that matters was there twice: parsers disagree on which one counts.
    repeated: bool,
}

impl TopLevel {
    /// Scans the value behind a key of the event.
    fn scan(
        &mut self,
        value: &str,
        scanner: &mut Scanner<'_>,
        key: Quoted,
    ) -> Result<(), ScanError> {
        let name = name(value, &key);
        if name == "metadata" {
            let kind = scanner.peek_kind().ok_or(ScanError::Syntax)?;
            self.repeated |= self.metadata_kind.replace(kind).is_some();
            return match kind {
                Kind::Object => scanner.object(|member| self.metadata.take(value, &member)),
                _ => scanner.value(),
            };
        }
        let member = scanner.member(key)?;
        let slot = match name.as_ref() {
            "seq" => &mut self.seq,
            name => match self.bodies.slot(name) {
                Some(slot) => slot,
                None => return Ok(()),
            },
        };
        self.repeated |= slot.replace(member).is_some();
        Ok(())
    }
}

#[derive(Default)]
struct Bodies {
    connection: Option<Member>,
    datapoint: Option<Member>,
    datapointack: Option<Member>,
    location: Option<Member>,
    registration: Option<Member>,
}

impl Bodies {
    fn slot(&mut self, key: &str) -> Option<&mut Option<Member>> {
        Some(match key {
            "connection" => &mut self.connection,
            "datapoint" => &mut self.datapoint,
            "datapointack" => &mut self.datapointack,
            "location_event" => &mut self.location,
            "registration_event" => &mut self.registration,
            _ => return None,
        })
    }

    /// The body that the type asks for, which must be there and an object; `null` counts as missing. A datapointack may have
    /// it under `datapoint` (as DSS documents) or `datapointack` (as the DSS Browser reads it); what is missing is repeated.
    fn check(
        mut self,
        event_type: EventType,
    ) -> Result<(Range<usize>, Option<Repeat>), SkipReason> {
        let (mut body, mut repeat) = (None, None);
        for key in event_type.body_keys() {
            let member = self.slot(key).and_then(Option::take);
            match member {
                Some(Member {
                    kind: Kind::Object,
                    value,
                    ..
                }) => body = body.or(Some(value)),
                Some(Member {
                    kind: Kind::Null,
                    value,
                    ..
                }) => repeat = Some(Repeat::At(value)),
                Some(_) => return Err(SkipReason::WrongType),
                None => repeat = Some(Repeat::Under(key)),
            }
        }
        Ok((body.ok_or(SkipReason::NoBody)?, repeat))
    }
}

/// The members of `metadata` that matter here.
#[derive(Default)]
struct Metadata {
    event_type: Option<Text>,
    fields: PerField<Option<Text>>,
    /// A bit for each of them that was there.
    seen: u8,
    /// One has a wrong type, or was there twice.
    is_wrong: bool,
}

impl Metadata {
    fn take(&mut self, value: &str, member: &Member) {
        let (bit, slot) = match name(value, &member.key).as_ref() {
            "event_type" => (1, &mut self.event_type),
            name => match Field::of_metadata_key(name) {
                Some(field) => (2 << field as u8, &mut self.fields[field]),
                None => return,
            },
        };
        match text(value, member) {
            Ok(text) if self.seen & bit == 0 => *slot = text,
            _ => self.is_wrong = true,
        }
        self.seen |= bit;
    }

    /// The type of the event, if everything that was there is right.
    fn event_type(&self, value: &[u8]) -> Result<EventType, SkipReason> {
        if self.is_wrong {
            return Err(SkipReason::WrongType);
        }
        let name = self.event_type.as_ref().and_then(|text| text.get(value));
        let event_type = name.and_then(|name| name.parse().ok());
        event_type.ok_or(SkipReason::UnknownEventType)
    }
}

/// The name that a key is. One that has no text (half a surrogate pair) is none of ours.
fn name<'a>(value: &'a str, key: &Quoted) -> Cow<'a, str> {
    key.unescaped(value).unwrap_or_default()
}

/// A member's value as text; `null` counts as missing.
fn text(value: &str, member: &Member) -> Result<Option<Text>, SkipReason> {
    match member.kind {
        Kind::Null => return Ok(None),
        Kind::String => (),
        _ => return Err(SkipReason::WrongType),
    }
    match member.quoted().unescaped(value) {
        Some(Cow::Borrowed(_)) => Ok(Some(Text::At(
            member.value.start as u32 + 1..member.value.end as u32 - 1,
        ))),
        Some(Cow::Owned(text)) => Ok(Some(Text::Unescaped(text.into()))),
        None => Err(SkipReason::WrongType),
    }
}

fn trim(value: &[u8], range: Range<usize>) -> Range<usize> {
    let inner = &value[range.clone()];
    let start = range.start + inner.len() - inner.trim_ascii_start().len();
    start.min(range.end)
        ..range.end
            - (inner.len() - inner.trim_ascii_end().len()).min(range.end - start.min(range.end))
}

/// The place of a member together with the comma behind it or, if it is the last one, before it.
fn with_comma(value: &[u8], member: Member) -> Range<usize> {
    let behind = value[member.value.end..]
        .iter()
        .position(|b| !b.is_ascii_whitespace());
    if let Some(at) = behind
        .map(|n| member.value.end + n)
        .filter(|at| value[*at] == b',')
    {
        return member.key.place.start..at + 1;
    }
    let before = value[..member.key.place.start]
        .iter()
        .rposition(|b| !b.is_ascii_whitespace());
    match before.filter(|at| value[*at] == b',') {
        Some(at) => at..member.value.end,
        None => member.key.place.start..member.value.end,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_kind_of_bad_record_has_its_reason() {
        let deep = format!(
            r#"{{"metadata":{{"event_type":"location"}},"location_event":{{"a":{}1{}}}}}"#,
            "[".repeat(40),
            "]".repeat(40)
        );
        let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(MAX_RECORD_BYTES));
        let cases: &[(&[u8], SkipReason)] = &[
            (b"", SkipReason::NotJson),
            (b"hello", SkipReason::NotJson),
            (b"[1]", SkipReason::NotJson),
            (b"{\"a\":1}x", SkipReason::NotJson),
            (b"{\"a\":\"\xff\"}", SkipReason::NotJson),
            (large.as_bytes(), SkipReason::TooLarge),
            (deep.as_bytes(), SkipReason::TooDeep),
            (b"{}", SkipReason::NoMetadata),
            (br#"{"metadata":null}"#, SkipReason::NoMetadata),
            (br#"{"metadata":[]}"#, SkipReason::WrongType),
            (br#"{"metadata":{}}"#, SkipReason::UnknownEventType),
            (
                br#"{"metadata":{"event_type":"reboot"}}"#,
                SkipReason::UnknownEventType,
            ),
            (br#"{"metadata":{"event_type":7}}"#, SkipReason::WrongType),
            (
                br#"{"metadata":{"event_type":"location","dsn":5},"location_event":{}}"#,
                SkipReason::WrongType,
            ),
            (
                br#"{"metadata":{"event_type":"location","dsn":"\ud800"},"location_event":{}}"#,
                SkipReason::WrongType,
            ),
            (
                br#"{"metadata":{"event_type":"location"},"metadata":{},"location_event":{}}"#,
                SkipReason::WrongType,
            ),
            (
                br#"{"metadata":{"event_type":"location"},"datapoint":{}}"#,
                SkipReason::NoBody,
            ),
            (
                br#"{"metadata":{"event_type":"location"},"location_event":[]}"#,
                SkipReason::WrongType,
            ),
            (
                br#"{"metadata":{"event_type":"datapointack"},"datapoint":null,"datapointack":null}"#,
                SkipReason::NoBody,
            ),
            (
                br#"{"metadata":{"event_type":"datapointack"},"datapoint":{},"datapointack":7}"#,
                SkipReason::WrongType,
            ),
        ];
        for (record, reason) in cases {
            let shown = String::from_utf8_lossy(&record[..record.len().min(80)]);
            assert_eq!(Decoded::new(record).err(), Some(*reason), "{shown}");
        }
    }

    #[test]
    fn fields_are_unescaped_and_null_counts_as_missing() {
        let record = br#"{"metadata":{"event_type":"datapoint","oem_id":null,"dsn":"A\u0043\/1","property_name":"t"},"datapoint":{}}"#;
        let decoded = Decoded::new(record).unwrap();
        let fields = decoded.fields(record);
        assert_eq!(fields.event_type, EventType::Datapoint);
        assert_eq!(
            [Field::OemId, Field::Dsn, Field::PropertyName].map(|field| fields.values[field]),
            [None, Some("AC/1"), Some("t")]
        );
    }

    #[test]
    fn the_limits_are_those_that_are_explained() {
        assert_eq!(MAX_RECORD_BYTES, 1 << 20);
        assert_eq!(MAX_DEPTH, 32);
        let types = EventType::ALL.map(EventType::as_str);
        let explained = SkipReason::UnknownEventType.explain();
        assert!(types.iter().all(|t| explained.contains(t)), "{explained}");
        let keys = Field::ALL.map(Field::metadata_key);
        let explained = SkipReason::WrongType.explain();
        assert!(keys.iter().all(|k| explained.contains(k)), "{explained}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Decoded::new(&bytes);
        }
    }
}

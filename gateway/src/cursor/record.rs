//! Records of the cursors topic, as JSON.

use bytes::Bytes;
use datastream_protocol::position::Position;
use datastream_routing::SubscriptionId;
use datastream_source::MAX_RECORD_BYTES;
use serde::{Deserialize, Serialize};

use super::{Cursor, CursorKey};

/// The version of the format. Records of a later one are skipped by this reader.
const VERSION: u32 = 1;
/// Bytes of cursors in one record: half of what is read of a record (1 MiB), and of what a topic takes.
const MAX_BYTES: usize = MAX_RECORD_BYTES / 2;
/// Bytes of a cursor beside its names and offsets, and of an offset with the most digits and its comma.
const CURSOR: usize = 100;
const OFFSET: usize = 21;

/// One record: cursors that moved, and perhaps a barrier.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CursorRecord {
    /// The gateway process that wrote it.
    pub writer: String,
    /// Every request for a barrier of this writer up to this number: who sees it has seen all that was written before.
    pub barrier: Option<u64>,
    /// Positions from which the streams of subscriptions resume.
    pub cursors: Vec<(CursorKey, Cursor)>,
}

/// Reason why a record could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecordError {
    #[error("it is no JSON of a cursor record: {0}")]
    Malformed(#[from] serde_json::Error),
    #[error("it has format version {0}, and this gateway knows {VERSION}")]
    Version(u32),
}

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct Wire {
    version: u32,
    writer: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    barrier: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    cursors: Vec<WireCursor>,
}

#[derive(Serialize, Deserialize)]
struct WireCursor {
    #[serde(flatten)]
    id: SubscriptionId,
    uid: String,
    /// The next offset of every partition.
    next: Vec<u64>,
    /// A stream started there, and nothing has been acknowledged. Gateways that do not know this take it for acknowledged.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    start: bool,
}

/// Returns how many of these cursors go into one record: at least one.
pub(super) fn fitting(cursors: &[(CursorKey, Cursor)]) -> usize {
    let mut bytes = 0;
    let fits = |(key, cursor): &&(CursorKey, Cursor)| {
        let names = key.id.to_string().len() + key.uid.len();
        bytes += CURSOR + names + OFFSET * cursor.position.offsets().len();
        bytes <= MAX_BYTES
    };
    cursors.iter().take_while(fits).count().max(1)
}

impl CursorRecord {
    /// The bytes of the record.
    pub(super) fn encode(self) -> Bytes {
        let cursor = |(key, cursor): (CursorKey, Cursor)| WireCursor {
            id: key.id,
            uid: key.uid,
            next: cursor.position.offsets().to_vec(),
            start: !cursor.is_acknowledged,
        };
        let wire = Wire {
            version: VERSION,
            writer: self.writer,
            barrier: self.barrier,
            cursors: self.cursors.into_iter().map(cursor).collect(),
        };
        // Strings and numbers only: this cannot fail, and an empty record says nothing.
        serde_json::to_vec(&wire).unwrap_or_default().into()
    }

    /// Reads a record.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let Versioned { version } = serde_json::from_slice(bytes)?;
        if version != VERSION {
            return Err(RecordError::Version(version));
        }
        let wire: Wire = serde_json::from_slice(bytes)?;
        let cursor = |c: WireCursor| {
            let key = CursorKey {
                id: c.id,
                uid: c.uid,
            };
            let cursor = Cursor {
                position: Position::new(c.next),
                is_acknowledged: !c.start,
            };
            (key, cursor)
        };
        Ok(Self {
            writer: wire.writer,
            barrier: wire.barrier,
            cursors: wire.cursors.into_iter().map(cursor).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn cursor() -> impl Strategy<Value = (CursorKey, Cursor)> {
        (
            "[a-z]{1,8}",
            "\\PC{0,8}",
            "\\PC{0,8}",
            vec(any::<u64>(), 1..17),
            any::<bool>(),
        )
            .prop_map(|(namespace, name, uid, next, is_acknowledged)| {
                let id = SubscriptionId::new(namespace, name);
                let position = Position::new(next);
                let cursor = Cursor {
                    position,
                    is_acknowledged,
                };
                (CursorKey { id, uid }, cursor)
            })
    }

    proptest! {
        #[test]
        fn a_record_is_read_as_it_was_written(writer in "\\PC{0,8}", barrier: Option<u64>, cursors in vec(cursor(), 0..20)) {
            let record = CursorRecord { writer, barrier, cursors };
            prop_assert_eq!(CursorRecord::decode(&record.clone().encode()).unwrap(), record);
        }

        #[test]
        fn arbitrary_bytes_are_decoded_without_a_panic(bytes in vec(any::<u8>(), 0..200)) {
            let _ = CursorRecord::decode(&bytes);
        }
    }

    #[test]
    fn a_record_has_as_many_cursors_as_can_be_read_back() {
        for partitions in [1, 16, 499] {
            let key = CursorKey {
                id: SubscriptionId::new("n".repeat(63), "s".repeat(253)),
                uid: "u".repeat(36),
            };
            let position = Position::new(vec![u64::MAX; partitions]);
            let cursors = vec![(key, Cursor::started_at(&position)); 2_000];
            let count = fitting(&cursors);
            assert!(count > 1);
            let record = CursorRecord {
                cursors: cursors[..count].to_vec(),
                ..CursorRecord::default()
            };
            let bytes = record.encode().len();
            assert!((MAX_BYTES / 2..MAX_BYTES).contains(&bytes), "{bytes}");
        }
        assert_eq!(fitting(&[]), 1);
    }

    #[test]
    fn what_does_not_say_that_it_is_a_start_was_acknowledged() {
        let cursors = r#"[{"namespace":"team","name":"a","uid":"u","next":[7]}]"#;
        let record = format!(r#"{{"version":1,"writer":"w","cursors":{cursors}}}"#);
        let record = CursorRecord::decode(record.as_bytes()).unwrap();
        assert!(record.cursors[0].1.is_acknowledged);
    }

    #[test]
    fn later_versions_are_refused_by_their_number() {
        let error = CursorRecord::decode(br#"{"version":2,"anything":[]}"#).unwrap_err();
        assert!(error.to_string().contains("version 2"), "{error}");
    }
}

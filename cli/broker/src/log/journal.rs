//! The journal on disk: one entry after the other, each written with a single call, so that a killed process loses
//! nothing (a killed machine may). The last entry may be torn; it is cut off at the next start.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A topic was made, with this many partitions.
    Create { topic: String, partitions: u32 },
    /// A topic was deleted.
    Delete { topic: String },
    /// A batch was appended.
    Append {
        topic: String,
        partition: u32,
        batch: Bytes,
    },
    /// A consumer's offset was stored.
    Commit {
        topic: String,
        partition: u32,
        consumer: String,
        offset: i64,
    },
    /// The batches before this offset were evicted.
    Evict {
        topic: String,
        partition: u32,
        offset: i64,
    },
}

/// The open journal.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
}

const KIND_CREATE: u8 = 0;
const KIND_DELETE: u8 = 1;
const KIND_APPEND: u8 = 2;
const KIND_COMMIT: u8 = 3;
const KIND_EVICT: u8 = 4;

impl Journal {
    /// Opens a journal and reads what is in it. A torn tail is cut off and reported.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, Vec<Entry>)> {
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let total = text.len();
        let mut rest = Bytes::from(text);
        let mut entries = Vec::new();
        while let Some((entry, after)) = decode(rest.clone())? {
            entries.push(entry);
            rest = after;
        }
        let good = total - rest.len();
        if !rest.is_empty() {
            tracing::warn!(path = %path.display(), bytes = rest.len(), "the journal's last entry is torn: cut off");
            file.set_len(good as u64)?;
        }
        file.seek(SeekFrom::Start(good as u64))?;
        Ok((Self { file }, entries))
    }

    /// Appends an entry.
    pub(crate) fn write(&mut self, entry: &Entry) -> io::Result<()> {
        self.file.write_all(&encode(entry))
    }
}

/// Kind, topic (u16 length), number, payload (u32 length).
fn encode(entry: &Entry) -> Bytes {
    let (commit, evict);
    let (kind, topic, number, payload): (_, _, _, &[u8]) = match entry {
        Entry::Create { topic, partitions } => (KIND_CREATE, topic, *partitions, &[]),
        Entry::Delete { topic } => (KIND_DELETE, topic, 0, &[]),
        Entry::Append {
            topic,
            partition,
            batch,
        } => (KIND_APPEND, topic, *partition, batch),
        Entry::Commit {
            topic,
            partition,
            consumer,
            offset,
        } => {
            commit = [&offset.to_be_bytes(), consumer.as_bytes()].concat();
            (KIND_COMMIT, topic, *partition, &commit)
        }
        Entry::Evict {
            topic,
            partition,
            offset,
        } => {
            evict = offset.to_be_bytes();
            (KIND_EVICT, topic, *partition, &evict)
        }
    };
    let mut bytes = BytesMut::with_capacity(payload.len() + topic.len() + 11);
    bytes.put_u8(kind);
    bytes.put_u16(topic.len() as u16);
    bytes.put_slice(topic.as_bytes());
    bytes.put_u32(number);
    bytes.put_u32(payload.len() as u32);
    bytes.put_slice(payload);
    bytes.freeze()
}

/// The first entry and what follows it; `None` if it is not whole.
fn decode(mut bytes: Bytes) -> io::Result<Option<(Entry, Bytes)>> {
    if bytes.remaining() < 3 {
        return Ok(None);
    }
    let kind = bytes.get_u8();
    let topic = bytes.get_u16() as usize;
    if bytes.remaining() < topic + 8 {
        return Ok(None);
    }
    let topic = text(&bytes.split_to(topic))?;
    let number = bytes.get_u32();
    let payload = bytes.get_u32() as usize;
    if bytes.remaining() < payload {
        return Ok(None);
    }
    let mut payload = bytes.split_to(payload);
    let entry = match kind {
        KIND_CREATE => Entry::Create {
            topic,
            partitions: number,
        },
        KIND_DELETE => Entry::Delete { topic },
        KIND_APPEND => Entry::Append {
            topic,
            partition: number,
            batch: payload,
        },
        KIND_COMMIT if payload.remaining() >= 8 => {
            let offset = payload.get_i64();
            Entry::Commit {
                topic,
                partition: number,
                consumer: text(&payload)?,
                offset,
            }
        }
        KIND_EVICT if payload.remaining() == 8 => Entry::Evict {
            topic,
            partition: number,
            offset: payload.get_i64(),
        },
        _ => return Err(crate::wire::invalid("not a journal of this broker")),
    };
    Ok(Some((entry, bytes)))
}

fn text(bytes: &Bytes) -> io::Result<String> {
    String::from_utf8(bytes.to_vec()).map_err(crate::wire::invalid)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn entry() -> impl Strategy<Value = Entry> {
        let topic = || "[a-z-]{1,20}";
        prop_oneof![
            (topic(), any::<u32>())
                .prop_map(|(topic, partitions)| Entry::Create { topic, partitions }),
            topic().prop_map(|topic| Entry::Delete { topic }),
            (topic(), any::<u32>(), vec(any::<u8>(), 0..200)).prop_map(
                |(topic, partition, batch)| Entry::Append {
                    topic,
                    partition,
                    batch: batch.into(),
                }
            ),
            (topic(), any::<u32>(), any::<i64>()).prop_map(|(topic, partition, offset)| {
                Entry::Evict {
                    topic,
                    partition,
                    offset,
                }
            }),
            (topic(), any::<u32>(), ".{0,20}", any::<i64>()).prop_map(
                |(topic, partition, consumer, offset)| {
                    Entry::Commit {
                        topic,
                        partition,
                        consumer,
                        offset,
                    }
                }
            ),
        ]
    }

    proptest! {
        #[test]
        fn a_journal_is_read_back_up_to_where_it_was_torn(entries in vec(entry(), 0..8), lost in 0_usize..40) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("journal");
            let whole: Vec<u8> = entries.iter().flat_map(encode).collect();
            let kept = whole.len().saturating_sub(lost);
            std::fs::write(&path, &whole[..kept]).unwrap();
            let mut expected = vec![];
            let mut length = 0;
            for entry in &entries {
                length += encode(entry).len();
                if length <= kept {
                    expected.push(entry.clone());
                }
            }
            let (mut journal, read) = Journal::open(&path).unwrap();
            prop_assert_eq!(&read, &expected);
            // What is written after a torn entry can be read again.
            let more = Entry::Delete { topic: "t".to_owned() };
            journal.write(&more).unwrap();
            expected.push(more);
            prop_assert_eq!(Journal::open(&path).unwrap().1, expected);
        }
    }
}

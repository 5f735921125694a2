//! The journal on disk: one entry after the other, each written with a single call, so that a killed process loses
//! nothing (a killed machine may).
//!
//! Every entry has a number and checksums. What is read at the start is every entry that is whole, wherever it is: damage before
//! it is reported and stepped over, an entry that is there twice counts once. Only a last entry that was not written to its end
//! is cut off.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::Path;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use datastream_service::file::{check_regular, try_lock};
use memchr::memmem;

/// A change that is kept.
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
    /// The number of the next entry.
    serial: u64,
}

/// The content of a journal.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// Entries in the order in which they were written.
    pub entries: Vec<Entry>,
    /// The places where there is something else, in bytes.
    pub damaged: Vec<Range<usize>>,
    /// Numbers are missing or there twice.
    pub disordered: bool,
    /// The beginning of an entry that was not written to its end.
    torn: Option<usize>,
    last: Option<u64>,
}

impl Contents {
    /// Returns whether anything that was written may be missing.
    pub(crate) fn is_damaged(&self) -> bool {
        self.disordered || !self.damaged.is_empty()
    }
}

/// Begins every entry.
const MAGIC: &[u8; 4] = b"DSJ1";
/// Magic, number, length of the body, checksum of the body, checksum of all that.
const HEADER: usize = 4 + 8 + 4 + 4 + 4;

const KIND_CREATE: u8 = 0;
const KIND_DELETE: u8 = 1;
const KIND_APPEND: u8 = 2;
const KIND_COMMIT: u8 = 3;
const KIND_EVICT: u8 = 4;

impl Journal {
    /// Opens a journal and reads what is in it.
    ///
    /// # Errors
    /// The file cannot be read or written, or is something else: it is left as it is.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, Contents)> {
        check_regular(path)?;
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        if !try_lock(&file)? {
            return Err(io::Error::other(format!(
                "another process keeps its events in {}: stop it, or name another file with --journal",
                path.display()
            )));
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let contents = read(&Bytes::from(bytes))?;
        if contents.last.is_none() && contents.is_damaged() {
            let reason = format!(
                "{} is no journal of this version: move it away, or name another",
                path.display()
            );
            return Err(crate::invalid::invalid(reason));
        }
        for Range { start, end } in &contents.damaged {
            tracing::error!(
                path = %path.display(), from = start, to = end,
                "the journal is damaged there: what these bytes were is lost, what is behind them is kept"
            );
        }
        if contents.disordered {
            tracing::error!(path = %path.display(), "entries of the journal are missing or there twice");
        }
        if let Some(torn) = contents.torn {
            tracing::warn!(path = %path.display(), from = torn, "the journal's last entry was not written to its end: cut off");
            file.set_len(torn as u64)?;
        }
        file.seek(SeekFrom::End(0))?;
        let serial = contents.last.map_or(0, |last| last.saturating_add(1));
        Ok((Self { file, serial }, contents))
    }

    /// Appends an entry.
    pub(crate) fn write(&mut self, entry: &Entry) -> io::Result<()> {
        self.file.write_all(&encode(self.serial, entry)?)?;
        self.serial += 1;
        Ok(())
    }
}

/// Everything that is whole.
fn read(bytes: &Bytes) -> io::Result<Contents> {
    let mut contents = Contents::default();
    let (mut at, mut damaged_from) = (0, None);
    while at < bytes.len() {
        let Some((serial, body)) = frame(&bytes[at..]) else {
            damaged_from.get_or_insert(at);
            // An entry may begin anywhere behind what is damaged.
            let next = memmem::find(&bytes[at + 1..], MAGIC);
            at = next.map_or(bytes.len(), |next| at + 1 + next);
            continue;
        };
        if let Some(from) = damaged_from.take() {
            contents.damaged.push(from..at);
        }
        let body = at + body.start..at + body.end;
        at = body.end;
        let next = contents.last.map_or(0, |last| last.saturating_add(1));
        contents.disordered |= serial != next;
        if serial < next {
            continue;
        }
        contents.last = Some(serial);
        contents.entries.push(decode(bytes.slice(body))?);
    }
    match damaged_from {
        Some(from) if is_torn(&bytes[from..]) => contents.torn = Some(from),
        Some(from) => contents.damaged.push(from..bytes.len()),
        None => (),
    }
    Ok(contents)
}

/// The number of the entry that begins here, if it is whole, and where its body is.
fn frame(bytes: &[u8]) -> Option<(u64, Range<usize>)> {
    let (serial, length, checksum) = header(bytes)?;
    let body = bytes.get(HEADER..)?.get(..length)?;
    (crc32c::crc32c(body) == checksum).then_some((serial, HEADER..HEADER + length))
}

/// Number, length and checksum of the body, if they are what was written.
fn header(bytes: &[u8]) -> Option<(u64, usize, u32)> {
    let (header, checksum) = bytes.get(..HEADER)?.split_at(HEADER - 4);
    let whole = header.starts_with(MAGIC) && { checksum }.get_u32() == crc32c::crc32c(header);
    let mut header = &header[MAGIC.len()..];
    whole.then(|| {
        (
            header.get_u64(),
            header.get_u32() as usize,
            header.get_u32(),
        )
    })
}

/// Returns whether this is the beginning of an entry and nothing else.
fn is_torn(tail: &[u8]) -> bool {
    match header(tail) {
        Some((_, length, _)) => tail.len() < HEADER + length,
        None => tail.len() < HEADER && tail[..tail.len().min(4)] == MAGIC[..tail.len().min(4)],
    }
}

fn encode(serial: u64, entry: &Entry) -> io::Result<Bytes> {
    let body = body(entry);
    let length = u32::try_from(body.len()).map_err(crate::invalid::invalid)?;
    let mut bytes = BytesMut::with_capacity(HEADER + body.len());
    bytes.put_slice(MAGIC);
    bytes.put_u64(serial);
    bytes.put_u32(length);
    bytes.put_u32(crc32c::crc32c(&body));
    let checksum = crc32c::crc32c(&bytes);
    bytes.put_u32(checksum);
    bytes.put_slice(&body);
    Ok(bytes.freeze())
}

/// Kind, topic (u16 length), number, payload.
fn body(entry: &Entry) -> Bytes {
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
    let mut bytes = BytesMut::with_capacity(payload.len() + topic.len() + 7);
    bytes.put_u8(kind);
    bytes.put_u16(topic.len() as u16);
    bytes.put_slice(topic.as_bytes());
    bytes.put_u32(number);
    bytes.put_slice(payload);
    bytes.freeze()
}

/// Decodes a body. One that is whole and says nothing known is of another version.
fn decode(bytes: Bytes) -> io::Result<Entry> {
    entry(bytes).ok_or_else(|| {
        crate::invalid::invalid(
            "the journal has an entry of a kind that this version does not know",
        )
    })
}

fn entry(mut bytes: Bytes) -> Option<Entry> {
    let kind = bytes.try_get_u8().ok()?;
    let length = usize::from(bytes.try_get_u16().ok()?);
    let topic = text(&(bytes.len() >= length).then(|| bytes.split_to(length))?)?;
    let number = bytes.try_get_u32().ok()?;
    let mut payload = bytes;
    Some(match kind {
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
        KIND_COMMIT => Entry::Commit {
            topic,
            partition: number,
            offset: payload.try_get_i64().ok()?,
            consumer: text(&payload)?,
        },
        KIND_EVICT => Entry::Evict {
            topic,
            partition: number,
            offset: payload.try_get_i64().ok()?,
        },
        _ => return None,
    })
}

fn text(bytes: &Bytes) -> Option<String> {
    String::from_utf8(bytes.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;

    fn any_entry() -> impl Strategy<Value = Entry> {
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

    /// Damage to a file, at places in 0 to 1 of its length.
    #[derive(Clone, Debug)]
    enum Damage {
        Flip(Index, u8),
        /// Bytes from one place to another are gone.
        Cut(Index, Index),
        /// Bytes from one place to another are zeros.
        Hole(Index, Index),
        /// Bytes from one place to another are there twice, one behind the other.
        Doubled(Index, Index),
    }

    fn any_damage() -> impl Strategy<Value = Damage> {
        prop_oneof![
            (any::<Index>(), 0..8_u8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
            any::<(Index, Index)>().prop_map(|(a, b)| Damage::Cut(a, b)),
            any::<(Index, Index)>().prop_map(|(a, b)| Damage::Hole(a, b)),
            any::<(Index, Index)>().prop_map(|(a, b)| Damage::Doubled(a, b)),
        ]
    }

    impl Damage {
        /// Damages a file; returns which bytes changed, or have others between them.
        fn apply(&self, bytes: &mut Vec<u8>) -> Range<usize> {
            let length = bytes.len();
            let range = |a: &Index, b: &Index| {
                let (a, b) = (a.index(length + 1), b.index(length + 1));
                a.min(b)..a.max(b)
            };
            match self {
                Self::Flip(at, bit) => {
                    let at = at.index(length);
                    bytes[at] ^= 1 << bit;
                    at..at + 1
                }
                Self::Cut(a, b) => {
                    let range = range(a, b);
                    bytes.drain(range.clone());
                    range
                }
                Self::Hole(a, b) => {
                    let range = range(a, b);
                    bytes[range.clone()].fill(0);
                    range
                }
                Self::Doubled(a, b) => {
                    let Range { start, end } = range(a, b);
                    let block = bytes[start..end].to_vec();
                    bytes.splice(end..end, block);
                    // Nothing is lost but the entry that now has others in it.
                    end..end
                }
            }
        }
    }

    fn file(entries: &[Entry]) -> (Vec<u8>, Vec<Range<usize>>) {
        let (mut bytes, mut places) = (vec![], vec![]);
        for (serial, entry) in (0..).zip(entries) {
            let start = bytes.len();
            bytes.extend(encode(serial, entry).unwrap());
            places.push(start..bytes.len());
        }
        (bytes, places)
    }

    /// Returns whether `part` is in `whole`, in its order.
    fn is_part(part: &[Entry], whole: &[Entry]) -> bool {
        let mut whole = whole.iter();
        part.iter().all(|entry| whole.any(|other| other == entry))
    }

    proptest! {
        #[test]
        fn intact_journal_entries_are_read_when_others_are_damaged(
            entries in vec(any_entry(), 2..12), damage in any_damage(), more in any_entry(),
        ) {
            let (mut bytes, places) = file(&entries);
            let touched = damage.apply(&mut bytes);
            let kept: Vec<_> = entries.iter().zip(&places).filter_map(|(entry, place)| {
                let whole = place.end <= touched.start || place.start >= touched.end;
                whole.then_some(entry.clone())
            }).collect();
            prop_assume!(!kept.is_empty());
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("journal");
            std::fs::write(&path, &bytes).unwrap();
            let (mut journal, read) = Journal::open(&path).unwrap();
            // What was touched may have come out of it whole, as with zeros over zeros.
            prop_assert!(is_part(&kept, &read.entries), "{kept:?} are not all in {read:?}");
            prop_assert!(is_part(&read.entries, &entries), "{read:?} has others than {entries:?}");
            // Nothing of the file is gone but the beginning of a last entry, and what is written next is read, too.
            let left = std::fs::read(&path).unwrap();
            prop_assert!(bytes.starts_with(&left));
            prop_assert!(left.len() == bytes.len() || read.torn.is_some());
            journal.write(&more).unwrap();
            drop(journal);
            let mut expected = read.entries;
            expected.push(more);
            prop_assert_eq!(Journal::open(&path).unwrap().1.entries, expected);
        }

        #[test]
        fn a_truncated_journal_is_read_up_to_the_cut(
            entries in vec(any_entry(), 0..8), lost in 0_usize..40,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("journal");
            let (whole, places) = file(&entries);
            let kept = whole.len().saturating_sub(lost);
            std::fs::write(&path, &whole[..kept]).unwrap();
            let mut expected: Vec<_> = entries.iter().zip(&places).filter(|(_, p)| p.end <= kept).map(|(e, _)| e.clone()).collect();
            let (mut journal, read) = Journal::open(&path).unwrap();
            prop_assert_eq!(&read.entries, &expected);
            prop_assert!(!read.is_damaged());
            let good = places.iter().map(|p| p.end).filter(|end| *end <= kept).max().unwrap_or(0);
            prop_assert_eq!(std::fs::metadata(&path).unwrap().len(), good as u64);
            let more = Entry::Delete { topic: "t".to_owned() };
            journal.write(&more).unwrap();
            drop(journal);
            expected.push(more);
            prop_assert_eq!(Journal::open(&path).unwrap().1.entries, expected);
        }
    }

    #[test]
    fn a_journal_is_locked_by_one_process_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let first = Journal::open(&path).unwrap();
        let error = Journal::open(&path).err().unwrap().to_string();
        assert!(
            error.contains("another process") && error.contains("journal"),
            "{error}"
        );
        drop(first);
        assert!(Journal::open(&path).is_ok());
        assert!(Journal::open(std::path::Path::new("/dev/full")).is_err());
    }

    #[test]
    fn a_file_that_is_not_a_journal_is_rejected_and_left_unchanged() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        std::fs::write(&path, "somebody's notes").unwrap();
        let error = Journal::open(&path).unwrap_err().to_string();
        assert!(error.contains("is no journal of this version"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"somebody's notes");
    }
}

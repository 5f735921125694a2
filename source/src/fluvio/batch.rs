//! Batches as the broker stores them: where one ends, and the records in it. Every length is checked before it is used.

use bytes::{Buf, Bytes};
use fluvio_protocol::record::{BATCH_HEADER_SIZE, BATCH_PREAMBLE_SIZE};

use super::inflate::Codec;
use crate::MAX_RECORD_BYTES;
use crate::Record;

/// The largest batch that is read, as it comes or decompressed: Fluvio takes no larger request from a producer
/// (`STORAGE_MAX_REQUEST_SIZE`), so what need not be compressed to be stored can be read.
pub const MAX_BATCH_BYTES: usize = fluvio_types::defaults::STORAGE_MAX_REQUEST_SIZE as usize;

/// Records that are handed on together at the most.
const CHUNK: usize = 512;
/// Bytes of records that are handed on together, if it is more than one.
const CHUNK_BYTES: usize = MAX_RECORD_BYTES;

/// Bytes of a batch up to the number that marks it as one.
pub(super) const BASE_BYTES: usize = BATCH_PREAMBLE_SIZE + 4 + 1;
const MAGIC: i8 = 2;

const SCHEMA_PRESENT: i16 = 0x10;
const CODEC: i16 = 0x07;
const SCHEMA_ID_SIZE: usize = 4;

/// A batch without its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// The offset of its first record.
    pub first: u64,
    /// The offset after its last record; that of its first one if it says that it has none.
    pub next: u64,
    /// Its length in bytes, as it says, this header included.
    pub size: usize,
    first_timestamp: i64,
    attributes: i16,
}

/// State of the next batch in the bytes of a response.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// A batch, whole by its length.
    Whole(Header),
    /// The beginning of a batch that is longer than what is there.
    Cut(Header),
    /// A header whose offsets make sense, but its length does not.
    Endless(Header),
    /// Fewer bytes than a header.
    Short,
    /// No header of a batch.
    Malformed,
}

/// Looks at the next batch.
pub(super) fn frame(mut bytes: &[u8]) -> Framing {
    let available = bytes.len();
    if available < BATCH_PREAMBLE_SIZE + BATCH_HEADER_SIZE {
        return Framing::Short;
    }
    let base = bytes.get_i64();
    let length = bytes.get_i32();
    // Leader epoch, magic, checksum: a batch that can be read is not skipped for its checksum, as by other readers.
    bytes.advance(4 + 1 + 4);
    let attributes = bytes.get_i16();
    let last_delta = bytes.get_i32();
    let first_timestamp = bytes.get_i64();
    let count = i64::from(last_delta).saturating_add(1).max(0);
    let (Some(next), true) = (base.checked_add(count), base >= 0) else {
        return Framing::Malformed;
    };
    let size = usize::try_from(length).map_or(0, |length| BATCH_PREAMBLE_SIZE + length);
    let header = Header {
        first: base as u64,
        next: next as u64,
        size,
        first_timestamp,
        attributes,
    };
    if size < header.records_at() {
        Framing::Endless(header)
    } else if size > available {
        Framing::Cut(header)
    } else {
        Framing::Whole(header)
    }
}

/// The offset at which the batch at the front begins; `None` if there is none, or too little of it to tell.
pub(super) fn base(mut bytes: &[u8]) -> Option<u64> {
    if bytes.len() < BASE_BYTES {
        return None;
    }
    let base = bytes.get_i64();
    // Length, leader epoch.
    bytes.advance(4 + 4);
    u64::try_from(base).ok().filter(|_| bytes.get_i8() == MAGIC)
}

/// The number of records in the decompressed records of a batch by themselves; `None` if they are not just as many as they say.
pub(super) fn count(mut bytes: &[u8]) -> Option<u64> {
    let count = u64::try_from(bytes.try_get_i32().ok()?).ok()?;
    for _ in 0..count {
        record(&mut bytes)?;
    }
    (count > 0 && bytes.is_empty()).then_some(count)
}

impl Header {
    /// The compression of its records.
    pub(super) const fn codec(&self) -> Codec {
        Codec(self.attributes & CODEC)
    }

    /// Place in its bytes at which its records begin.
    pub(super) const fn records_at(&self) -> usize {
        let schema = if self.attributes & SCHEMA_PRESENT == 0 {
            0
        } else {
            SCHEMA_ID_SIZE
        };
        BATCH_PREAMBLE_SIZE + BATCH_HEADER_SIZE + schema
    }
}

/// Records that are handed on together: some of a batch, or those of several that are small.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    records: Vec<Record>,
    bytes: usize,
}

/// The records of a batch that are still to be handed on.
#[derive(Debug)]
pub(super) struct Records {
    bytes: Bytes,
    left: u64,
    offset: u64,
    first_timestamp: i64,
}

impl Records {
    /// The records from offset `from` on, of a batch whose decompressed records are `bytes`.
    ///
    /// # Errors
    /// The records are not those that the header promises: none of them can be trusted to have the offset that it seems to have.
    pub(super) fn new(header: &Header, mut bytes: Bytes, from: u64) -> Result<Self, String> {
        let promised = header.next - header.first;
        let count = match bytes.len() {
            0..4 => return Err(format!("{} bytes of records", bytes.len())),
            _ => bytes.get_i32(),
        };
        if u64::try_from(count).ok() != Some(promised) {
            return Err(format!("{count} records, where the header says {promised}"));
        }
        let mut rest = &bytes[..];
        let (mut skipped, mut start) = (0, 0);
        for index in 0..promised {
            if header.first + index < from {
                skipped += 1;
                start = bytes.len() - rest.len();
            } else if header.first + index == from {
                start = bytes.len() - rest.len();
            }
            record(&mut rest)
                .ok_or_else(|| format!("record {index} of {promised} cannot be read"))?;
        }
        bytes.advance(start);
        Ok(Self {
            bytes,
            left: promised - skipped,
            offset: header.first + skipped,
            first_timestamp: header.first_timestamp,
        })
    }

    /// Moves as many of them as it takes to a chunk: all of them, unless it is full then.
    pub(super) fn move_to(&mut self, chunk: &mut Chunk) {
        let room = CHUNK.saturating_sub(chunk.records.len());
        chunk.records.reserve(room.min(self.left as usize));
        let mut rest = &self.bytes[..];
        while self.left > 0 && !chunk.is_full() {
            let Some((timestamp_delta, value)) = record(&mut rest) else {
                // Not reached: all have been looked at.
                self.left = 0;
                break;
            };
            // A copy: a record that is kept must not keep its whole batch. Larger ones are kept by nobody, and only their
            // being larger counts.
            let value = Bytes::copy_from_slice(&value[..value.len().min(MAX_RECORD_BYTES + 1)]);
            chunk.bytes += value.len();
            chunk.records.push(Record {
                offset: self.offset,
                timestamp_ms: match self.first_timestamp {
                    i64::MIN..=0 => -1,
                    first => first.saturating_add(timestamp_delta),
                },
                value,
            });
            self.offset += 1;
            self.left -= 1;
        }
        let read = self.bytes.len() - rest.len();
        self.bytes.advance(read);
    }
}

impl Chunk {
    /// Returns whether it has no record.
    pub(super) const fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Returns whether it takes no more.
    pub(super) const fn is_full(&self) -> bool {
        self.records.len() >= CHUNK || self.bytes >= CHUNK_BYTES
    }

    /// Its records, in the order in which they came.
    pub(super) fn into_records(self) -> Vec<Record> {
        self.records
    }
}

/// Takes a record from the front: its time after the batch's first, and its value.
fn record<'a>(input: &mut &'a [u8]) -> Option<(i64, &'a [u8])> {
    let length = usize::try_from(varint(input)?).ok()?;
    if length > input.len() {
        return None;
    }
    let _attributes = byte(input)?;
    let timestamp_delta = varint(input)?;
    let _offset_delta = varint(input)?;
    match byte(input)? {
        0 => (),
        1 => drop(text(input)?),
        _ => return None,
    }
    let value = text(input)?;
    let _headers = varint(input)?;
    Some((timestamp_delta, value))
}

fn text<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(varint(input)?).ok()?;
    input.split_off(..length)
}

fn byte(input: &mut &[u8]) -> Option<u8> {
    input.split_off_first().copied()
}

/// A zigzag varint of at most ten bytes.
fn varint(input: &mut &[u8]) -> Option<i64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let next = byte(input)?;
        number |= u64::from(next & 0x7f) << shift;
        if next & 0x80 == 0 {
            return Some((number >> 1) as i64 ^ -((number & 1) as i64));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use fluvio_protocol::Encoder;
    use fluvio_protocol::record::{Batch, RawRecords, Record as Sent, RecordData};
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// A batch as a producer encodes it.
    fn encoded(base: i64, values: &[Vec<u8>], keys: bool) -> Vec<u8> {
        let record = |value: &Vec<u8>| {
            let value = RecordData::from(value.clone());
            if keys {
                Sent::new_key_value("key", value)
            } else {
                Sent::new(value)
            }
        };
        let mut batch = Batch::from(values.iter().map(record).collect::<Vec<_>>());
        batch.base_offset = base;
        batch.header.first_timestamp = 1_000;
        let raw: Batch<RawRecords> = batch.try_into().unwrap();
        let mut bytes = vec![];
        raw.encode(&mut bytes, 0).unwrap();
        bytes
    }

    fn read(bytes: &[u8], from: u64) -> Result<Vec<Record>, String> {
        let Framing::Whole(header) = frame(bytes) else {
            return Err("not whole".to_owned());
        };
        let payload = Bytes::copy_from_slice(&bytes[header.records_at()..header.size]);
        let mut records = Records::new(&header, payload, from)?;
        let mut all = vec![];
        loop {
            match chunk(&mut records) {
                chunk if chunk.is_empty() => return Ok(all),
                chunk => all.extend(chunk),
            }
        }
    }

    fn chunk(records: &mut Records) -> Vec<Record> {
        let mut chunk = Chunk::default();
        records.move_to(&mut chunk);
        chunk.into_records()
    }

    proptest! {
        #[test]
        fn records_are_decoded_as_encoded(
            values in vec(vec(any::<u8>(), 0..300), 1..700), base in 0..1_i64 << 40, skip in 0..800_u64, keys: bool,
        ) {
            let from = base as u64 + skip;
            let read = read(&encoded(base, &values, keys), from).unwrap();
            let expected: Vec<_> = (base as u64..).zip(&values).filter(|(o, _)| *o >= from).collect();
            prop_assert_eq!(read.len(), expected.len());
            for (record, (offset, value)) in read.iter().zip(expected) {
                prop_assert_eq!((record.offset, &record.value[..]), (offset, &value[..]));
                prop_assert_eq!(record.timestamp_ms, 1_000);
            }
        }

        #[test]
        fn damaged_batches_are_read_or_rejected_without_a_panic(
            values in vec(vec(any::<u8>(), 0..40), 1..40), flips in vec((any::<prop::sample::Index>(), 1..=255_u8), 1..6), cut: prop::sample::Index,
        ) {
            let mut bytes = encoded(7, &values, true);
            for (at, with) in flips {
                let at = at.index(bytes.len());
                bytes[at] ^= with;
            }
            let _ = read(&bytes, 0);
            bytes.truncate(cut.index(bytes.len()));
            let _ = read(&bytes, 0);
        }

        #[test]
        fn arbitrary_bytes_are_read_without_a_panic(bytes in vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes, 0);
            let _ = (base(&bytes), count(&bytes), varint(&mut &bytes[..]));
        }
    }

    #[test]
    fn the_header_of_a_batch_distinguishes_whole_from_truncated() {
        let bytes = encoded(5, &[b"a".to_vec(), b"b".to_vec()], false);
        let Framing::Whole(header) = frame(&bytes) else {
            panic!("whole")
        };
        assert_eq!(
            (header.first, header.next, header.size),
            (5, 7, bytes.len())
        );
        assert_eq!(frame(&bytes[..bytes.len() - 1]), Framing::Cut(header));
        assert_eq!(frame(&bytes[..40]), Framing::Short);
        let with = |at: usize, new: &[u8]| {
            let mut bytes = bytes.clone();
            bytes[at..at + new.len()].copy_from_slice(new);
            frame(&bytes)
        };
        // Length, base offset, last offset.
        assert!(matches!(
            with(8, &(-1_i32).to_be_bytes()),
            Framing::Endless(_)
        ));
        assert!(matches!(with(8, &3_i32.to_be_bytes()), Framing::Endless(_)));
        assert_eq!(with(0, &(-1_i64).to_be_bytes()), Framing::Malformed);
        assert_eq!(with(0, &i64::MAX.to_be_bytes()), Framing::Malformed);
        let Framing::Whole(empty) = with(23, &(-1_i32).to_be_bytes()) else {
            panic!("whole")
        };
        assert_eq!((empty.first, empty.next), (5, 5));
    }

    #[test]
    fn records_are_counted_without_their_header() {
        let bytes = encoded(5, &[b"a".to_vec(), b"b".to_vec()], false);
        let records = &bytes[BATCH_PREAMBLE_SIZE + BATCH_HEADER_SIZE..];
        assert_eq!(count(records), Some(2));
        assert_eq!(count(&records[..records.len() - 1]), None);
        assert_eq!(count(&[records, b"x"].concat()), None);
        assert_eq!(count(&[0; 4]), None);
    }

    #[test]
    fn a_wrong_count_or_length_makes_the_whole_batch_unreadable() {
        let bytes = encoded(0, &[b"a".to_vec(), b"b".to_vec()], false);
        let payload = BATCH_PREAMBLE_SIZE + BATCH_HEADER_SIZE;
        let with = |at: usize, new: &[u8]| {
            let mut bytes = bytes.clone();
            bytes[at..at + new.len()].copy_from_slice(new);
            read(&bytes, 0)
        };
        assert!(with(payload, &3_i32.to_be_bytes()).is_err());
        assert!(with(payload, &1_i32.to_be_bytes()).is_err());
        assert!(with(payload, &(-1_i32).to_be_bytes()).is_err());
        // A record that claims to be longer than what is left, and a value of a negative length.
        assert!(with(payload + 4, &[0x7e]).is_err());
        assert!(with(payload + 9, &[0x01]).is_err());
    }

    #[test]
    fn chunks_are_bounded_and_an_oversized_record_is_truncated() {
        let large = vec![b'x'; 3 * MAX_RECORD_BYTES];
        let bytes = encoded(0, &[large, vec![b'y'; 10], vec![b'z'; 10]], false);
        let Framing::Whole(header) = frame(&bytes) else {
            panic!("whole")
        };
        let payload = Bytes::from(bytes).slice(header.records_at()..);
        let mut records = Records::new(&header, payload, 0).unwrap();
        let sizes = |chunk: Vec<Record>| chunk.iter().map(|r| r.value.len()).collect::<Vec<_>>();
        assert_eq!(sizes(chunk(&mut records)), [MAX_RECORD_BYTES + 1]);
        assert_eq!(sizes(chunk(&mut records)), [10, 10]);
        assert!(chunk(&mut records).is_empty());
    }
}

//! A batch as bytes: where it ends and which offsets it takes. Its records are not looked at: they are the producer's affair.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use fluvio_protocol::record::{BATCH_HEADER_SIZE, BATCH_PREAMBLE_SIZE};

use crate::invalid::invalid;

/// Place of the length: behind the base offset.
const LENGTH_AT: usize = 8;
/// Place of the last offset less the first: behind leader epoch, magic, checksum and attributes.
const LAST_DELTA_AT: usize = BATCH_PREAMBLE_SIZE + 4 + 1 + 4 + 2;

/// A batch and the offsets that it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    /// The offset of its first record.
    pub base: i64,
    /// The offset after its last record.
    pub next: i64,
    pub bytes: Bytes,
}

impl Stored {
    /// A batch as it was stored.
    pub(crate) fn read(bytes: Bytes) -> io::Result<Self> {
        if bytes.len() < BATCH_PREAMBLE_SIZE + BATCH_HEADER_SIZE {
            return Err(invalid(format!("a batch of {} bytes", bytes.len())));
        }
        let base = (&bytes[..]).get_i64();
        let last = (&bytes[LAST_DELTA_AT..]).get_i32();
        let next = i64::from(last)
            .checked_add(1)
            .and_then(|n| base.checked_add(n));
        match next {
            Some(next) if last >= 0 && base >= 0 => Ok(Self { base, next, bytes }),
            _ => Err(invalid(format!("a batch from {base} on, last {last} more"))),
        }
    }

    /// Has its header say that its last offset is so many more than its first. The offsets that it takes stay.
    pub(crate) fn misnumber(&mut self, last_delta: i32) {
        let mut bytes = BytesMut::from(&self.bytes[..]);
        bytes[LAST_DELTA_AT..LAST_DELTA_AT + 4].copy_from_slice(&last_delta.to_be_bytes());
        self.bytes = bytes.freeze();
    }

    /// The offset after its last record, by its header.
    pub(crate) fn said_next(&self) -> i64 {
        let last = (&self.bytes[LAST_DELTA_AT..]).get_i32();
        self.base.saturating_add(i64::from(last).saturating_add(1))
    }

    /// The batch at another offset. The checksum leaves the offset out.
    pub(crate) fn at(bytes: &[u8], base: i64) -> io::Result<Self> {
        let mut bytes = BytesMut::from(bytes);
        if let Some(place) = bytes.first_chunk_mut() {
            *place = base.to_be_bytes();
        }
        Self::read(bytes.freeze())
    }
}

/// Takes a record set apart.
///
/// # Errors
/// A batch is not whole, or there is something else behind the last.
pub(crate) fn split(mut set: Bytes) -> io::Result<Vec<Bytes>> {
    let mut batches = vec![];
    while !set.is_empty() {
        let length = match set.len() {
            0..BATCH_PREAMBLE_SIZE => return Err(invalid("the last batch is cut")),
            _ => (&set[LENGTH_AT..]).get_i32(),
        };
        let size = usize::try_from(length)
            .ok()
            .filter(|length| *length >= BATCH_HEADER_SIZE)
            .map(|length| length + BATCH_PREAMBLE_SIZE)
            .filter(|size| *size <= set.len())
            .ok_or_else(|| invalid(format!("a batch of {length} bytes")))?;
        batches.push(set.split_to(size));
    }
    Ok(batches)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn arbitrary_bytes_are_split_or_rejected_without_a_panic(bytes in vec(any::<u8>(), 0..300)) {
            if let Ok(batches) = split(bytes.clone().into()) {
                prop_assert_eq!(batches.concat(), bytes);
            }
        }
    }
}

//! A piece of the topic: as much as is read at a time, decoded.

use datastream_source::{Record, Unreadable};

use crate::event::Event;

/// Bytes of records in one piece, unless a single one is larger: little enough that there are many of them in memory.
const PIECE_BYTES: usize = 32 << 10;

/// Consecutive records of one partition. Records that could not be decoded leave no event.
#[derive(Debug)]
pub(in crate::fanout) struct Piece {
    pub partition: u32,
    /// Offset of the first record.
    pub first: u64,
    /// The offset after the last one.
    pub next: u64,
    pub events: Vec<Event>,
    /// Bytes of the records that left no event.
    pub undecoded: u64,
    /// Place that cannot be read, if that is why there are no records.
    pub unreadable: Option<Unreadable>,
}

impl Piece {
    /// A piece without records, for a place that cannot be read.
    pub(super) const fn unreadable(partition: u32, first: u64, place: Unreadable) -> Self {
        Self {
            partition,
            first,
            next: place.next,
            events: vec![],
            undecoded: 0,
            unreadable: Some(place),
        }
    }

    /// Takes as many records as belong into one piece, at least one, and decodes them.
    pub(super) fn decode(
        partition: u32,
        first: u64,
        records: &mut impl Iterator<Item = Record>,
        largest_content: usize,
    ) -> Self {
        let mut piece = Self {
            partition,
            first,
            next: first,
            events: vec![],
            undecoded: 0,
            unreadable: None,
        };
        let mut bytes = 0;
        while bytes < PIECE_BYTES
            && let Some(record) = records.next()
        {
            piece.next = record.offset + 1;
            let size = record.value.len();
            bytes += size;
            let (offset, time) = (record.offset, record.timestamp_ms);
            // What cannot be decoded is counted and logged on the live path.
            match Event::decode(offset, time, record.value, largest_content) {
                Ok(event) => piece.events.push(event),
                Err(_) => piece.undecoded += size as u64,
            }
        }
        piece.events.shrink_to_fit();
        piece
    }

    /// The events from this offset on.
    pub(in crate::fanout) fn events_from(&self, offset: u64) -> &[Event] {
        let first = self.events.partition_point(|e| e.offset < offset);
        &self.events[first..]
    }

    /// Bytes of memory held, as an upper bound.
    pub(super) fn weight(&self) -> usize {
        let events = self.events.iter();
        // As in a chunk of the ring. Positions of more partitions are longer, but only one is held for an event.
        128 + events.map(|e| 200 + e.weight()).sum::<usize>()
    }
}

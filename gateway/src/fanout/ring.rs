//! The most recent events, for streams that have fallen a little behind.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use datastream_protocol::position::Position;
use tokio::sync::watch;

use super::chunk::Chunk;
use crate::event::CloudHeads;

/// A bounded window over the end of the topic. Written by the dispatcher, read by streams that catch up.
#[derive(Debug)]
pub(crate) struct Ring {
    /// Held for one look-up or one push, never across an await.
    inner: Mutex<Inner>,
    head: watch::Sender<Position>,
    limit: usize,
    /// Bytes that envelopes of CloudEvents take beside what is weighed.
    heads: Arc<CloudHeads>,
}

#[derive(Debug)]
struct Inner {
    chunks: VecDeque<Arc<Chunk>>,
    weight: usize,
    /// Records and bytes that have gone through, for their mean.
    seen: (u64, u64),
    /// The position before the first chunk.
    start: Position,
}

/// Answer of the ring to a reader.
#[derive(Debug)]
pub(crate) enum RingRead {
    /// The first chunk that the reader has not seen whole.
    Chunk(Arc<Chunk>),
    /// The reader has seen everything.
    AtHead,
    /// Records of this partition that the reader needs next are no longer here, but in the topic before `until`.
    Past { partition: u32, until: u64 },
}

impl Ring {
    /// An empty ring at `start` that holds up to `limit` bytes, those of the envelopes of CloudEvents included.
    pub(crate) fn new(start: Position, limit: usize, heads: Arc<CloudHeads>) -> Self {
        let head = watch::Sender::new(start.clone());
        Self {
            inner: Mutex::new(Inner {
                chunks: VecDeque::new(),
                weight: 0,
                seen: (0, 0),
                start,
            }),
            head,
            limit,
            heads,
        }
    }

    /// Bytes that it holds at the most.
    pub(crate) const fn limit(&self) -> usize {
        self.limit
    }

    /// Position of the dispatcher.
    pub(crate) fn head(&self) -> Position {
        self.head.borrow().clone()
    }

    /// Wakes with every move of the head.
    pub(crate) fn watch_head(&self) -> watch::Receiver<Position> {
        self.head.subscribe()
    }

    /// Appends a chunk, lets the oldest ones go, and returns the new weight in bytes.
    pub(crate) fn push(&self, chunk: Arc<Chunk>) -> usize {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let after = chunk.after.clone();
        inner.weight += chunk.weight();
        inner.seen.0 += chunk.events.len() as u64;
        inner.seen.1 += chunk.bytes as u64;
        inner.chunks.push_back(chunk);
        // Those of events that are on their way to slow clients count, too, but do not empty the ring.
        let limit = self.limit - self.heads.held().min(self.limit / 2);
        while inner.weight > limit {
            let Some(oldest) = inner.chunks.pop_front() else {
                break;
            };
            inner.weight -= oldest.weight();
            inner.start = oldest.after.clone();
        }
        let weight = inner.weight;
        drop(inner);
        self.head.send_replace(after);
        weight
    }

    /// Records of a partition before `first` have expired and never come. What is held goes: a reader that still needs
    /// some of them must not be led past them.
    pub(crate) fn skip(&self, partition: u32, first: u64) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.chunks.clear();
        inner.weight = 0;
        inner.start = self.head();
        inner.start.advance(partition, first);
    }

    /// Bytes of the topic between `position` and the head: records, at their mean size so far.
    pub(crate) fn bytes_behind(&self, position: &Position) -> u64 {
        let (records, bytes) = self
            .inner
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .seen;
        self.records_behind(position)
            .saturating_mul(bytes / records.max(1))
    }

    /// Number of records between `position` and the head.
    pub(crate) fn records_behind(&self, position: &Position) -> u64 {
        let head = self.head.borrow();
        let behind = |p| head.next(p).saturating_sub(position.next(p));
        (0..head.partitions()).map(behind).sum()
    }

    /// Finds what comes next for a reader at `position`.
    pub(crate) fn read(&self, position: &Position) -> RingRead {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        for partition in 0..inner.start.partitions() {
            let until = inner.start.next(partition);
            if position.next(partition) < until {
                return RingRead::Past { partition, until };
            }
        }
        // Positions after chunks only grow, so what a reader has seen is a prefix.
        let seen = inner
            .chunks
            .partition_point(|chunk| position.covers(&chunk.after));
        inner
            .chunks
            .get(seen)
            .map_or(RingRead::AtHead, |chunk| RingRead::Chunk(chunk.clone()))
    }
}

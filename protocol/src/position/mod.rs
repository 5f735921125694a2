//! Position of a stream in the topic, and the sequence number that stands for it on the wire.

mod after;
mod event;
mod identity;
mod seq;

pub use after::after;
pub use event::EventPosition;
pub use identity::EventIdentity;
pub use seq::{MAX_PARTITIONS, Seq, SeqError};

/// The next offset of every partition: everything before has been seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    next: Box<[u64]>,
}

impl Position {
    /// A position from the next offset of every partition.
    pub fn new(next: impl Into<Box<[u64]>>) -> Self {
        Self { next: next.into() }
    }

    /// Before the first record of every partition.
    pub fn start(partitions: u32) -> Self {
        Self {
            next: vec![0; partitions as usize].into(),
        }
    }

    /// Number of partitions that it covers.
    pub fn partitions(&self) -> u32 {
        self.next.len() as u32
    }

    /// The next offset of a partition (0 for one that the position does not know).
    pub fn next(&self, partition: u32) -> u64 {
        self.next
            .get(partition as usize)
            .copied()
            .unwrap_or_default()
    }

    /// The next offset of every partition, in order.
    pub fn offsets(&self) -> &[u64] {
        &self.next
    }

    /// Bytes of memory that the offsets take.
    pub fn memory(&self) -> usize {
        size_of_val(&*self.next)
    }

    /// Moves one partition on to `next`; a position never moves back.
    pub fn advance(&mut self, partition: u32, next: u64) {
        if let Some(slot) = self.next.get_mut(partition as usize) {
            *slot = (*slot).max(next);
        }
    }

    /// Returns whether no partition of `other` is ahead of this position.
    pub fn covers(&self, other: &Self) -> bool {
        (0..self.partitions().max(other.partitions())).all(|p| self.next(p) >= other.next(p))
    }

    /// The furthest of both, of all partitions that either knows.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let partitions = self.partitions().max(other.partitions());
        let furthest = |p| self.next(p).max(other.next(p));
        Self::new((0..partitions).map(furthest).collect::<Vec<_>>())
    }

    /// The part that both have seen, of all partitions that either knows.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let partitions = self.partitions().max(other.partitions());
        let both = |p| self.next(p).min(other.next(p));
        Self::new((0..partitions).map(both).collect::<Vec<_>>())
    }

    /// The furthest of both, partition by partition.
    pub fn merge(&mut self, other: &Self) {
        for partition in 0..other.partitions() {
            self.advance(partition, other.next(partition));
        }
    }
}

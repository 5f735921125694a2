//! The place of a stream in one partition, as far as what it delivered shows.

use super::history::{Interest, Log, Record};

/// A place in one partition, and what is not yet known about where the stream began there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// The first offset that may come.
    pub at: u64,
    /// Nothing has come yet that says where exactly the stream began: at the latest at this offset …
    latest: u64,
    /// … or with the first event behind it that has at least this number.
    number: u64,
}

impl Cursor {
    /// Cursor that is exactly here.
    pub(crate) fn exact(at: u64) -> Self {
        Self {
            at,
            latest: at,
            number: 0,
        }
    }

    /// Anywhere, at the latest with the event of this number.
    pub(crate) fn live(from: u64) -> Self {
        Self {
            number: from,
            ..Self::exact(0)
        }
    }

    /// The same, but what is before this offset may have expired.
    pub(crate) fn or_from(self, earliest: u64) -> Self {
        Self {
            latest: self.latest.max(earliest),
            ..self
        }
    }

    /// Returns whether the stream may have begun here.
    pub(crate) fn allows(&self, offset: u64) -> bool {
        (self.at..=self.latest).contains(&offset)
    }

    fn is_exact(&self) -> bool {
        self.latest == self.at && self.number == 0
    }

    /// The first record before `until` that the stream had to bring and has not.
    pub(crate) fn missing(
        &self,
        log: &Log,
        interest: Interest,
        partition: usize,
        until: u64,
    ) -> Option<(u64, Record)> {
        let records = &log.partitions[partition];
        let until = (until as usize).min(records.len());
        let rest = records.get(self.latest as usize..until)?;
        let required = |record: &Record| record.number >= self.number && interest.must(record);
        let found = rest.iter().position(required)?;
        Some((self.latest + found as u64, rest[found]))
    }

    /// Everything before `next` is done with.
    pub(crate) fn advance(&mut self, next: u64) {
        if next > self.at || !self.is_exact() {
            *self = Self::exact(self.at.max(next));
        }
    }

    /// Returns whether it is further than another one.
    pub(crate) fn is_past(&self, other: &Self) -> bool {
        self.is_exact() && (!other.is_exact() || self.at > other.at)
    }

    /// Returns the position at which the next connection begins that resumes here, if `settled` was acknowledged for certain.
    pub(crate) fn again_from(&self, settled: u64) -> Self {
        Self {
            at: settled.min(self.at),
            ..self.clone()
        }
    }

    /// Takes over an excuse: what another one need not bring, this one need not either.
    pub(crate) fn excuse(&mut self, other: &Self) {
        if self.number == 0 && other.number == 0 {
            self.latest = self.latest.max(other.latest);
        }
    }
}

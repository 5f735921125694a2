//! Where a stream stands in one partition, as far as what it delivered shows.

use super::history::{Interest, Log, Record};

/// A place in one partition, and what is not yet known about where the stream began there.
#[derive(Clone, Debug)]
pub(crate) struct Cursor {
    /// What comes must not be before this offset.
    pub at: u64,
    /// Nothing has come yet that says where exactly the stream began.
    loose: Option<Loose>,
}

#[derive(Clone, Copy, Debug)]
enum Loose {
    /// At the latest with the event of this number.
    Number(u64),
    /// At the latest at this offset.
    Offset(u64),
}

impl Cursor {
    /// Exactly here.
    pub(crate) fn exact(at: u64) -> Self {
        Self { at, loose: None }
    }

    /// Anywhere, at the latest with the event of this number.
    pub(crate) fn live(from: u64) -> Self {
        Self {
            at: 0,
            loose: Some(Loose::Number(from)),
        }
    }

    /// Somewhere between these two offsets.
    pub(crate) fn between(at: u64, latest: u64) -> Self {
        Self {
            at,
            loose: Some(Loose::Offset(latest)),
        }
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
        let from = match self.loose {
            Some(Loose::Offset(latest)) => self.at.max(latest),
            Some(Loose::Number(_)) | None => self.at,
        };
        let required = |record: &Record| match self.loose {
            Some(Loose::Number(number)) => record.number >= number,
            Some(Loose::Offset(_)) | None => true,
        };
        let rest = records.get(from as usize..until)?;
        let found = rest.iter().position(|r| interest.must(r) && required(r))?;
        Some((from + found as u64, rest[found]))
    }

    /// Everything before `next` is done with.
    pub(crate) fn advance(&mut self, next: u64) {
        if next > self.at || self.loose.is_some() {
            *self = Self::exact(self.at.max(next));
        }
    }

    /// Whether it is further than another one.
    pub(crate) fn is_past(&self, other: &Self) -> bool {
        self.loose.is_none() && (other.loose.is_some() || self.at > other.at)
    }

    /// Where the next connection begins that goes on here, if `settled` was acknowledged for certain.
    pub(crate) fn again_from(&self, settled: u64) -> Self {
        match self.loose {
            Some(_) => self.clone(),
            None => Self::between(settled.min(self.at), self.at),
        }
    }
}

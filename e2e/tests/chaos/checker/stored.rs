//! The check of what a collector has stored of one stream: every event once, in order within a partition, whatever was done to
//! its store; what is missing must have been dropped by the broker, and be recorded as missing, or have been destroyed where it
//! was stored.

use std::collections::BTreeSet;
use std::time::Instant;

use super::history::{Interest, Log, Received};
use super::seq::Seq;

/// The point at which a collector began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// Begins at the beginning of the topic.
    Earliest,
    /// Begins at the configured point, at the latest with the event of this number.
    Before(u64),
}

/// A place in which events were stored: the store, or what it was before somebody moved it away, or the file of dead letters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Volume {
    /// Events in the order in which they were stored.
    pub events: Vec<Received>,
    /// An event may be there more than once.
    pub repeats: bool,
    /// It was moved away, and the collector ended before it noticed: the next one started over, with what was left in the topic.
    pub unnoticed: bool,
}

/// The store of one stream.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub interest: Interest,
    pub begin: Begin,
    pub volumes: Vec<Volume>,
    /// Partition and offset of events whose lines were destroyed or doubled: they may be missing, late or there twice.
    pub damaged: BTreeSet<(usize, u64)>,
    /// The gaps that it recorded: the number that was asked for, and that which was left.
    pub gaps: Vec<(String, String)>,
}

/// Checks a store. Returns the first event (partition, offset, number) that may still come.
pub(crate) fn check_stored(
    log: &Log,
    stored: &Stored,
) -> Result<Option<(usize, u64, u64)>, String> {
    let partitions = log.partitions.len();
    let mut offsets: Vec<BTreeSet<u64>> = vec![BTreeSet::new(); partitions];
    // Where the stream was, in every partition.
    let mut passed = vec![0; partitions];
    for volume in &stored.volumes {
        let mut last: Vec<Option<u64>> = vec![None; partitions];
        let mut here: BTreeSet<(usize, u64)> = BTreeSet::new();
        for event in &volume.events {
            let (own, offset) = (event.seq.own, event.seq.offset());
            let name = || format!("event {} at {own}/{offset}", event.number);
            let found = log.get(own, offset).filter(|r| {
                (r.number, r.device) == (event.number, Some(event.device)) && stored.interest.may(r)
            });
            found
                .ok_or_else(|| format!("{} is not what the topic has there, or foreign", name()))?;
            offsets[own].insert(offset);
            if !volume.repeats {
                passed[own] = offset.max(passed[own]);
            }
            if volume.repeats || stored.damaged.contains(&(own, offset)) {
                continue;
            }
            if !here.insert((own, offset)) {
                return Err(format!("{} is there twice", name()));
            }
            if last[own].replace(offset).is_some_and(|last| last > offset) {
                return Err(format!("{} is there too late", name()));
            }
        }
    }
    let gaps = gaps(log, stored)?;
    // The first event says where the stream was then in every partition.
    let events = stored.volumes.iter().flat_map(|volume| &volume.events);
    let starts = events.map(|event| event.seq.start());
    let first = starts.reduce(|one, other| {
        let pairs = one.into_iter().zip(other);
        pairs.map(|(one, other)| one.min(other)).collect()
    });
    let restart = restarted_at(log, stored);
    let mut pending = None;
    for (partition, offsets) in offsets.iter().enumerate() {
        let begun = first.as_ref().map_or(u64::MAX, |first| first[partition]);
        let destroyed = |offset| stored.damaged.contains(&(partition, offset));
        let passed = passed[partition].max(first.as_ref().map_or(0, |first| first[partition]));
        for (record, offset) in log.partitions[partition].iter().zip(0_u64..) {
            let wanted = stored.interest.must(record)
                && match stored.begin {
                    Begin::Earliest => true,
                    Begin::Before(number) => offset >= begun || record.number >= number,
                };
            let excused = |gap: &Gap| (gap.from[partition]..gap.to[partition]).contains(&offset);
            let unnoticed = restart
                .as_ref()
                .is_some_and(|restart| offset < restart[partition]);
            if !wanted || offsets.contains(&offset) || destroyed(offset) || unnoticed {
                continue;
            }
            if gaps.iter().any(excused) {
                continue;
            }
            if offset < passed {
                return Err(format!(
                    "event {} at {partition}/{offset} is missing; gaps: {:?}",
                    record.number, stored.gaps
                ));
            }
            pending = pending.or(Some((partition, offset, record.number)));
        }
    }
    Ok(pending)
}

/// The beginning of the last collector that knew nothing of what was stored before: at what was left in the topic, or, if it resumes where
/// the gateway has its position, at the first event that it stored. What others had stored may have been lost before.
fn restarted_at(log: &Log, stored: &Stored) -> Option<Vec<u64>> {
    let last = stored.volumes.iter().rposition(|volume| volume.unnoticed)?;
    let next = stored.volumes[last + 1..]
        .iter()
        .find(|volume| !volume.repeats);
    let first = next.and_then(|volume| volume.events.first());
    if let (Begin::Before(_), Some(event)) = (stored.begin, first) {
        return Some(event.seq.start());
    }
    let partitions = 0..log.partitions.len();
    Some(
        partitions
            .map(|p| log.earliest(p, Instant::now()))
            .collect(),
    )
}

/// A recorded gap: the first offset of every partition that was asked for, and that was left.
struct Gap {
    from: Vec<u64>,
    to: Vec<u64>,
}

/// The recorded gaps. Each must be of what had expired.
fn gaps(log: &Log, stored: &Stored) -> Result<Vec<Gap>, String> {
    let partitions = log.partitions.len();
    let read = |digits: &str| match digits {
        "" | "0" => Some(vec![0; partitions]),
        digits => Seq::parse(digits, partitions).map(|seq| seq.start()),
    };
    let mut gaps = vec![];
    for (asked_for, went_on_at) in &stored.gaps {
        let both = read(asked_for).zip(read(went_on_at));
        let (from, to) = both.ok_or_else(|| format!("a gap from {asked_for} to {went_on_at}"))?;
        let mut to_expired = vec![];
        for (partition, (from, to)) in from.iter().zip(&to).enumerate() {
            let earliest = log.earliest(partition, Instant::now());
            if asked_for.is_empty() {
                // Where the gateway had the stream is not known: of that, only what has expired is missing.
                to_expired.push(*to.min(&earliest));
            } else if *to > earliest.max(*from) {
                return Err(format!(
                    "a gap up to {partition}/{to}, but the topic begins at {earliest}"
                ));
            } else {
                to_expired.push(*to);
            }
        }
        let to = to_expired;
        gaps.push(Gap { from, to });
    }
    Ok(gaps)
}

//! A broken contract, with what is around it.

use std::fmt;

use super::history::{History, Log, Record};

/// Number of events before and after that are reported.
const AROUND: usize = 4;

/// The part of the contract that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// An event never came although the stream continued past it.
    Lost {
        partition: usize,
        offset: u64,
        number: u64,
    },
    /// An event came twice in one connection.
    Doubled,
    /// This event (partition, offset, number) came too late.
    Reordered(usize, u64, u64),
    /// An event from before the position at which the connection was to begin; the offset that it was to begin with.
    TooEarly(u64),
    /// An event after `seq_end`.
    BeyondEnd,
    /// An event that the client's filter does not let through.
    Foreign,
    /// An event that differs from what is there in the topic, if anything.
    Altered(Option<Record>),
    /// A number that is not greater than the one before.
    NotGrowing(String),
    /// No number of this topic.
    BadSeq(String),
    /// It ended as it must not.
    WrongClose,
    /// A message reported expired events that have not expired, or were not requested.
    WrongGap(String),
}

impl What {
    pub(crate) fn lost(partition: usize, offset: u64, record: &Record) -> Self {
        Self::Lost {
            partition,
            offset,
            number: record.number,
        }
    }
}

/// A broken contract.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    pub what: What,
    /// The client, its connection and gateway, and the events around.
    around: String,
}

impl Violation {
    pub(super) fn new(
        log: &Log,
        history: &History,
        session: usize,
        event: usize,
        what: What,
    ) -> Self {
        use fmt::Write as _;
        let found = &history.sessions[session];
        let mut around = String::new();
        let _ = writeln!(
            around,
            "client {} ({:?}, devices {:08b}), connection {} of {} on gateway {}, started at {:?}, ended: {:?}",
            history.client,
            history.contract,
            history.interest.must,
            session + 1,
            history.sessions.len(),
            found.gateway,
            found.start,
            found.outcome,
        );
        if let Some(end) = &found.end {
            let _ = writeln!(around, "seq_end {}", end.digits());
        }
        if found.on_gap || found.markers {
            let _ = writeln!(
                around,
                "on_gap=earliest: {}, markers: {}, gap {:?}, live {:?}",
                found.on_gap, found.markers, found.gap, found.live
            );
        }
        let partitions = 0..log.partitions.len();
        let earliest: Vec<_> = partitions.map(|p| log.earliest(p, found.opened)).collect();
        let _ = writeln!(around, "the topic began at {earliest:?} when it was opened");
        let from = event.saturating_sub(AROUND);
        for (index, e) in found.events.iter().enumerate().skip(from).take(2 * AROUND) {
            let _ = writeln!(
                around,
                "  {} event {index}: number {} of device {} at {}/{}, seq {}",
                if index == event { '>' } else { ' ' },
                e.number,
                e.device,
                e.seq.own,
                e.seq.offset(),
                e.seq.digits(),
            );
        }
        let place = match &what {
            What::Lost {
                partition, offset, ..
            }
            | What::Reordered(partition, offset, _) => Some((*partition, *offset)),
            _ => found.events.get(event).map(|e| (e.seq.own, e.seq.offset())),
        };
        if let Some((partition, offset)) = place {
            let _ = writeln!(around, "the topic there:");
            let from = offset.saturating_sub(AROUND as u64);
            for offset in from..from + 2 * AROUND as u64 {
                if let Some(record) = log.get(partition, offset) {
                    let _ = writeln!(around, "    {partition}/{offset}: {record:?}");
                }
            }
        }
        Self { what, around }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}\n{}", self.what, self.around)
    }
}

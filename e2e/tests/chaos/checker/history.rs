//! The knowledge of a run: what the topic holds, and what every client received.

use std::time::Instant;

use super::seq::Seq;

/// One record of the topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// The number that its producer gave it.
    pub number: u64,
    /// The device that it is of; absent for a record that is no event.
    pub device: Option<u8>,
    /// The broker had it and has lost it: it need not come, but may have.
    pub lost: bool,
}

impl Record {
    /// A record that nobody sent: a batch that cannot be read.
    pub(crate) const NONE: Self = Self {
        number: u64::MAX,
        device: None,
        lost: false,
    };
}

/// The content of the topic, read back when all is over: by partition and offset.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    pub partitions: Vec<Vec<Record>>,
    pub evictions: Vec<Eviction>,
}

/// The beginning of a partition that the broker dropped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Eviction {
    pub partition: usize,
    /// Time just before it was dropped.
    pub at: Instant,
    /// The first offset that was left.
    pub start: u64,
}

/// The devices whose events a client gets, as bits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interest {
    /// All of these.
    pub must: u8,
    /// Event types that may come, too: its filter was changed on the way.
    pub may: u8,
}

/// The promise that holds from one connection of a client to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contract {
    /// It resumes with its last number plus one: all connections together are one stream without gaps or duplicates.
    Resume,
    /// Each connection stands for itself.
    Apart,
    /// It names no position: it resumes where the gateway has it, without gaps, and with duplicates since the last
    /// heartbeat whose answer the gateway has seen.
    Committed,
}

/// The point at which a connection starts.
#[derive(Clone, Debug)]
pub(crate) enum Start {
    /// Starts with what comes: at the latest with the event of this number, which was not yet produced.
    Live { from: u64 },
    /// Starts at this sequence number.
    Seq(String),
    /// Starts where the gateway has its position; the first time, as [`Start::Live`].
    Committed { from: u64 },
}

/// The way in which a connection ended.
#[derive(Clone, Debug)]
#[allow(dead_code, reason = "a violation shows them")]
pub(crate) enum Outcome {
    /// It has not.
    Open,
    /// Refused because the requested events have expired; this is where the topic begins.
    Gone { earliest: Seq },
    /// Ended with a close frame.
    Closed { code: u16, reason: String },
    /// Ended without one, and something was done to the gateway or by the client that explains it.
    Lost,
    /// Ended without one, and nothing explains it.
    Dropped { how: String },
    /// The client went.
    Left,
    /// Refused in a way that nothing explains.
    Refused { status: u16, body: String },
    /// The client got what it cannot read.
    Garbled { frame: String },
}

/// One event, as a client got it.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub seq: Seq,
    pub number: u64,
    pub device: u8,
}

/// One connection.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// The number of its gateway.
    pub gateway: usize,
    pub start: Start,
    /// `seq_end`.
    pub end: Option<Seq>,
    /// `on_gap=earliest`
    pub on_gap: bool,
    /// `markers=1`
    pub markers: bool,
    /// Time just after it was opened or refused.
    pub opened: Instant,
    /// Time just after its end, if it has ended.
    pub ended: Option<Instant>,
    /// The place at which the stream begins, as the gap marker said.
    pub gap: Option<Seq>,
    /// The number of events that had come when the live marker came, and the position of the stream in it.
    pub live: Option<(usize, Seq)>,
    pub events: Vec<Received>,
    /// The numbers of events that had come when each heartbeat came.
    pub heartbeats: Vec<usize>,
    pub outcome: Outcome,
}

/// All that one client saw.
#[derive(Clone, Debug)]
pub(crate) struct History {
    pub client: String,
    pub contract: Contract,
    pub interest: Interest,
    pub sessions: Vec<Session>,
}

impl Log {
    /// An empty log.
    pub(crate) fn new(partitions: usize) -> Self {
        Self {
            partitions: vec![vec![]; partitions],
            evictions: vec![],
        }
    }

    /// The first offset of a partition that may have been left at this time.
    pub(crate) fn earliest(&self, partition: usize, at: Instant) -> u64 {
        let evictions = self.evictions.iter();
        let known = evictions.filter(|e| e.partition == partition && e.at <= at);
        known.map(|e| e.start).max().unwrap_or_default()
    }

    pub(crate) fn get(&self, partition: usize, offset: u64) -> Option<&Record> {
        self.partitions.get(partition)?.get(offset as usize)
    }
}

impl Interest {
    /// All events of these devices, and no others.
    pub(crate) fn exactly(devices: u8) -> Self {
        Self {
            must: devices,
            may: devices,
        }
    }

    fn has(mask: u8, device: Option<u8>) -> bool {
        device.is_some_and(|device| mask & (1 << device) != 0)
    }

    pub(crate) fn must(self, record: &Record) -> bool {
        !record.lost && Self::has(self.must, record.device)
    }

    pub(crate) fn may(self, record: &Record) -> bool {
        Self::has(self.may | self.must, record.device)
    }
}

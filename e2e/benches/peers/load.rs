//! The loads under which servers are compared.

use crate::CONNECTIONS;
use crate::pattern::{Pattern, Receivers};

/// A load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// An event to all, 20 times a second.
    Slow,
    /// An event to all, 100 times a second.
    Fast,
    /// As many, 5 at once: as a producer sends them that waits for more.
    Bursts,
    /// An event to all, 200 times a second: what the raw loop just keeps up with.
    Limit,
    /// Events to all without a pause.
    All,
    /// An event each 20 us, to one connection, in turn.
    OwnSteady,
    /// Events without a pause, each to one connection, in turn.
    Own,
}

impl Load {
    pub(crate) const EACH: [Self; 7] = [
        Self::Slow,
        Self::Fast,
        Self::Bursts,
        Self::Limit,
        Self::All,
        Self::OwnSteady,
        Self::Own,
    ];

    /// Its name in settings and in the JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Slow => "20k",
            Self::Fast => "100k",
            Self::Bursts => "100k-bursts",
            Self::Limit => "200k",
            Self::All => "all",
            Self::OwnSteady => "own-50k",
            Self::Own => "own",
        }
    }

    /// Its name for people.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Slow => "20,000 deliveries/s, an event to all each 50 ms",
            Self::Fast => "100,000 deliveries/s, an event to all each 10 ms",
            Self::Bursts => "100,000 deliveries/s, 5 events to all each 50 ms",
            Self::Limit => "200,000 deliveries/s, an event to all each 5 ms",
            Self::All => "saturated, events to all",
            Self::OwnSteady => "50,000 deliveries/s, each event to one connection",
            Self::Own => "saturated, each event to one connection",
        }
    }

    /// Its events. Few enough are on the way for every server to take them without dropping a client, and enough to keep it busy.
    pub(crate) const fn pattern(self) -> Pattern {
        let (to, window) = match self {
            // With 2 for each connection, servers are idle for a tenth to a third of the time.
            Self::Own | Self::OwnSteady => (Receivers::One, 8 * CONNECTIONS as u64),
            _ => (Receivers::All, 64),
        };
        let interval = match self {
            Self::Slow | Self::Bursts => 50_000,
            Self::Fast => 10_000,
            Self::Limit => 5_000,
            Self::OwnSteady => 20,
            Self::All | Self::Own => 0,
        };
        Pattern {
            to,
            interval,
            burst: if matches!(self, Self::Bursts) { 5 } else { 1 },
            window,
        }
    }
}

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
    /// Events to all without a pause.
    All,
    /// Events without a pause, each to one connection, in turn.
    Own,
}

impl Load {
    pub(crate) const EACH: [Self; 4] = [Self::Slow, Self::Fast, Self::All, Self::Own];

    /// Its name in settings and in the JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Slow => "20k",
            Self::Fast => "100k",
            Self::All => "all",
            Self::Own => "own",
        }
    }

    /// Its name for people.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Slow => "20,000 deliveries/s, an event to all each 50 ms",
            Self::Fast => "100,000 deliveries/s, an event to all each 10 ms",
            Self::All => "saturated, events to all",
            Self::Own => "saturated, each event to one connection",
        }
    }

    /// Its events. Few enough are on the way for every server to take them without dropping a client.
    pub(crate) const fn pattern(self) -> Pattern {
        let (to, window) = match self {
            Self::Own => (Receivers::One, 2 * CONNECTIONS as u64),
            _ => (Receivers::All, 64),
        };
        let interval = match self {
            Self::Slow => 50_000,
            Self::Fast => 10_000,
            Self::All | Self::Own => 0,
        };
        Pattern {
            to,
            interval,
            window,
        }
    }
}

//! Behaviour of a client.

use std::time::Duration;

use datastream_routing::Resume;
use rand::RngExt as _;
use rand::rngs::StdRng;

use crate::checker::{Contract, History, Outcome, Seq, Start};
use crate::dialect::Dialect;

/// The kinds of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientProfile {
    /// Reads what comes.
    Steady,
    /// Takes its time for every event.
    Slow,
    /// Stops reading for seconds.
    Frozen,
    /// Stays for a few events only.
    Flapping,
    /// Starts at an old number again and again.
    Replaying,
    /// Reads from one old number to another.
    Bounded,
    /// Takes what comes from now on, and forgets.
    Live,
    /// Names no position and leaves it to the gateway (`resume: Committed`).
    Committed,
}

/// The kinds that take part.
pub(crate) const KINDS: [ClientProfile; 8] = [
    ClientProfile::Steady,
    ClientProfile::Slow,
    ClientProfile::Frozen,
    ClientProfile::Flapping,
    ClientProfile::Replaying,
    ClientProfile::Bounded,
    ClientProfile::Live,
    ClientProfile::Committed,
];

/// The wishes of a client for its next connection.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub start: Start,
    pub end: Option<Seq>,
    /// It takes what is left where the first events have expired (`on_gap=earliest`).
    pub on_gap: bool,
    /// It wants control frames (`markers=1`).
    pub markers: bool,
    /// The number of events that it stays for.
    pub stays: Option<usize>,
    /// It goes without a goodbye.
    pub abrupt: bool,
    pub dialect: Dialect,
}

impl ClientProfile {
    /// Returns what its subscription says.
    pub(crate) fn resume(self) -> Resume {
        match self {
            Self::Committed => Resume::Committed,
            _ => Resume::Latest,
        }
    }

    pub(crate) fn contract(self) -> Contract {
        match self {
            Self::Steady | Self::Slow | Self::Frozen | Self::Flapping => Contract::Resume,
            Self::Replaying | Self::Bounded | Self::Live => Contract::Apart,
            Self::Committed => Contract::Committed,
        }
    }

    /// Returns whether it reads so slowly that the gateway may drop it without a close frame that it gets to see.
    pub(crate) fn is_slow(self) -> bool {
        matches!(self, Self::Slow | Self::Frozen)
    }

    /// Returns the time that it takes for an event.
    pub(crate) fn pace(self, rng: &mut StdRng) -> Option<Duration> {
        (self == Self::Slow).then(|| Duration::from_millis(rng.random_range(0..14)))
    }

    /// Returns the time for which it does not read now, if it does that.
    pub(crate) fn freeze(self, rng: &mut StdRng) -> Option<Duration> {
        let freezes = self == Self::Frozen && rng.random_bool(0.004);
        freezes.then(|| Duration::from_millis(rng.random_range(500..9000)))
    }

    /// Returns what it wants next. `next` is the number of the first event that is not yet sent; `last` says that the run comes
    /// to its end, so that it stays from now on.
    pub(crate) fn plan(self, history: &History, next: u64, last: bool, rng: &mut StdRng) -> Plan {
        let mut plan = Plan {
            start: resume(history),
            end: None,
            on_gap: rng.random_bool(0.3),
            markers: rng.random_bool(0.4),
            stays: None,
            abrupt: rng.random_bool(0.5),
            dialect: Dialect::any(rng),
        };
        match self {
            Self::Steady | Self::Slow | Self::Frozen => (),
            Self::Flapping => plan.stays = Some(rng.random_range(0..150)),
            Self::Committed => {
                plan.start = Start::Committed { from: next };
                // By its answers to heartbeats it acknowledges in this one only.
                plan.dialect = Dialect::Dss;
            }
            Self::Live => {
                plan.start = Start::Live { from: next };
                plan.stays = Some(rng.random_range(1..300));
            }
            Self::Replaying | Self::Bounded => {
                let seen = [any_seen(history, rng), any_seen(history, rng)];
                plan.start = Start::Seq("0".to_owned());
                plan.stays = Some(rng.random_range(1..800));
                // What it has seen may all have expired.
                if let ([Some(one), Some(other)], true) = (seen, rng.random_bool(0.8)) {
                    let in_order = one.next.iter().zip(&other.next).all(|(a, b)| a <= b);
                    plan.start = Start::Seq(one.digits());
                    if self == Self::Bounded && in_order && !last {
                        plan.end = Some(other);
                        plan.stays = None;
                    }
                }
            }
        }
        if last {
            plan.stays = None;
        }
        // Lines say only to those who ask for it why they end.
        plan.markers |= plan.dialect == Dialect::Ndjson;
        plan
    }
}

/// Returns the position of the last connection that received one, or the beginning.
fn resume(history: &History) -> Start {
    let mut sessions = history.sessions.iter().rev();
    let digits = sessions.find_map(|session| {
        if let Outcome::Gone { earliest } = &session.outcome {
            return Some(earliest.digits());
        }
        let live = session.live.iter();
        let mut live = live.filter(|(events, _)| *events == session.events.len());
        let live = live.next().map(|(_, seq)| seq.digits());
        let last = || session.events.last().map(|e| e.seq.plus_one());
        let gap = || session.gap.as_ref().map(Seq::digits);
        live.or_else(last).or_else(gap)
    });
    Start::Seq(digits.unwrap_or_else(|| "0".to_owned()))
}

/// The number of some event that came.
fn any_seen(history: &History, rng: &mut StdRng) -> Option<Seq> {
    let sessions: Vec<_> = history
        .sessions
        .iter()
        .filter(|s| !s.events.is_empty())
        .collect();
    let session = sessions.get(rng.random_range(0..sessions.len().max(1)))?;
    let event = &session.events[rng.random_range(0..session.events.len())];
    Some(event.seq.clone())
}

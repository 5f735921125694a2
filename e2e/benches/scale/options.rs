//! Settings, from environment variables.

use std::path::PathBuf;
use std::time::Duration;

use crate::variables::{number, some_of, variable};

/// A part of the bench.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Streams,
    Handshakes,
    Cores,
    Changes,
    Reading,
}

impl Part {
    const EACH: [Self; 5] = [
        Self::Streams,
        Self::Handshakes,
        Self::Cores,
        Self::Changes,
        Self::Reading,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Streams => "streams",
            Self::Handshakes => "handshakes",
            Self::Cores => "cores",
            Self::Changes => "changes",
            Self::Reading => "reading",
        }
    }
}

/// Settings of a run.
pub(crate) struct Options {
    /// `SCALE_ROUNDS`: 3 unless given.
    pub(crate) rounds: usize,
    /// `SCALE_SECONDS`: length of a turn, 5 s unless given.
    pub(crate) turn: Duration,
    /// `SCALE_ONLY`: `streams`, `handshakes`, `cores`, `changes`, `reading`, all unless given.
    pub(crate) parts: Vec<Part>,
    /// `SCALE_QUOTA`: percent of each core that a server has in the part `cores`, 8 unless given: the load, with the
    /// broker, needs the rest of both.
    pub(crate) quota: usize,
    /// `SCALE_JSON`: file for all figures.
    pub(crate) json: Option<PathBuf>,
}

impl Options {
    pub(crate) fn read() -> Self {
        Self {
            rounds: number("SCALE_ROUNDS", 3),
            turn: Duration::from_secs(number("SCALE_SECONDS", 5) as u64),
            parts: some_of("SCALE_ONLY", &Part::EACH, Part::name),
            quota: number("SCALE_QUOTA", 8),
            json: variable("SCALE_JSON").map(PathBuf::from),
        }
    }
}

//! Settings, from environment variables.

use std::path::PathBuf;
use std::time::Duration;

use crate::load::Load;
use crate::servers::Kind;
use crate::variables::{number, some_of, variable};

/// Settings of a run.
pub(crate) struct Options {
    /// `PEERS_ROUNDS`: 3 unless given.
    pub(crate) rounds: usize,
    /// `PEERS_SECONDS`: length of a turn of one server under one load, 5 s unless given.
    pub(crate) turn: Duration,
    /// `PEERS_ONLY`: names of servers, all unless given.
    pub(crate) servers: Vec<Kind>,
    /// `PEERS_LOADS`: names of loads, all unless given.
    pub(crate) loads: Vec<Load>,
    /// `PEERS_JSON`: file for all figures.
    pub(crate) json: Option<PathBuf>,
    /// `PEERS_SVG`: folder for the plots.
    pub(crate) svg: Option<PathBuf>,
}

impl Options {
    pub(crate) fn read() -> Self {
        Self {
            rounds: number("PEERS_ROUNDS", 3),
            turn: Duration::from_secs(number("PEERS_SECONDS", 5) as u64),
            servers: some_of("PEERS_ONLY", &Kind::EACH, Kind::name),
            loads: some_of("PEERS_LOADS", &Load::EACH, Load::name),
            json: variable("PEERS_JSON").map(PathBuf::from),
            svg: variable("PEERS_SVG").map(PathBuf::from),
        }
    }
}

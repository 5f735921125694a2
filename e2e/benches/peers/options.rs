//! Settings, from environment variables.

use std::path::PathBuf;
use std::time::Duration;

use crate::load::Load;
use crate::servers::Kind;

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
        let number = |name: &str, default| {
            variable(name).map_or(default, |text| {
                let number = text.parse().ok().filter(|number| *number > 0);
                number.unwrap_or_else(|| panic!("{name} must be a number from 1 on, not {text:?}"))
            })
        };
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

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Those whose names are in the variable, in their own order; all of them without it.
fn some_of<T: Copy>(variable_name: &str, all: &[T], name: fn(T) -> &'static str) -> Vec<T> {
    let Some(list) = variable(variable_name) else {
        return all.to_vec();
    };
    let names: Vec<_> = list.split(',').map(str::trim).collect();
    for wanted in &names {
        let known: Vec<_> = all.iter().map(|one| name(*one)).collect();
        assert!(
            known.contains(wanted),
            "{variable_name}: {wanted:?} is none of {}",
            known.join(", ")
        );
    }
    let wanted = all.iter().filter(|one| names.contains(&name(**one)));
    wanted.copied().collect()
}

//! Figures: what was measured, round by round.

use serde::{Deserialize, Serialize};

use crate::distance::NEAR;

/// Names of figures; those in CPU are seconds of the server for a million deliveries.
pub(crate) const CPU: &str = "cpu_seconds_per_million";
pub(crate) const CPU_USER: &str = "cpu_user_seconds_per_million";
pub(crate) const CPU_SYSTEM: &str = "cpu_system_seconds_per_million";
/// Milliseconds from sending to arrival.
pub(crate) const P50: &str = "latency_p50_ms";
pub(crate) const P99: &str = "latency_p99_ms";
pub(crate) const P999: &str = "latency_p99_9_ms";
/// Deliveries a second.
pub(crate) const RATE: &str = "deliveries_per_second";
/// Share of its core that the server, and the load generator with the broker, have used.
pub(crate) const SERVER_BUSY: &str = "server_busy";
pub(crate) const LOAD_BUSY: &str = "load_busy";
/// Nanoseconds that a cache line took from core to core after the turn.
pub(crate) const DISTANCE: &str = "core_distance_ns";
/// Without a load: resident KiB of an idle connection, and CPU milliseconds of the server for a handshake.
pub(crate) const IDLE: &str = "idle_connection_kib";
pub(crate) const HANDSHAKE: &str = "handshake_cpu_ms";

/// A figure of a server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figure {
    pub(crate) server: String,
    /// Name of the load; none for what is measured without one.
    pub(crate) load: Option<String>,
    #[serde(rename = "figure")]
    pub(crate) name: String,
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) rounds: Vec<f64>,
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Figures(Vec<Figure>);

impl Figures {
    /// Adds the value of a round.
    pub(crate) fn add(&mut self, server: &str, load: Option<&str>, figure: &str, value: f64) {
        let known = self.0.iter().position(|f| is(f, server, load, figure));
        let at = known.unwrap_or_else(|| {
            self.0.push(Figure {
                server: server.to_owned(),
                load: load.map(str::to_owned),
                name: figure.to_owned(),
                median: value,
                min: value,
                max: value,
                rounds: vec![],
            });
            self.0.len() - 1
        });
        let mut rounds = std::mem::take(&mut self.0[at].rounds);
        rounds.push(value);
        self.0[at].set(rounds);
    }

    pub(crate) fn get(&self, server: &str, load: Option<&str>, figure: &str) -> Option<&Figure> {
        self.0.iter().find(|f| is(f, server, load, figure))
    }

    /// A line about the distances between the cores, if they were measured.
    pub(crate) fn distances(&self) -> Option<String> {
        let figures = self.0.iter().filter(|figure| figure.name == DISTANCE);
        let all: Vec<_> = figures.flat_map(|figure| &figure.rounds).collect();
        let least = all.iter().copied().copied().reduce(f64::min)?;
        let far = all.iter().filter(|ns| ***ns > NEAR * least).count();
        Some(format!(
            "(a cache line took {least:.0} ns from core to core at best, and more than {NEAR} times that after {far} of {} turns)",
            all.len()
        ))
    }
}

fn is(figure: &Figure, server: &str, load: Option<&str>, name: &str) -> bool {
    figure.server == server && figure.load.as_deref() == load && figure.name == name
}

/// A figure for people: median, least and most; empty if it was not measured.
pub(crate) fn spread(figure: Option<&Figure>) -> String {
    figure.map_or_else(String::new, |f| {
        format!("{:.2} ({:.2}–{:.2})", f.median, f.min, f.max)
    })
}

impl Figure {
    fn set(&mut self, rounds: Vec<f64>) {
        self.median = median(&rounds);
        self.min = rounds.iter().copied().fold(f64::INFINITY, f64::min);
        self.max = rounds.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        self.rounds = rounds;
    }

    /// The median of the ratios of each round, because what else the machine does hits all servers of a round.
    pub(crate) fn ratio_to(&self, other: &Self) -> f64 {
        let rounds = self.rounds.iter().zip(&other.rounds);
        median(&rounds.map(|(own, other)| own / other).collect::<Vec<_>>())
    }

    /// The same with what something before the server adds, as it adds it to another server.
    #[allow(dead_code, reason = "not every bench compares such")]
    pub(crate) fn behind(&self, with: &Self, without: &Self) -> Self {
        let others = with.rounds.iter().zip(&without.rounds);
        let rounds = self.rounds.iter().zip(others);
        let rounds = rounds.map(|(own, (with, without))| own + (with - without).max(0.0));
        let mut behind = self.clone();
        behind.set(rounds.collect());
        behind
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    f64::midpoint(sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2])
}

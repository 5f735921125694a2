//! Settings of a run, from its environment.

use std::time::{Duration, Instant};

/// Seconds that one round lasts at most: its history is kept in memory until it is checked.
const ROUND: u64 = 60;
/// The part of a round in which faults are made; in the rest everything starts, recovers and is checked.
const FAULTS: f64 = 0.7;

/// `CHAOS_SEED` (default 1; `random` for one that is made up and printed), `CHAOS_SECONDS` (default 60), `FLUVIO_ADDR`.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub seed: u64,
    pub seconds: u64,
    /// A Fluvio cluster to use instead of the embedded broker.
    pub fluvio: Option<String>,
}

/// A part of a run: it can be repeated alone.
#[derive(Clone, Debug)]
pub(crate) struct Round {
    pub scenario: &'static str,
    pub seed: u64,
    pub seconds: u64,
    pub fluvio: Option<String>,
}

impl Settings {
    pub(crate) fn from_env() -> Self {
        let number = |name: &str, default: u64| match std::env::var(name) {
            Ok(text) if text == "random" => rand::random(),
            Ok(text) => text
                .parse()
                .unwrap_or_else(|_| panic!("{name}={text} is no number")),
            Err(_) => default,
        };
        Self {
            seed: number("CHAOS_SEED", 1),
            seconds: number("CHAOS_SECONDS", ROUND),
            fluvio: std::env::var("FLUVIO_ADDR").ok(),
        }
    }

    /// The rounds of a scenario, each with a seed of its own, until the time is over. Recovery and check belong to it: there are fewer
    /// rounds than minutes.
    pub(crate) fn rounds(self, scenario: &'static str) -> impl Iterator<Item = Round> {
        let (begun, whole) = (Instant::now(), Duration::from_secs(self.seconds));
        let continues = move || whole.as_secs() > ROUND && begun.elapsed() < whole;
        let rounds = (0_u64..).take_while(move |round| *round == 0 || continues());
        rounds.map(move |round| Round {
            scenario,
            seed: self.seed.wrapping_add(round),
            seconds: self.seconds.min(ROUND),
            fluvio: self.fluvio.clone(),
        })
    }
}

impl Round {
    /// Returns the time for which faults are made.
    pub(crate) fn faults(&self) -> Duration {
        Duration::from_secs_f64(self.seconds as f64 * FAULTS)
    }

    /// Returns the command that repeats it.
    pub(crate) fn command(&self) -> String {
        let fluvio = self.fluvio.as_ref();
        let fluvio = fluvio.map(|address| format!("FLUVIO_ADDR={address} "));
        format!(
            "{}CHAOS_SEED={} CHAOS_SECONDS={} cargo test -p datastream-e2e --test chaos -- --exact {} --nocapture",
            fluvio.unwrap_or_default(),
            self.seed,
            self.seconds,
            self.scenario,
        )
    }
}

//! Report of what was done in a round, and of what is wrong.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tokio::time::sleep_until;

use crate::nemesis::Step;
use crate::settings::Round;

/// The course of one round.
pub(crate) struct Report {
    round: Round,
    dir: PathBuf,
    started: Instant,
    done: Mutex<Vec<String>>,
}

impl Report {
    pub(crate) fn new(round: Round) -> Self {
        println!("{}: seed {}", round.scenario, round.seed);
        let dir = tempfile::Builder::new().prefix("chaos-").tempdir().unwrap();
        Self {
            round,
            dir: dir.keep(),
            started: Instant::now(),
            done: Mutex::default(),
        }
    }

    /// A folder for logs and data. It is kept if the round fails.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Writes down what is done.
    pub(crate) fn say(&self, what: impl Display) {
        let line = format!("{:6.2} s: {what}", self.started.elapsed().as_secs_f64());
        println!("{}: {line}", self.round.scenario);
        self.done.lock().unwrap().push(line);
    }

    /// Ends the round: the contract is broken.
    pub(crate) fn fail(&self, violation: impl Display) -> ! {
        panic!(
            "seed {}: {violation}\nwhat was done so far:\n{}\nlogs: {}\nto repeat it: {}",
            self.round.seed,
            self.done.lock().unwrap().join("\n"),
            self.dir.display(),
            self.round.command(),
        )
    }

    /// Fails unless it went well.
    pub(crate) fn expect<T>(&self, what: &str, result: anyhow::Result<T>) -> T {
        result.unwrap_or_else(|error| self.fail(format!("{what}: {error:#}")))
    }

    /// Makes the faults of a schedule, each at its time.
    pub(crate) async fn carry_out<F: std::fmt::Debug>(
        &self,
        steps: Vec<Step<F>>,
        length: Duration,
        mut apply: impl FnMut(&Step<F>) -> anyhow::Result<()>,
    ) {
        let started = tokio::time::Instant::now();
        for step in steps {
            sleep_until(started + step.at).await;
            self.say(&step);
            self.expect("the fault cannot be made", apply(&step));
        }
        sleep_until(started + length).await;
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}

//! The record of a run, which is written as JSON and which plots are made of.
//!
//! Its shape is stable: members are added, and `format` counts up when one changes.

use std::path::Path;
use std::process::{Command, ExitCode};

use datastream_e2e::checkout;
use serde::{Deserialize, Serialize};

use crate::bar::{self, Bar};
use crate::cores::Cores;
use crate::figures::Figures;

/// Version of the shape.
const FORMAT: u32 = 1;

/// Everything that is known of a run.
#[derive(Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) format: u32,
    pub(crate) machine: Machine,
    /// Commit of the checkout, with `-dirty` behind it if there were changes; none outside of one.
    pub(crate) commit: Option<String>,
    pub(crate) setup: Setup,
    pub(crate) figures: Figures,
    pub(crate) bars: Vec<Bar>,
}

/// The machine of a run.
#[derive(Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    /// Model of the CPU.
    pub(crate) cpu: String,
    pub(crate) kernel: String,
    /// Time of the end of the run (RFC 3339).
    pub(crate) date: String,
    /// Core of the server under test, and that of everything else; none if they share one.
    pub(crate) server_core: Option<usize>,
    pub(crate) load_core: Option<usize>,
}

/// The way in which was measured.
#[derive(Serialize, Deserialize)]
pub(crate) struct Setup {
    pub(crate) connections: usize,
    pub(crate) event_bytes: usize,
    pub(crate) rounds: usize,
    pub(crate) seconds_per_turn: u64,
}

impl Record {
    pub(crate) fn new(
        setup: Setup,
        cores: Option<Cores>,
        figures: Figures,
        bars: Vec<Bar>,
    ) -> Self {
        let describe = [
            "describe",
            "--always",
            "--dirty",
            "--abbrev=40",
            "--exclude=*",
        ];
        Self {
            format: FORMAT,
            machine: Machine {
                cores: count_cores(),
                cpu: cpu_model(),
                kernel: read("/proc/sys/kernel/osrelease"),
                date: jiff::Timestamp::now()
                    .strftime("%Y-%m-%dT%H:%M:%SZ")
                    .to_string(),
                server_core: cores.map(|cores| cores.server),
                load_core: cores.map(|cores| cores.load),
            },
            commit: Command::new("git")
                .args(describe)
                .current_dir(checkout(""))
                .output()
                .ok()
                .filter(|output| output.status.success())
                .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()),
            setup,
            figures,
            bars,
        }
    }
}

impl Record {
    /// Writes the record into this file, if one is wanted. Returns the outcome of the bench.
    pub(crate) fn finish(&self, json: Option<&Path>) -> ExitCode {
        if let Some(file) = json {
            let json = serde_json::to_string_pretty(self).unwrap();
            std::fs::write(file, json + "\n").unwrap();
        }
        bar::outcome(&self.bars)
    }
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap().trim().to_owned()
}

/// Cores of the machine, also those that this process may not use.
fn count_cores() -> usize {
    let cores = read("/proc/cpuinfo");
    cores
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count()
}

fn cpu_model() -> String {
    let cores = read("/proc/cpuinfo");
    let model = cores.lines().find(|line| line.starts_with("model name"));
    let model = model.and_then(|line| line.split_once(": "));
    model.map_or_else(
        || std::env::consts::ARCH.to_owned(),
        |(_, model)| model.to_owned(),
    )
}

//! Bars: limits that figures have to keep.

use std::process::ExitCode;

use serde::{Deserialize, Serialize};

/// A bar, and what was measured against it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Bar {
    pub(crate) name: String,
    /// Name of the load; empty where there is one only.
    pub(crate) load: String,
    /// The ratio of two figures, or a figure itself, as the name says.
    pub(crate) ratio: f64,
    /// The most that it may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) at_most: Option<f64>,
    /// The least that it may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) at_least: Option<f64>,
    pub(crate) met: bool,
}

impl Bar {
    pub(crate) fn at_most(load: &str, name: String, ratio: f64, at_most: f64) -> Self {
        Self {
            name,
            load: load.to_owned(),
            ratio,
            at_most: Some(at_most),
            at_least: None,
            met: ratio <= at_most,
        }
    }

    #[allow(dead_code, reason = "not every bench has such bars")]
    pub(crate) fn at_least(load: &str, name: String, ratio: f64, at_least: f64) -> Self {
        Self {
            name,
            load: load.to_owned(),
            ratio,
            at_most: None,
            at_least: Some(at_least),
            met: ratio >= at_least,
        }
    }
}

/// The outcome of a bench: a failure if a bar is not met.
pub(crate) fn outcome(bars: &[Bar]) -> ExitCode {
    if bars.iter().all(|bar| bar.met) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Prints bars, a line each.
#[allow(clippy::print_stdout)]
pub(crate) fn print(bars: &[Bar]) {
    let longest = bars.iter().map(|bar| bar.load.len()).max().unwrap_or(0);
    let width = if longest > 0 { longest + 2 } else { 0 };
    for bar in bars {
        let verdict = if bar.met { "PASS" } else { "MISS" };
        let limit = match (bar.at_most, bar.at_least) {
            (Some(most), _) => format!("at most {most}"),
            (_, Some(least)) => format!("at least {least}"),
            _ => String::new(),
        };
        println!(
            "  {:<width$}{:<44}{:>9.2}   (bar: {limit})  {verdict}",
            bar.load, bar.name, bar.ratio
        );
    }
}

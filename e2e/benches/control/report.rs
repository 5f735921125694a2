//! Figures against bars.

use std::process::ExitCode;
use std::time::Duration;

use crate::process;

#[derive(Default)]
pub(crate) struct Report {
    missed: bool,
}

impl Report {
    /// A figure and the most that it may be.
    pub(crate) fn at_most(&mut self, what: &str, figure: f64, bar: f64) {
        let good = figure <= bar;
        self.missed |= !good;
        let verdict = if good { "PASS" } else { "MISS" };
        println!("  {figure:>8.1} {what} (bar: at most {bar})  {verdict}");
    }

    /// Reports the 50th and 99th percentile, of which the latter has a bar.
    pub(crate) fn percentile(&mut self, what: &str, took: &mut [Duration], bar: Duration) {
        took.sort_unstable();
        let at = |quantile: f64| {
            let index = (took.len() as f64 * quantile) as usize;
            took[index.min(took.len() - 1)].as_secs_f64() * 1e3
        };
        let what = format!("ms p99, {what} (p50 {:.1}, {} times)", at(0.5), took.len());
        self.at_most(&what, at(0.99), bar.as_secs_f64() * 1e3);
    }

    /// Resident memory of a process.
    #[allow(dead_code, reason = "not every bench has a bar for what it is now")]
    pub(crate) fn memory(&mut self, what: &str, pid: u32, bar: f64) {
        const MEBIBYTE: f64 = 1024.0 * 1024.0;
        let peak = process::peak_bytes(pid) / MEBIBYTE;
        let what = format!("{what} (peak {peak:.1})");
        self.at_most(&what, process::resident_bytes(pid) / MEBIBYTE, bar);
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        if self.missed {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        }
    }
}

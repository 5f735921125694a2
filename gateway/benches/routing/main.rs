//! Benchmark of routing on one core: what records, subscriptions and changes cost.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod rate;
mod table;

use std::process::ExitCode;

/// Number of figures that have missed their bars.
#[derive(Default)]
struct Verdict {
    missed: usize,
}

impl Verdict {
    /// Prints a line about a figure that may be this much at most.
    fn at_most(&mut self, what: &str, figure: f64, bar: f64) {
        self.print(what, figure <= bar, &format!("at most {bar}"));
    }

    /// Prints a line about a figure that must be this much at least.
    fn at_least(&mut self, what: &str, figure: f64, bar: f64) {
        self.print(what, figure >= bar, &format!("at least {bar}"));
    }

    fn print(&mut self, what: &str, is_met: bool, bar: &str) {
        self.missed += usize::from(!is_met);
        let verdict = if is_met { "PASS" } else { "MISS" };
        println!("  {what}   (bar: {bar})  {verdict}");
    }
}

fn main() -> ExitCode {
    let mut verdict = Verdict::default();
    rate::run(&mut verdict);
    table::run(&mut verdict);
    if verdict.missed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

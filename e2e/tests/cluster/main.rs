//! The chart and the images on a cluster that runs pods, as its users go about it: the one that `KUBECONFIG` names, with the images
//! loaded. `make e2e` makes one, and loads them.
//!
//! The scenarios run in this order and end at the first that fails. `--list` names them; those whose names contain one of the
//! arguments run alone.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

mod access;
mod client;
mod events;
mod harness;
mod ingress;
mod kubectl;
mod load;
mod scenarios;
mod settings;

use std::process::ExitCode;
use std::time::Instant;

use harness::Harness;

fn main() -> ExitCode {
    if std::env::args().any(|arg| arg == "--list") {
        for (name, _) in scenarios::ALL {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    let wanted: Vec<_> = std::env::args().skip(1).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|w| name.contains(w));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut harness = Harness::start().await;
        let mut passed = 0;
        for (name, scenario) in scenarios::ALL {
            if !is_wanted(name) {
                continue;
            }
            let begun = Instant::now();
            let result = scenario(&mut harness).await;
            let took = begun.elapsed().as_secs_f64();
            match result {
                Ok(()) => {
                    passed += 1;
                    println!("test {name} ... ok ({took:.1} s)");
                }
                Err(error) => {
                    println!("test {name} ... FAILED after {took:.1} s: {error:#}");
                    harness.describe();
                    println!("test result: FAILED. {passed} passed; 1 failed");
                    return ExitCode::FAILURE;
                }
            }
        }
        println!("test result: ok. {passed} passed; 0 failed");
        ExitCode::SUCCESS
    })
}

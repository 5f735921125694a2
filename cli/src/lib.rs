//! The `datastream` command: `dev` runs everything in one process, `simulate` plays a fleet of devices,
//! `publish` sends events that you have, `tail` follows streams on a terminal, `collect` stores them, `check` asks whether
//! there is one, `access check` whether a subscription may have what it asks for, `size` how many gateways a load needs.

pub mod access;
mod args;
pub mod check;
pub mod completions;
mod connect;
pub mod dev;
mod event_line;
pub mod logging;
pub mod man;
pub mod manifests;
pub mod publish;
mod secret;
pub mod simulate;
pub mod size;
pub mod tail;

use std::process::ExitCode;

pub use args::{Cli, Command, FluvioArgs};
use datastream_service::process;

/// Runs one command until it ends or the user stops it (Ctrl-C, SIGTERM).
///
/// # Errors
/// Any error that keeps the command from starting or continuing, with what to do about it.
pub async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let stop = process::stop_on_signal()?;
    match cli.command {
        Command::Completions(args) => completions::run(args).map(|()| ExitCode::SUCCESS),
        Command::Access(args) => access::run(args),
        Command::Size(args) => size::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Man(args) => man::run(args).map(|()| ExitCode::SUCCESS),
        Command::Dev(args) => Box::pin(dev::run(args, stop))
            .await
            .map(|()| ExitCode::SUCCESS),
        Command::Publish(args) => publish::run(args, stop).await,
        Command::Check(args) => check::run(args, stop).await,
        Command::Tail(args) => tail::run(args, stop).await,
        Command::Collect(args) => datastream_collector::run(args, stop).await,
        Command::Simulate(args) => simulate::run(args, stop).await.map(|()| ExitCode::SUCCESS),
    }
}

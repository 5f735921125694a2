//! `datastream access`: access rules without a cluster.

mod check;

use std::process::ExitCode;

use clap::{Args, Subcommand};

pub use check::CheckArgs;

const EXAMPLES: &str = "Example:
  datastream access check rules.yaml subscription.yaml";

/// Options of `datastream access`.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct AccessArgs {
    /// The command.
    #[command(subcommand)]
    pub command: AccessCommand,
}

/// The commands of `datastream access`.
#[derive(Clone, Debug, Subcommand)]
pub enum AccessCommand {
    /// Say of subscriptions in manifests whether access rules in manifests allow what they ask for; nothing is applied.
    Check(CheckArgs),
}

/// Runs one of the commands.
///
/// # Errors
/// Its own.
pub fn run(args: AccessArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        AccessCommand::Check(args) => check::run(args),
    }
}

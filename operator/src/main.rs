//! The operator as a process. So far it prints the custom resource definitions.

use clap::{Parser, Subcommand};

/// The control plane of datastream
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the custom resource definitions, for `kubectl apply -f -`
    Crd,
}

#[allow(clippy::print_stdout)]
fn main() -> anyhow::Result<()> {
    match Args::parse().command {
        Command::Crd => print!("{}", datastream_crds::definitions()?),
    }
    Ok(())
}

//! The `datastream` command.

use std::process::ExitCode;

use clap::Parser as _;
use datastream_cli::{Cli, logging, run};
use datastream_service::log::one_line;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    logging::init(cli.log_format, cli.command.default_log_filter());
    // Two TLS providers in one tree panic at the first handshake unless one is named before.
    if rustls::crypto::ring::default_provider()
        .install_default()
        .is_err()
    {
        tracing::warn!("a TLS provider was installed before ring");
    }
    match run(cli).await {
        Ok(code) => code,
        Err(error) => {
            tracing::error!("{}", one_line(&error));
            ExitCode::FAILURE
        }
    }
}

//! The `datastream` command.

use std::process::ExitCode;

use clap::Parser as _;
use datastream_cli::{Cli, logging, run};
use datastream_service::log::one_line;
use datastream_service::process;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    logging::init(cli.log_format, cli.command.default_log_filter());
    if let Err(error) = process::install_tls_provider() {
        tracing::warn!("{error}");
    }
    match run(cli).await {
        Ok(code) => code,
        Err(error) => {
            tracing::error!("{}", one_line(&error));
            ExitCode::FAILURE
        }
    }
}

//! The collector as a program of its own: `datastream collect`, without the rest.

use std::process::ExitCode;

use clap::Parser;
use datastream_collector::CollectArgs;
use datastream_service::log::{self, LogFormat, one_line};
use datastream_service::process;

/// Stores the events of many streams, each exactly once: as JSON lines, in SQLite or in PostgreSQL
#[derive(Debug, Parser)]
#[command(name = "datastream-collector", version)]
struct Cli {
    /// The format of log lines on stderr
    #[arg(long, value_enum, env = "DATASTREAM_LOG_FORMAT", default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    #[command(flatten)]
    args: CollectArgs,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    log::start_above_live_lines(cli.log_format, datastream_collector::LOG_FILTER);
    match run(cli.args).await {
        Ok(code) => code,
        Err(error) => {
            tracing::error!("{}", one_line(&error));
            ExitCode::FAILURE
        }
    }
}

async fn run(args: CollectArgs) -> anyhow::Result<ExitCode> {
    process::install_tls_provider()?;
    datastream_collector::run(args, process::stop_on_signal()?).await
}

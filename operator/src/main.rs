//! The operator as a process.

mod args;

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use datastream_operator::run::run;
use datastream_service::{log, process};

use args::{Arguments, Command, RunArgs};

/// Log filter without the Kubernetes client: what it logs about a failed request is in the error that is logged here.
const LOG: &str = "info,kube_client=off,kube_runtime=off";

// Each thread allocates from a heap of its own: on a machine with many cores, as many threads hold half as much memory again, and the
// API server is slower than two.
#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Crd => crd(),
        Command::Run(args) => {
            log::start(args.log_format, LOG);
            serve(*args).await
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Not in the macro: with its feature `log`, tracing has a module of that name there.
            let error = log::one_line(&error);
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn crd() -> anyhow::Result<()> {
    let definitions: Vec<_> = datastream_crds::definitions()?
        .into_iter()
        .map(|definition| definition.yaml)
        .collect();
    match io::stdout().write_all(definitions.join("---\n").as_bytes()) {
        // The reader of a pipe has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to stdout"),
    }
}

async fn serve(args: RunArgs) -> anyhow::Result<()> {
    process::install_tls_provider()?;
    run(args.settings()?, announce, process::stop_on_signal()?).await
}

/// One line of JSON, for whoever started it with port 0.
#[allow(clippy::print_stdout)]
fn announce(listen: std::net::SocketAddr) {
    println!("{{\"listen\":\"http://{listen}\"}}");
}

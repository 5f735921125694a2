//! The operator as a process.

mod args;

use std::process::ExitCode;

use anyhow::anyhow;
use clap::Parser as _;
use datastream_operator::run::run;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use args::{Arguments, Command, LogFormat, RunArgs};

#[tokio::main]
async fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Crd => crd(),
        Command::Run(args) => {
            start_log(args.log_format);
            serve(args).await
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // On one line, whatever the API server put into its message.
            let line = format!("{error:#}").replace('\n', " ");
            tracing::error!("{line}");
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::print_stdout)]
fn crd() -> anyhow::Result<()> {
    print!("{}", datastream_crds::definitions()?);
    Ok(())
}

async fn serve(args: RunArgs) -> anyhow::Result<()> {
    // Before anything opens a connection: rustls asks for it, and a second one would make it panic.
    let installed = rustls::crypto::ring::default_provider().install_default();
    installed.map_err(|_| anyhow!("a TLS provider is installed already"))?;
    let cancel = CancellationToken::new();
    let signalled = cancel.clone();
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => (),
            _ = tokio::signal::ctrl_c() => (),
        }
        signalled.cancel();
    });
    run(args.settings()?, announce, cancel).await
}

/// One line of JSON, for whoever started it with port 0.
#[allow(clippy::print_stdout)]
fn announce(listen: std::net::SocketAddr) {
    println!("{{\"listen\":\"http://{listen}\"}}");
}

fn start_log(format: LogFormat) {
    // What the Kubernetes client logs about a failed request is in the error that is logged here.
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("info,kube_client=off,kube_runtime=off"));
    let log = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(filter);
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
}

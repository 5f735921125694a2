//! The gateway as a process.

mod args;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use clap::Parser;
use datastream_gateway::config::{ConfigSource, DirectorySource, KubeSource, LeaseKeeper};
use datastream_gateway::source::fluvio::FluvioSource;
use datastream_gateway::{Gateway, Parts};
use kube::Client;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use args::{Args, LogFormat};

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    start_log(args.log_format);
    match run(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> anyhow::Result<()> {
    // Before anything opens a connection: rustls asks for it, and a second one would make it panic.
    let installed = rustls::crypto::ring::default_provider().install_default();
    installed.map_err(|_| anyhow!("a TLS provider is installed already"))?;

    let mut lease = None;
    let config: Box<dyn ConfigSource> = match (&args.routes_dir, &args.routes_namespace) {
        (Some(path), _) => Box::new(DirectorySource::new(path)),
        (None, Some(namespace)) => {
            let client = Client::try_default()
                .await
                .context("cannot reach a Kubernetes API server")?;
            lease = Some(LeaseKeeper::new(
                client.clone(),
                namespace,
                &args.group,
                &args.pod,
            ));
            Box::new(KubeSource::new(client, namespace, &args.group))
        }
        (None, None) => anyhow::bail!("give --routes-dir or --routes-namespace"),
    };
    let events = Arc::new(FluvioSource::new(&args.fluvio, &args.topic));
    let gateway = Gateway::bind(
        args.settings(),
        Parts {
            events,
            config,
            admin_extension: None,
        },
    )
    .await?;
    announce(&gateway)?;

    let (cancel, drained) = (CancellationToken::new(), CancellationToken::new());
    let lease = lease
        .map(|lease| tokio::spawn(lease.run(gateway.config(), gateway.ready(), drained.clone())));
    let signalled = cancel.clone();
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => (),
            _ = tokio::signal::ctrl_c() => (),
        }
        signalled.cancel();
    });
    let result = gateway.run(cancel).await;
    // Only now: as long as streams are open, the operator should know that this gateway lives.
    drained.cancel();
    if let Some(lease) = lease {
        lease.await?;
    }
    result
}

fn start_log(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("info,fluvio=error,fluvio_socket=error"));
    let log = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(filter);
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
}

/// One line of JSON, for whoever started it with port 0.
#[allow(clippy::print_stdout)]
fn announce(gateway: &Gateway) -> anyhow::Result<()> {
    let (stream, admin) = (gateway.stream_addr()?, gateway.admin_addr()?);
    println!("{{\"stream\":\"http://{stream}\",\"admin\":\"http://{admin}\"}}");
    Ok(())
}

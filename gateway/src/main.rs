//! The gateway as a process.

mod args;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use datastream_gateway::config::{ConfigSource, DirectorySource, KubeSource};
use datastream_gateway::ownership::KubeClaims;
use datastream_gateway::{Dependencies, Gateway};
use datastream_service::{log, process};
use datastream_service_kube::api;
use datastream_service_kube::review::Reviewer;
use datastream_source::fluvio::{FluvioCursorLog, FluvioSource};
use tokio_util::sync::CancellationToken;

use args::Args;

/// Log filter. The Kubernetes client is silent: what it logs about a failed request is in the error that is logged here.
const LOG: &str = "info,h2=error,fluvio=error,fluvio_socket=error,kube_client=off,kube_runtime=off";

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    log::start(args.log_format, LOG);
    match run(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Not in the macro: with its feature `log`, tracing has a module of that name there.
            let error = log::one_line(&error);
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> anyhow::Result<()> {
    process::install_tls_provider()?;

    let mut client = None;
    let config: Box<dyn ConfigSource> = match (&args.routes_dir, &args.routes_namespace) {
        (Some(path), _) => Box::new(DirectorySource::new(path)),
        (None, Some(namespace)) => {
            let found = api::client().await?;
            client = Some((found.clone(), namespace));
            Box::new(KubeSource::new(found, namespace, &args.group))
        }
        (None, None) => anyhow::bail!("give --routes-dir or --routes-namespace"),
    };
    let fluvio = args.fluvio.required()?;
    let events = Arc::new(FluvioSource::new(fluvio.clone(), &args.topic));
    let cursors = Arc::new(FluvioCursorLog::new(fluvio, args.cursors_topic()));
    let asked = client.as_ref().filter(|_| args.metrics_authorization);
    let reviewer = asked.map(|(client, _)| Reviewer::new(client.clone()));
    let claims = client.map(|(client, namespace)| {
        let shed = args.shed_per_second;
        KubeClaims::new(client, namespace, &args.group, &args.pod, shed)
    });
    let dependencies = Dependencies {
        events,
        cursors,
        config,
        claims: claims.clone(),
        reviewer,
        admin_extension: None,
    };
    let settings = args.settings();
    let scheme = settings.tls.as_ref().map_or("http", |_| "https");
    let gateway = Gateway::bind(settings, dependencies).await?;
    announce(&gateway, scheme)?;

    let drained = CancellationToken::new();
    let peer = args.peer_address(gateway.admin_addr()?);
    let lease = claims.map(|claims| {
        let lease_renewer = claims.lease_renewer(peer);
        let (config, ready, streams) = (gateway.config(), gateway.ready(), gateway.load());
        tokio::spawn(lease_renewer.run(config, ready, streams, drained.clone()))
    });
    let result = gateway.run(process::stop_on_signal()?).await;
    // Only now: as long as streams are open, the operator should know that this gateway lives.
    drained.cancel();
    if let Some(lease) = lease {
        lease.await?;
    }
    result
}

/// One line of JSON, for whoever started it with port 0.
#[allow(clippy::print_stdout)]
fn announce(gateway: &Gateway, scheme: &str) -> anyhow::Result<()> {
    let (stream, admin) = (gateway.stream_addr()?, gateway.admin_addr()?);
    println!("{{\"stream\":\"{scheme}://{stream}\",\"admin\":\"http://{admin}\"}}");
    Ok(())
}

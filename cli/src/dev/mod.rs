//! `datastream dev`: broker, operator logic and gateway in one process, on a folder of manifests.

mod folder;
mod ingest;
mod invitation;
mod keys;
mod output;
mod routes;
mod watch;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use datastream_broker::{Broker, BrokerOptions};
use datastream_gateway::{Dependencies, Gateway, Settings};
use datastream_service::listen;
use datastream_source::cursors_topic;
use datastream_source::fluvio::{ClusterArgs, FluvioCluster, FluvioCursorLog, FluvioSource, topic};
use tokio_util::sync::CancellationToken;

pub use output::Output;

use datastream_source::fluvio::FluvioTarget;
use datastream_source::fluvio::producer::Producer;
use folder::Folder;
use ingest::Ingest;
use invitation::Invitation;
use keys::Keys;
use output::Printer;
use routes::Routes;
use watch::FolderWatch;

use crate::manifests::{self, Object};
use crate::simulate::{self, FleetArgs};

/// Bytes of each partition that the embedded broker keeps; older events are dropped.
const RETENTION_BYTES: u64 = 256 << 20;

/// Streams for one developer, within what most systems let a process open.
const STREAMS: usize = 500;
/// Nobody waits for a rollout here: streams are closed at once, so that Ctrl-C is quick.
const DRAIN: Duration = Duration::from_secs(2);

const EXAMPLES: &str = "Examples:
  datastream dev --manifests crds/examples --simulate
  datastream dev --manifests crds/examples --journal dev.journal   # events and stream keys outlive a restart
  datastream dev --manifests crds/examples --keys dev.keys         # stream keys do, events do not
  curl --data-binary @events.jsonl http://127.0.0.1:9090/events    # an event per line";

/// Options of `datastream dev`.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES, mut_group("FleetArgs", |fleet| fleet.requires("simulate")))]
pub struct DevArgs {
    /// The folder of manifests, watched: an edit, a new file and a deleted one take effect at once.
    #[arg(long, default_value = "crds/examples")]
    pub manifests: PathBuf,
    /// Address for clients; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:8080", value_parser = listen::parse)]
    pub listen: SocketAddr,
    /// Address of probes and metrics, and for posting events; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:9090", value_parser = listen::parse)]
    pub admin: SocketAddr,
    /// The Fluvio to use instead of the embedded broker.
    #[command(flatten)]
    pub fluvio: ClusterArgs,
    /// The topic that carries the device events; made if it is missing.
    #[arg(long, env = "DATASTREAM_TOPIC", default_value = "device-events")]
    pub topic: String,
    /// Number of partitions of a topic that is made.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub partitions: u32,
    /// Keep the embedded broker's data in this file, so that events outlive a restart.
    #[arg(long, conflicts_with_all = ["address", "profile"])]
    pub journal: Option<PathBuf>,
    /// Keep the stream keys in this file, so that they outlive a restart; with --journal they are kept beside it.
    #[arg(long, value_name = "FILE")]
    pub keys: Option<PathBuf>,
    /// Produce the events of a simulated fleet, too.
    #[arg(long)]
    pub simulate: bool,
    /// The simulated fleet.
    #[command(flatten, next_help_heading = "With --simulate")]
    pub fleet: FleetArgs,
    /// Format in which addresses and URLs are printed.
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// Runs until `stop` is cancelled.
///
/// # Errors
/// Something keeps it from starting, or a part of it has ended.
pub async fn run(args: DevArgs, stop: CancellationToken) -> anyhow::Result<()> {
    // Before anything else is started: a wrong folder is the likeliest mistake.
    anyhow::ensure!(
        args.manifests.is_dir(),
        "there is no folder {}: name that of your manifests with --manifests",
        args.manifests.display()
    );
    let watch = FolderWatch::new(args.manifests.clone());
    let scan = watch
        .scan()
        .await
        .with_context(|| format!("cannot read the manifests in {}", args.manifests.display()))?;

    let (_broker, cluster) = fluvio(&args).await?;
    let keys = Keys::load(args.keys.clone().or_else(|| {
        let mut beside = args.journal.clone()?.into_os_string();
        beside.push(".keys");
        Some(beside.into())
    }))?;
    let target = FluvioTarget::new(cluster.clone(), &args.topic);
    topic::ensure(&target, args.partitions).await?;

    let (routes, config) = Routes::new(keys);
    let invitation = Invitation::new()?;
    let dependencies = Dependencies {
        events: Arc::new(FluvioSource::new(cluster.clone(), &target.topic)),
        cursors: Arc::new(FluvioCursorLog::new(
            cluster.clone(),
            cursors_topic(&target.topic),
        )),
        config: Box::new(config),
        claims: None,
        reviewer: None,
        admin_extension: Some(Arc::new(Ingest::start(
            Producer::new(target.clone()),
            invitation.clone(),
        ))),
    };
    let settings = Settings {
        listen: args.listen,
        admin: args.admin,
        drain: DRAIN,
        max_streams: STREAMS,
        event_source: Settings::event_source_of(&args.topic),
        ..Settings::default()
    };
    let gateway = Gateway::bind(settings, dependencies).await?;
    let printer = Printer {
        output: args.output,
        stream: gateway.stream_addr()?,
        admin: gateway.admin_addr()?,
        invitation,
    };
    printer.started(cluster.address(), &target.topic);

    let mut ready = gateway.ready();
    let gateway = gateway.run(stop.clone());
    let manifests = async {
        let mut manifests = Manifests {
            folder: Folder::new(manifests::read),
            routes,
            printer,
            watch,
        };
        // The gateway waits for the first routes, even if there are none.
        manifests.take(scan);
        manifests.publish().await?;
        manifests.follow().await
    };
    let simulation = async {
        if args.simulate {
            // The first events of a fleet register its devices: worth waiting for a gateway that sees them.
            let _ = ready.wait_for(|ready| *ready).await;
            simulate::until(target, &args.fleet, None, stop.clone()).await?;
        }
        std::future::pending::<anyhow::Result<()>>().await
    };
    tokio::select! {
        result = gateway => result,
        result = manifests => result.context("the manifests"),
        result = simulation => result.context("the simulation"),
    }
}

/// The broker to keep, if it is ours, and the cluster to use.
async fn fluvio(args: &DevArgs) -> anyhow::Result<(Option<Broker>, FluvioCluster)> {
    if let Some(cluster) = args.fluvio.cluster()? {
        return Ok((None, cluster));
    }
    let options = BrokerOptions {
        journal: args.journal.clone(),
        retention_bytes: Some(RETENTION_BYTES),
        ..BrokerOptions::default()
    };
    let broker = Broker::start(options)
        .await
        .context("cannot start the embedded broker")?;
    let cluster = broker.address().to_string().into();
    Ok((Some(broker), cluster))
}

/// The folder, and what becomes of it.
struct Manifests {
    folder: Folder<Object>,
    routes: Routes,
    printer: Printer,
    watch: FolderWatch,
}

impl Manifests {
    async fn follow(&mut self) -> anyhow::Result<()> {
        loop {
            self.watch.changed().await;
            match self.watch.scan().await {
                Ok(scan) => {
                    if self.take(scan) {
                        self.publish().await?;
                    }
                }
                // The folder may be back the next time; until then everything stays as it is.
                Err(error) => tracing::warn!(%error, "cannot read the manifests"),
            }
        }
    }

    /// Takes in what the folder holds now. Returns whether that is anything new.
    fn take(&mut self, scan: folder::Scan) -> bool {
        let outcome = self.folder.update(scan);
        for problem in &outcome.problems {
            Printer::problem(problem);
        }
        for file in &outcome.mended {
            tracing::info!("{file} is fine now");
        }
        outcome.changed
    }

    async fn publish(&mut self) -> anyhow::Result<()> {
        let changes = self.routes.put(self.folder.objects()).await?;
        self.printer.invitation.set(self.routes.keys());
        self.printer.changes(&changes);
        Ok(())
    }
}

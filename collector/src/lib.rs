//! A collector: stores the events of many streams, each event once. `datastream collect` and `datastream-collector` run it.
//!
//! One event, one direction: `source` (URL and key) → `stream` (a connection, and what arrives on it) → `sinks` (what is
//! new, and what to do when a store fails) → `store` (JSON lines, SQLite, PostgreSQL). A heartbeat is answered when
//! everything before it is stored, so nothing that was acknowledged can be lost.

mod columns;
mod config;
mod dead_letter;
mod event;
mod metrics;
mod progress;
mod sink_set;
mod source;
mod store;
mod stream;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::Args;
use datastream_service::{probes, stdout};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use config::{Start, StorePlan, StreamPlan};
use dead_letter::DeadLetters;
use metrics::{Metrics, Report, Status};
use sink_set::{SinkSet, StartOver};
use store::{Databases, JsonlStore, OffThread, PostgresStore, SqliteStore, Store};
use stream::{Collector, Outcome, check_interval};

/// The log filter of a collector unless `RUST_LOG` says otherwise.
pub const LOG_FILTER: &str = "info,tokio_postgres=warn";

const EXAMPLES: &str = "A configuration:
  streams:
    - name: blue-led
      url: ws://127.0.0.1:8080/stream?stream_key=KEY
      store: {jsonl: {dir: events, rotateEvery: 1h}}

Example:
  datastream collect --config streams.yaml --metrics 127.0.0.1:9100";

/// Options of `datastream collect`.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct CollectArgs {
    /// File that says what to collect and where to store it: streams.yaml, or the config.json of a DSS Collector.
    #[arg(long, value_name = "FILE", env = "DATASTREAM_COLLECT_CONFIG")]
    pub config: PathBuf,
    /// Serve /metrics, /livez and /readyz here (unset: nowhere); port 0 picks a free one, and prints it.
    #[arg(long, value_name = "IP:PORT", value_parser = datastream_service::listen::parse)]
    pub metrics: Option<SocketAddr>,
}

/// Collects until `stop` is cancelled.
///
/// # Errors
/// A wrong configuration, a store that cannot be used at the start, or the end of every stream.
pub async fn run(args: CollectArgs, stop: CancellationToken) -> anyhow::Result<ExitCode> {
    let plan = config::load(&args.config)?;
    let metrics = Metrics::new()?;
    let listener = match args.metrics {
        Some(address) => Some(listen(address).await?),
        None => None,
    };
    // Those that are left when one fails.
    let stop = stop.child_token();
    let mut databases = Databases::default();
    let mut streams = JoinSet::new();
    let mut statuses = Vec::new();
    for plan in plan.streams {
        let status = Arc::new(metrics.stream(&plan.name));
        statuses.push(status.clone());
        let check_interval = check_interval(&plan.stores);
        let stores = stores(plan.stores, &plan.name, &mut databases);
        let plan = StreamPlan {
            stores: vec![],
            ..plan
        };
        streams.spawn(collect(plan, stores, check_interval, status, stop.clone()));
    }
    let report = Arc::new(Report {
        metrics,
        streams: statuses.clone(),
    });
    let result = tokio::select! {
        result = all(&mut streams, &stop) => result,
        error = serve(listener, report) => Err(error),
        () = progress::show(&statuses) => Err(anyhow!("the progress ended")),
    };
    stop.cancel();
    while streams.join_next().await.is_some() {}
    for status in &statuses {
        let detail = status.detail();
        if !detail.opened {
            continue;
        }
        tracing::info!(
            stream = status.name,
            stored = status.stored.get(),
            duplicates = status.duplicates.get(),
            gaps = status.gaps.get(),
            reconnects = status.reconnects.get(),
            last_seq = detail.last_seq.as_deref().unwrap_or("none"),
            "collected"
        );
    }
    result
}

/// One stream, from opening its stores to its end.
async fn collect(
    plan: StreamPlan,
    stores: Vec<Box<dyn Store>>,
    check_interval: Duration,
    status: Arc<Status>,
    stop: CancellationToken,
) -> anyhow::Result<Outcome> {
    let places: Vec<_> = stores.iter().map(|store| store.describe()).collect();
    let start_over = match plan.start {
        Start::Latest | Start::Committed => StartOver::Origin,
        Start::Earliest => StartOver::Beginning,
        Start::Seq(_) | Start::Time(_) => StartOver::Start,
    };
    let dead_letters = plan.dead_letter.map(DeadLetters::new);
    if let Some(letters) = &dead_letters {
        let checked = letters.check().map_err(anyhow::Error::msg);
        checked.with_context(|| format!("{}: stream {}", plan.place, plan.name))?;
    }
    let mut sinks = SinkSet::new(stores, status.clone(), start_over, dead_letters);
    match stop.run_until_cancelled(sinks.open()).await {
        None => return Ok(Outcome::Stopped),
        Some(opened) => opened.with_context(|| format!("{}: stream {}", plan.place, plan.name))?,
    }
    status.update(|detail| detail.opened = true);
    tracing::info!(
        stream = plan.name,
        into = places.join(" and "),
        "collecting"
    );
    let collector = Collector {
        source: plan.source,
        start: plan.start,
        on_gap: plan.on_gap,
        sinks,
        check_interval,
        status,
        stop,
    };
    Ok(collector.run().await)
}

fn stores(plans: Vec<StorePlan>, stream: &str, databases: &mut Databases) -> Vec<Box<dyn Store>> {
    let mut store = |plan| -> Box<dyn Store> {
        match plan {
            StorePlan::Jsonl(plan) => Box::new(OffThread::new(JsonlStore::new(plan, stream))),
            StorePlan::Sqlite(plan) => {
                Box::new(OffThread::new(SqliteStore::new(databases, plan, stream)))
            }
            StorePlan::Postgres(plan) => Box::new(PostgresStore::new(plan, stream)),
        }
    };
    plans.into_iter().map(&mut store).collect()
}

/// Waits for the end of every stream, or for the first that fails.
async fn all(
    streams: &mut JoinSet<anyhow::Result<Outcome>>,
    stop: &CancellationToken,
) -> anyhow::Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    while let Some(ended) = streams.join_next().await {
        if ended.context("a stream panicked")?? == Outcome::NotStored {
            tracing::error!("a store did not take what had arrived; it will be sent again");
            code = ExitCode::FAILURE;
        }
    }
    if stop.is_cancelled() {
        Ok(code)
    } else {
        Err(anyhow!("every stream has stopped"))
    }
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(datastream_service::listen::address(address))
        .await
        .with_context(|| format!("cannot listen on {address}: choose another --metrics"))?;
    // One line of JSON, for whoever started it with port 0; nobody has to read it.
    let line = format!("{{\"metrics\":\"http://{}\"}}\n", listener.local_addr()?);
    stdout::write(line.as_bytes())?;
    Ok(listener)
}

async fn serve(listener: Option<TcpListener>, report: Arc<Report>) -> anyhow::Error {
    match listener {
        None => std::future::pending().await,
        Some(listener) => match probes::serve(listener, report).await {
            Ok(()) => anyhow!("probes and metrics ended"),
            Err(error) => error.context("probes and metrics"),
        },
    }
}

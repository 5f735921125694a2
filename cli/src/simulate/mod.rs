//! `datastream simulate`: the events of a plausible fleet, at a given rate, into any Fluvio.

mod device;
mod events;
mod fleet;
mod model;
mod rate_limiter;

use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use tokio_util::sync::CancellationToken;

use datastream_service::backoff::Backoff;
use datastream_source::fluvio::FluvioTarget;
use datastream_source::fluvio::producer::{Producer, Record};
pub use events::{Body, Event};
pub use fleet::Fleet;
pub use model::MODELS;
use rate_limiter::RateLimiter;

use crate::FluvioArgs;

const EXAMPLES: &str = "Examples:
  datastream simulate --fluvio 127.0.0.1:9003
  datastream simulate --fluvio 127.0.0.1:9003 --devices 1000 --rate 200 --seed 1 --count 10000";

/// Options of `datastream simulate`.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct SimulateArgs {
    /// The topic that the events go to.
    #[command(flatten)]
    pub fluvio: FluvioArgs,
    /// The fleet.
    #[command(flatten)]
    pub fleet: FleetArgs,
    /// End after this many events (unset: go on until stopped).
    #[arg(long)]
    pub count: Option<u64>,
}

/// Size, speed and seed of a simulated fleet.
#[derive(Clone, Debug, Args)]
pub struct FleetArgs {
    /// Number of devices.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub devices: u32,
    /// Events a second, of the whole fleet.
    #[arg(long, default_value_t = 20.0, value_parser = positive_rate)]
    pub rate: f64,
    /// The same seed gives the same devices and events, but for their times (unset: another fleet every time).
    #[arg(long)]
    pub seed: Option<u64>,
}

fn positive_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 1e6 => Ok(rate),
        _ => Err("a number of events a second, more than 0 and at most 1000000".to_owned()),
    }
}

/// Runs the fleet until `count` events are stored or `stop` is cancelled.
///
/// # Errors
/// No Fluvio is named, or an event cannot be serialized. An unreachable Fluvio is no error: it is tried again forever.
pub async fn run(args: SimulateArgs, stop: CancellationToken) -> anyhow::Result<()> {
    let target = args.fluvio.target()?;
    until(target, &args.fleet, args.count, stop).await
}

/// Runs the fleet as [`run`] does, against this topic.
pub(crate) async fn until(
    target: FluvioTarget,
    fleet: &FleetArgs,
    count: Option<u64>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let stored = stop.run_until_cancelled(produce(target, fleet, count));
    if stored.await.transpose()?.is_none() {
        tracing::info!("stopped");
    }
    Ok(())
}

async fn produce(target: FluvioTarget, args: &FleetArgs, count: Option<u64>) -> anyhow::Result<()> {
    let seed = args.seed.unwrap_or_else(rand::random);
    tracing::info!(
        fluvio = target.cluster.address(),
        topic = target.topic,
        devices = args.devices,
        rate = args.rate,
        seed,
        "simulating a fleet"
    );
    let mut fleet = Fleet::new(args.devices as usize, seed);
    let mut producer = Producer::new(target);
    let mut rate_limiter = RateLimiter::new(args.rate);
    let mut left = count.unwrap_or(u64::MAX);
    while left > 0 {
        let due = rate_limiter.due().await.min(left);
        let records = (0..due)
            .map(|_| record(&fleet.next_event(jiff::Timestamp::now())))
            .collect::<Result<Vec<_>, _>>()?;
        store(&mut producer, &records).await;
        left -= due;
    }
    Ok(())
}

/// Sends until all is stored. What Fluvio did not confirm is sent again, and may so be stored twice.
async fn store(producer: &mut Producer, mut records: &[Record]) {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
    while let Err(error) = producer.send(records).await {
        records = &records[error.confirmed..];
        let delay = backoff.next_delay();
        tracing::warn!(%error, "trying again in {:.1} s", delay.as_secs_f32());
        tokio::time::sleep(delay).await;
    }
}

fn record(event: &Event) -> anyhow::Result<Record> {
    Ok(Record {
        key: event.metadata.dsn.clone(),
        value: serde_json::to_vec(event).context("cannot write an event as JSON")?,
    })
}

//! The broker as a process.

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;
use datastream_broker::{Broker, BrokerOptions, TopicError, serve_control};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// A single-node loopback broker that speaks the Fluvio protocol. For development and tests: it is no Fluvio server.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Where clients connect (a loopback address, unless --advertise is given; port 0 picks a free one)
    #[arg(long, default_value = "127.0.0.1:9003")]
    listen: SocketAddr,
    /// Where records are produced and fetched
    #[arg(long, default_value = "127.0.0.1:0")]
    unit_listen: SocketAddr,
    /// Listen on addresses that other machines reach, too, and tell clients that records are at this host. For networks of
    /// tests that nobody else is in: there is no access control
    #[arg(long, value_name = "HOST")]
    advertise: Option<String>,
    /// A topic to have, with its number of partitions (default 1); may be repeated
    #[arg(long = "topic", value_name = "NAME[:PARTITIONS]")]
    topics: Vec<String>,
    /// Keep everything in this file, so that a restart has the same data
    #[arg(long)]
    journal: Option<PathBuf>,
    /// Read the journal as if nothing had been evicted: for tests that look at what was
    #[arg(long, hide = true)]
    forget_evictions: bool,
    /// Drop the oldest records of a partition that holds more than this many bytes
    #[arg(long)]
    retention_bytes: Option<u64>,
    /// Take fault switches as lines on this port
    #[arg(long)]
    control: Option<SocketAddr>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();
    let args = Args::parse();
    let options = BrokerOptions {
        listen: args.listen,
        unit_listen: args.unit_listen,
        advertise: args.advertise,
        journal: args.journal,
        forget_evictions: args.forget_evictions,
        retention_bytes: args.retention_bytes,
        ..BrokerOptions::default()
    };
    let mut broker = Broker::start(options)
        .await
        .context("cannot start the broker")?;
    for topic in &args.topics {
        let (name, partitions) = topic.split_once(':').unwrap_or((topic, "1"));
        let partitions = partitions
            .parse()
            .with_context(|| format!("--topic {topic}: partitions"))?;
        match broker.create_topic(name, partitions) {
            Ok(()) | Err(TopicError::Exists(_)) => (),
            Err(error) => return Err(error.into()),
        }
    }
    let control = match args.control {
        Some(address) => Some(
            TcpListener::bind(address)
                .await
                .with_context(|| format!("--control {address}"))?,
        ),
        None => None,
    };
    announce(&broker, control.as_ref())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        result = tokio::signal::ctrl_c() => Ok(result?),
        result = async {
            match control {
                Some(listener) => serve_control(listener, &mut broker).await,
                None => std::future::pending().await,
            }
        } => Ok(result?),
    }
}

/// One line of JSON, for whoever started it with port 0.
#[allow(clippy::print_stdout)]
fn announce(broker: &Broker, control: Option<&TcpListener>) -> anyhow::Result<()> {
    let (fluvio, unit) = (broker.address(), broker.unit_address());
    let control = match control {
        Some(control) => format!(",\"control\":\"{}\"", control.local_addr()?),
        None => String::new(),
    };
    println!("{{\"fluvio\":\"{fluvio}\",\"unit\":\"{unit}\"{control}}}");
    Ok(())
}

//! The broker as a process.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::Context as _;
use clap::Parser;
use datastream_broker::{Broker, BrokerOptions, TopicError, serve_control};
use datastream_service::log::{self, LogFormat, one_line};
use datastream_service::tls::{ClientCertificates, IdentityFiles, ServerFiles};
use datastream_service::{process, stdout};
use tokio::net::TcpListener;

/// Limit of Fluvio.
const MAX_NAME: usize = 63;
/// Partitions of one topic: what a broker for development is good for.
const MAX_PARTITIONS: u32 = 1024;

/// A single-node loopback broker that speaks the Fluvio protocol. For development and tests: it is no Fluvio server.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Address for clients (a loopback address, unless --advertise is given; port 0 picks a free one)
    #[arg(long, default_value = "127.0.0.1:9003")]
    listen: SocketAddr,
    /// Address at which records are produced and fetched
    #[arg(long, default_value = "127.0.0.1:0")]
    unit_listen: SocketAddr,
    /// Listen on addresses that other machines reach, too, and announce this host to clients as the one that has the
    /// records. For networks of tests that nobody else is in: there is no access control
    #[arg(long, value_name = "HOST")]
    advertise: Option<String>,
    /// A topic to have, with its number of partitions (default 1); may be repeated
    #[arg(long = "topic", value_name = "NAME[:PARTITIONS]")]
    topics: Vec<Topic>,
    /// Keep everything in this file, so that a restart has the same data
    #[arg(long)]
    journal: Option<PathBuf>,
    /// Read the journal as if nothing had been evicted: for tests that look at what was
    #[arg(long, hide = true)]
    forget_evictions: bool,
    /// Drop the oldest records of a partition that holds more than this many bytes
    #[arg(long)]
    retention_bytes: Option<u64>,
    /// Speak TLS, with this certificate (PEM, with those between it and the authority)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key of that certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Take clients only with a certificate of an authority in this PEM file
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_client_ca: Option<PathBuf>,
    /// Take fault switches as lines on this port
    #[arg(long)]
    control: Option<SocketAddr>,
}

/// A topic to have.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Topic {
    name: String,
    partitions: u32,
}

impl FromStr for Topic {
    type Err = String;

    /// Reads `NAME[:PARTITIONS]`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, partitions) = text.split_once(':').unwrap_or((text, "1"));
        let is_fine = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let is_name = (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(is_fine);
        if !is_name || name.starts_with('-') || name.ends_with('-') {
            return Err(format!(
                "a topic's name has 1 to {MAX_NAME} lower-case letters, digits and hyphens, none of these at its ends"
            ));
        }
        let partitions = partitions
            .parse()
            .ok()
            .filter(|n| (1..=MAX_PARTITIONS).contains(n));
        let partitions =
            partitions.ok_or(format!("a topic has 1 to {MAX_PARTITIONS} partitions"))?;
        let name = name.to_owned();
        Ok(Self { name, partitions })
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    log::start(LogFormat::Text, "error");
    match run(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{}", one_line(&error));
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> anyhow::Result<()> {
    let options = BrokerOptions {
        listen: args.listen,
        unit_listen: args.unit_listen,
        advertise: args.advertise,
        journal: args.journal,
        forget_evictions: args.forget_evictions,
        retention_bytes: args.retention_bytes,
        tls: args
            .tls_cert
            .zip(args.tls_key)
            .map(|(certificate, key)| ServerFiles {
                identity: IdentityFiles { certificate, key },
                clients: args
                    .tls_client_ca
                    .map_or(ClientCertificates::Unasked, ClientCertificates::Required),
            }),
        ..BrokerOptions::default()
    };
    let mut broker = Broker::start(options)
        .await
        .context("cannot start the broker")?;
    for Topic { name, partitions } in &args.topics {
        match broker.create_topic(name, *partitions) {
            Ok(()) => (),
            Err(TopicError::Exists(_)) => {
                let found = broker.partitions(name);
                anyhow::ensure!(
                    found == Some(*partitions),
                    "--topic {name}:{partitions}: it is there, with {} partitions",
                    found.unwrap_or_default()
                );
            }
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
    let stop = process::stop_on_signal()?;
    tokio::select! {
        () = stop.cancelled() => Ok(()),
        result = async {
            match control {
                Some(listener) => serve_control(listener, &mut broker).await,
                None => std::future::pending().await,
            }
        } => Ok(result?),
    }
}

/// One line of JSON, for whoever started it with port 0.
fn announce(broker: &Broker, control: Option<&TcpListener>) -> anyhow::Result<()> {
    let (fluvio, unit) = (broker.address(), broker.unit_address());
    let control = match control {
        Some(control) => format!(",\"control\":\"{}\"", control.local_addr()?),
        None => String::new(),
    };
    let line = format!("{{\"fluvio\":\"{fluvio}\",\"unit\":\"{unit}\"{control}}}\n");
    stdout::write(line.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_topic_arguments_are_rejected() {
        for (text, name, partitions) in
            [("a", "a", 1), ("device-events:1024", "device-events", 1024)]
        {
            let topic = Topic {
                name: name.to_owned(),
                partitions,
            };
            assert_eq!(text.parse(), Ok(topic));
        }
        let long = "a".repeat(MAX_NAME + 1);
        for bad in [
            "",
            ":1",
            "a:0",
            "a:-1",
            "a:4294967295",
            "a:1:2",
            "A",
            "a b",
            "-a",
            "a-",
            &long,
        ] {
            assert!(bad.parse::<Topic>().is_err(), "{bad}");
        }
    }
}

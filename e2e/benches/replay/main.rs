//! The cost of replays: CPU of the gateway for each event that a stream gets from memory and from the topic, alone and with others.
//!
//! Gateways are processes of their own; broker, producer and clients are in this one.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

#[path = "../shared/bar.rs"]
mod bar;
#[path = "../shared/process.rs"]
mod process;
#[path = "../shared/routes.rs"]
mod routes;
#[path = "../shared/server.rs"]
mod server;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use bar::Bar;
use datastream_broker::{Broker, BrokerOptions};
use datastream_source::fluvio::FluvioTarget;
use datastream_source::fluvio::producer::{Producer, Record};
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use routes::key;
use server::Server;
use tokio::time::sleep;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

const TOPIC: &str = "device-events";
const EVENTS: usize = 100_000;
/// Deliveries of one turn at the most: with many streams, each replays fewer events.
const DELIVERIES: usize = 2_000_000;
const EVENT_BYTES: usize = 450;
/// Records that the producer sends at once.
const BATCH: usize = 500;
/// Streams that replay at once.
const STREAMS: [usize; 3] = [1, 8, 100];
const ROUNDS: usize = 3;
const FILES: usize = 1_000;
/// MiB of memory for recent events: more than all of them take, with their frames, and what is usual.
const LARGE_RING: u32 = 512;
const RING: u32 = 64;
/// The most CPU s per million deliveries: from memory; from the topic; from the topic with so many streams that reading does not count.
const FROM_MEMORY: f64 = 1.5;
const FROM_TOPIC: f64 = 2.5;
const SHARED: f64 = FROM_MEMORY;

/// A gateway whose replays are measured.
struct Gateway {
    server: Server,
    /// URL of its streams, up to the key.
    url: String,
}

impl Gateway {
    async fn start(target: &FluvioTarget, routes: &Path, ring_mib: u32) -> Self {
        let args = [format!("--ring-mib={ring_mib}")];
        let (server, bound) = Server::gateway(target, routes, &args, FILES);
        let url = bound["stream"].as_str().unwrap();
        let url = format!("{}/stream", url.replace("http://", "ws://"));
        // Until it knows its routes and where the topic ends.
        sleep(Duration::from_secs(3)).await;
        Self { server, url }
    }

    /// CPU seconds of a million deliveries while so many streams replay the same events at once.
    async fn replay(&self, streams: usize) -> f64 {
        let count = EVENTS.min(DELIVERIES / streams);
        let pid = self.server.child.id();
        let before = process::cpu_seconds(pid);
        let replays = (0..streams).map(|number| async move {
            let url = format!(
                "{}?stream_key={}&seq_start=1&seq_end={count}",
                self.url,
                key(number)
            );
            let (mut socket, _) = connect_async(url).await.unwrap();
            let mut events = 0;
            while let Some(message) = socket.next().await {
                match message.unwrap() {
                    Message::Text(text) if text.as_str() != "1|Z" => events += 1,
                    Message::Text(_) => (),
                    other => {
                        assert!(matches!(other, Message::Close(_)), "{other:?}");
                        break;
                    }
                }
            }
            assert_eq!(events, count);
        });
        join_all(replays).await;
        let cpu = process::cpu_seconds(pid) - before;
        // The slots of the streams are free again.
        sleep(Duration::from_millis(200)).await;
        cpu / (streams * count) as f64 * 1e6
    }
}

fn record(number: usize) -> Record {
    let dsn = format!("AC000W{:09}", number % 1_000);
    let head = format!(
        r#"{{"metadata":{{"oem_id":"0dfc7900","oem_model":"ledevb","dsn":"{dsn}","property_name":"n","event_type":"datapoint","resource_tags":[]}},"datapoint":{{"value":{number},"note":""#
    );
    let padding = "x".repeat(EVENT_BYTES.saturating_sub(head.len() + 3));
    Record {
        key: dsn,
        value: format!("{head}{padding}\"}}}}").into_bytes(),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let broker = Broker::start(BrokerOptions::default()).await.unwrap();
    broker.create_topic(TOPIC, 1).unwrap();
    let target = FluvioTarget::new(broker.address().to_string(), TOPIC);
    let dir = tempfile::tempdir().unwrap();
    routes::write(dir.path(), STREAMS[STREAMS.len() - 1], |_| vec![]);
    // This one is there from the beginning, and has everything in memory.
    let from_memory = Gateway::start(&target, dir.path(), LARGE_RING).await;
    let mut producer = Producer::new(target.clone());
    let records: Vec<_> = (0..EVENTS).map(record).collect();
    for batch in records.chunks(BATCH) {
        producer.send(batch).await.unwrap();
    }
    let from_topic = Gateway::start(&target, dir.path(), RING).await;

    println!(
        "replay of the same events of {EVENT_BYTES} bytes: CPU s of the gateway per million deliveries, the median of {ROUNDS} rounds"
    );
    let mut all = vec![];
    for (name, gateway, bars) in [
        ("from memory", &from_memory, [FROM_MEMORY; 3]),
        (
            "from the topic",
            &from_topic,
            [FROM_TOPIC, FROM_TOPIC, SHARED],
        ),
    ] {
        for (streams, bar) in STREAMS.into_iter().zip(bars) {
            let mut costs = Vec::with_capacity(ROUNDS);
            for _ in 0..ROUNDS {
                costs.push(gateway.replay(streams).await);
            }
            costs.sort_by(f64::total_cmp);
            let streams = format!("{streams} at once");
            all.push(Bar::at_most(name, streams, costs[ROUNDS / 2], bar));
        }
    }
    bar::print(&all);
    bar::outcome(&all)
}

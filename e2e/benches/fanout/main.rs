//! The gateway with everything on, without TLS and with it, and in other dialects, beside a bare WebSocket server: CPU per delivery,
//! memory per idle stream, latency.
//!
//! Each is a process of its own; broker and clients are in this one. They take turns under the same load, so that what else the
//! machine does hits all of them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

#[path = "../shared/bar.rs"]
mod bar;
#[path = "../shared/bare.rs"]
mod bare;
mod clients;
#[path = "../shared/process.rs"]
mod process;
#[path = "../shared/routes.rs"]
mod routes;
#[path = "../shared/server.rs"]
mod server;
#[path = "../shared/trust.rs"]
mod trust;

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use bar::Bar;
use clients::{Clients, SENT};
use datastream_broker::{Broker, BrokerOptions};
use datastream_source::fluvio::FluvioTarget;
use datastream_source::fluvio::producer::{Producer, Record};
use routes::key;
use server::Server;
use tempfile::TempDir;
use tokio::time::{MissedTickBehavior, interval, sleep};
use trust::Trust;

const STREAMS: usize = 1_000;
const EVENTS_PER_TURN: usize = 100;
const EVENTS_PER_SECOND: u64 = 20;
const TURNS: usize = 3;
const FRAME_BYTES: usize = 450;
/// Files that a server may open: a gateway asks for so many.
const FILES: usize = 20_000;

/// Bars of the cost of a delivery: to the bare server's, and with TLS and of other dialects to the gateway's without.
const COST: f64 = 1.5;
const COST_OF_TLS: f64 = 1.3;
const COST_OF_DIALECTS: f64 = 1.2;
/// KiB that an idle stream has at the most.
const IDLE: f64 = 16.0;
const IDLE_WITH_TLS: f64 = 14.0;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Microseconds, with the same number of digits all the time: JSON has no leading zeros.
fn clock() -> u64 {
    1_000_000_000_000 + START.elapsed().as_micros() as u64
}

/// An event whose frame has about `FRAME_BYTES`.
fn event() -> String {
    let head = format!(
        r#"{{"metadata":{{"oem_id":"0dfc7900","oem_model":"ledevb","dsn":"AC000W000340000","property_name":"Blue_LED","event_type":"datapoint","resource_tags":[]}},"datapoint":{{{SENT}{},"value":1,"note":""#,
        clock()
    );
    let padding = "x".repeat(FRAME_BYTES.saturating_sub(head.len() + 18));
    format!("{head}{padding}\"}}}}")
}

/// The cost of one server.
#[derive(Default)]
struct Usage {
    cpu: f64,
    deliveries: u64,
    ages: Vec<u32>,
}

impl Usage {
    fn per_million(&self) -> f64 {
        self.cpu / self.deliveries as f64 * 1e6
    }

    fn age_ms(&mut self, quantile: f64) -> f64 {
        self.ages.sort_unstable();
        let index = (self.ages.len() as f64 * quantile) as usize;
        f64::from(self.ages[index.min(self.ages.len() - 1)]) / 1000.0
    }
}

/// A server under test.
struct Subject {
    server: Server,
    clients: Arc<Clients>,
    /// Resident KiB of a stream without events.
    idle: f64,
    usage: Usage,
}

impl Subject {
    /// Opens the streams at these URLs.
    async fn new(server: Server, urls: Vec<String>, trust: &Trust) -> Self {
        // It has settled before memory is looked at.
        sleep(Duration::from_secs(3)).await;
        let pid = server.child.id();
        let before = process::own_bytes(pid);
        let clients = Clients::connect(urls, clock, trust).await;
        sleep(Duration::from_secs(2)).await;
        let after = process::own_bytes(pid);
        Self {
            server,
            clients,
            idle: (after - before) / STREAMS as f64 / 1024.0,
            usage: Usage::default(),
        }
    }

    /// One turn: events at the fixed rate to this server, and what they took it.
    async fn turn(&mut self, mut send: impl AsyncFnMut(String)) {
        let (pid, received) = (self.server.child.id(), self.clients.received());
        let cpu = process::cpu_seconds(pid);
        let mut ticks = interval(Duration::from_millis(1000 / EVENTS_PER_SECOND));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for _ in 0..EVENTS_PER_TURN {
            ticks.tick().await;
            send(event()).await;
        }
        let deliveries = (EVENTS_PER_TURN * STREAMS) as u64;
        self.clients.reach(received + deliveries).await;
        self.usage.cpu += process::cpu_seconds(pid) - cpu;
        self.usage.deliveries += deliveries;
        self.usage.ages.extend(self.clients.take_ages());
    }
}

/// A gateway, and the producer of the topic that nobody else reads.
struct Gateway {
    subject: Subject,
    producer: Producer,
    /// Dropped last: a gateway says at length what is missing.
    _routes: TempDir,
}

impl Gateway {
    /// A gateway with this certificate, if any, and clients of the scheme and the path that are given: `ws/stream?`.
    async fn start(
        broker: &Broker,
        topic: &str,
        clients: &str,
        trust: &Trust,
        certificate: &[String],
    ) -> Self {
        broker.create_topic(topic, 1).unwrap();
        let dir = tempfile::tempdir().unwrap();
        routes::write(dir.path(), STREAMS, |_| vec![]);
        let target = FluvioTarget::new(broker.address().to_string(), topic);
        // All of them are of one namespace, and come at once.
        let mut args = vec!["--handshakes-per-second=1000000".to_owned()];
        args.extend_from_slice(certificate);
        let (server, bound) = Server::gateway(&target, dir.path(), &args, FILES);
        let (scheme, path) = clients.split_once('/').unwrap();
        let address = bound["stream"].as_str().unwrap();
        let address = address.replacen("http", scheme, 1);
        let urls = (0..STREAMS).map(|n| format!("{address}/{path}stream_key={}", key(n)));
        let producer = Producer::new(target);
        Self {
            subject: Subject::new(server, urls.collect(), trust).await,
            producer,
            _routes: dir,
        }
    }

    async fn turn(&mut self) {
        let producer = &mut self.producer;
        let send = async |event: String| {
            let record = Record {
                key: "AC000W000340000".to_owned(),
                value: event.into_bytes(),
            };
            producer.send(&[record]).await.unwrap();
        };
        self.subject.turn(send).await;
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    if std::env::args().any(|a| a == "bare") {
        bare::serve().await;
        return ExitCode::SUCCESS;
    }
    let broker = Broker::start(BrokerOptions::default()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (trust, certificate) = Trust::make(dir.path());
    let plain = ("plain", "ws/stream?", &[][..]);
    let encrypted = ("tls", "ws/stream?", &certificate[..]);
    let lines = ("lines", "http/events?format=ndjson&", &[][..]);
    let sse = ("sse", "http/events?format=sse&", &[][..]);
    let mut gateways = vec![];
    for (topic, clients, certificate) in [plain, encrypted, lines, sse] {
        gateways.push(Gateway::start(&broker, topic, clients, &trust, certificate).await);
    }
    let me = std::env::current_exe().unwrap();
    let mut server = Server::start(&me, &["bare".to_owned()], FILES);
    let address = server.line();
    let mut stdin = server.take_stdin();
    let urls = vec![format!("ws://{address}/"); STREAMS];
    let mut bare = Subject::new(server, urls, &trust).await;
    for _ in 0..TURNS {
        for gateway in &mut gateways {
            gateway.turn().await;
        }
        bare.turn(async |event| writeln!(stdin, "{event}").unwrap())
            .await;
    }
    let subjects = gateways.iter_mut().map(|gateway| &mut gateway.subject);
    report(subjects.chain([&mut bare]).collect())
}

fn report(mut subjects: Vec<&mut Subject>) -> ExitCode {
    println!("{STREAMS} streams, {EVENTS_PER_SECOND} events/s to each, {FRAME_BYTES}-byte frames");
    println!(
        "                                  gateway   with TLS     NDJSON        SSE       bare"
    );
    let row = |name: &str, figures: &[f64]| {
        let figures = figures.iter().map(|figure| format!("{figure:>9.2}  "));
        println!("  {name:<29} {}", figures.collect::<String>());
    };
    let costs = subjects.iter().map(|subject| subject.usage.per_million());
    let costs: Vec<_> = costs.collect();
    row("CPU s per million deliveries", &costs);
    let idle: Vec<_> = subjects.iter().map(|subject| subject.idle).collect();
    row("KiB per idle stream", &idle);
    for (name, quantile) in [("p50", 0.5), ("p99", 0.99)] {
        let ages = subjects.iter_mut().map(|s| s.usage.age_ms(quantile));
        row(
            &format!("{name} from sending, ms"),
            &ages.collect::<Vec<_>>(),
        );
    }
    println!("  (the broker is part of the gateway's latency)");
    let bars = [
        ("CPU, gateway to bare", costs[0] / costs[4], COST),
        ("CPU, with TLS to without", costs[1] / costs[0], COST_OF_TLS),
        ("CPU, NDJSON to DSS", costs[2] / costs[0], COST_OF_DIALECTS),
        ("CPU, SSE to DSS", costs[3] / costs[0], COST_OF_DIALECTS),
        ("KiB per idle stream", idle[0], IDLE),
        ("KiB per idle stream with TLS", idle[1], IDLE_WITH_TLS),
        ("KiB per idle stream, NDJSON", idle[2], IDLE),
        ("KiB per idle stream, SSE", idle[3], IDLE),
    ];
    let bars = bars.map(|(name, figure, bar)| Bar::at_most("", name.to_owned(), figure, bar));
    bar::print(&bars);
    bar::outcome(&bars)
}

//! The gateway with everything on beside a bare WebSocket server: CPU per delivery, memory per idle stream, latency.
//!
//! Both are processes of their own; broker and clients are in this one. They take turns under the same load, so that
//! what else the machine does hits both.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod bare;
mod clients;
#[path = "../shared/process.rs"]
mod process;
#[path = "../shared/routes.rs"]
mod routes;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use clients::{Clients, SENT};
use datastream_broker::{Broker, BrokerOptions};
use datastream_e2e::own_program;
use datastream_source::fluvio::FluvioTarget;
use datastream_source::fluvio::producer::{Producer, Record};
use routes::key;
use tokio::time::{MissedTickBehavior, interval, sleep};

const STREAMS: usize = 1_000;
const EVENTS_PER_TURN: usize = 100;
const EVENTS_PER_SECOND: u64 = 20;
const TURNS: usize = 3;
const FRAME_BYTES: usize = 450;
const TOPIC: &str = "device-events";

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Microseconds, with the same number of digits all the time: JSON has no leading zeros.
fn clock() -> u64 {
    1_000_000_000_000 + START.elapsed().as_micros() as u64
}

/// A server process that dies with the bench.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    fn start(command: &mut Command) -> (Self, String) {
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        (Self(child), line.trim().to_owned())
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }
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

/// One turn: events at the fixed rate to one server, and what it took it.
async fn turn(
    pid: u32,
    clients: &Arc<Clients>,
    usage: &mut Usage,
    mut send: impl AsyncFnMut(String),
) {
    let (cpu, received) = (process::cpu_seconds(pid), clients.received());
    let mut ticks = interval(Duration::from_millis(1000 / EVENTS_PER_SECOND));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for _ in 0..EVENTS_PER_TURN {
        ticks.tick().await;
        send(event()).await;
    }
    let deliveries = (EVENTS_PER_TURN * STREAMS) as u64;
    clients.reach(received + deliveries).await;
    usage.cpu += process::cpu_seconds(pid) - cpu;
    usage.deliveries += deliveries;
    usage.ages.extend(clients.take_ages());
}

#[tokio::main]
async fn main() -> ExitCode {
    if std::env::args().any(|a| a == "bare") {
        bare::serve().await;
        return ExitCode::SUCCESS;
    }
    let broker = Broker::start(BrokerOptions::default()).await.unwrap();
    broker.create_topic(TOPIC, 1).unwrap();
    let target = FluvioTarget {
        address: broker.address().to_string(),
        topic: TOPIC.to_owned(),
    };
    let mut producer = Producer::new(target);
    let dir = tempfile::tempdir().unwrap();
    routes::write(dir.path(), STREAMS, |_| vec![]);

    let gateway = own_program("datastream-gateway").unwrap();
    let (gateway, bound) = Server::start(Command::new(gateway).args([
        "--listen=127.0.0.1:0",
        "--admin=127.0.0.1:0",
        &format!("--fluvio={}", broker.address()),
        &format!("--topic={TOPIC}"),
        &format!("--routes-dir={}", dir.path().display()),
        // All of them are of one namespace, and come at once.
        "--handshakes-per-second=1000000",
    ]));
    let bound: serde_json::Value = serde_json::from_str(&bound).unwrap();
    let http = bound["stream"].as_str().unwrap();
    let stream = http.replace("http://", "ws://");
    let (mut bare, bare_address) =
        Server::start(Command::new(std::env::current_exe().unwrap()).arg("bare"));

    // Both have settled before memory is looked at.
    sleep(Duration::from_secs(3)).await;
    let before = [&gateway, &bare].map(|s| process::resident_bytes(s.pid()));
    let urls = |n: usize| format!("{stream}/stream?stream_key={}", key(n));
    let of_gateway = Clients::connect((0..STREAMS).map(urls).collect(), clock).await;
    let urls = |_| format!("ws://{bare_address}/");
    let of_bare = Clients::connect((0..STREAMS).map(urls).collect(), clock).await;
    sleep(Duration::from_secs(2)).await;
    let idle = [&gateway, &bare]
        .map(|s| process::resident_bytes(s.pid()))
        .into_iter()
        .zip(before)
        .map(|(after, before)| (after - before) / STREAMS as f64 / 1024.0)
        .collect::<Vec<_>>();

    let (mut ours, mut theirs) = (Usage::default(), Usage::default());
    let mut stdin = bare.0.stdin.take().unwrap();
    for _ in 0..TURNS {
        turn(gateway.pid(), &of_gateway, &mut ours, async |event| {
            let record = Record {
                key: "AC000W000340000".to_owned(),
                value: event.into_bytes(),
            };
            producer.send(&[record]).await.unwrap();
        })
        .await;
        turn(bare.pid(), &of_bare, &mut theirs, async |event| {
            writeln!(stdin, "{event}").unwrap();
        })
        .await;
    }

    let ratio = ours.per_million() / theirs.per_million();
    let verdict = |good: bool| if good { "PASS" } else { "MISS" };
    println!("{STREAMS} streams, {EVENTS_PER_SECOND} events/s to each, {FRAME_BYTES}-byte frames");
    println!("                                  gateway       bare");
    println!(
        "  CPU s per million deliveries   {:>8.2}   {:>8.2}   ratio {ratio:.2} (bar: at most 1.5)  {}",
        ours.per_million(),
        theirs.per_million(),
        verdict(ratio <= 1.5)
    );
    println!(
        "  KiB per idle stream            {:>8.1}   {:>8.1}   (bar: at most 16)  {}",
        idle[0],
        idle[1],
        verdict(idle[0] <= 16.0)
    );
    for (name, quantile) in [("p50", 0.5), ("p99", 0.99)] {
        println!(
            "  {name} from sending, ms            {:>8.2}   {:>8.2}   (the gateway's includes the broker)",
            ours.age_ms(quantile),
            theirs.age_ms(quantile)
        );
    }
    if ratio > 1.5 || idle[0] > 16.0 {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

//! The cost of one slow client to 9,999 others on the same gateway: CPU per delivery, latency, and the gateway's memory, with and
//! without it, in turns in one run.
//!
//! Gateway and clients are processes of their own; broker, producer and the slow client are in this one. In every turn all
//! streams get a few events, and the slow client's subscription alone gets far more than it takes.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

#[path = "../shared/bar.rs"]
mod bar;
mod crowd;
#[path = "../shared/process.rs"]
mod process;
#[path = "../shared/routes.rs"]
mod routes;
#[path = "../shared/server.rs"]
mod server;
mod slow;

use std::process::ExitCode;
use std::time::Duration;

use bar::Bar;
use datastream_broker::{Broker, BrokerOptions};
use datastream_routing::{Field, Filter};
use datastream_source::fluvio::FluvioTarget;
use datastream_source::fluvio::producer::{Producer, Record};
use routes::key;
use server::Server;
use slow::{Pace, Slow};
use tokio::time::{MissedTickBehavior, interval, sleep};

const STREAMS: usize = 10_000;
const EVENTS_PER_TURN: u64 = 12;
const ROUNDS: usize = 4;
const FRAME_BYTES: usize = 450;
/// Events a second that only the slow client's subscription gets.
const FLOOD_EVENTS: u64 = 64;
const FLOOD_BYTES: usize = 8 << 10;
/// Files that a process with all streams has open.
const FILES: usize = STREAMS + 2_000;
const TOPIC: &str = "device-events";
/// The device of events for everybody, and that of those for the slow client alone.
const DEVICES: [&str; 2] = ["all", "flood"];

/// The slow client's subscription is the first, and gets everything; the others get what is for everybody.
fn filters(number: usize) -> Vec<Filter> {
    let devices = &DEVICES[..if number == 0 { 2 } else { 1 }];
    vec![Filter::default().with(Field::Dsn, devices.iter().map(|dsn| (*dsn).into()))]
}

fn record(device: &str, bytes: usize) -> Record {
    let head = format!(
        r#"{{"metadata":{{"oem_id":"0dfc7900","oem_model":"ledevb","dsn":"{device}","property_name":"n","event_type":"datapoint","resource_tags":[]}},"datapoint":{{{}{},"note":""#,
        crowd::SENT,
        crowd::clock()
    );
    let padding = "x".repeat(bytes.saturating_sub(head.len() + 18));
    Record {
        key: device.to_owned(),
        value: format!("{head}{padding}\"}}}}").into_bytes(),
    }
}

/// The cost of turns of one kind.
#[derive(Default)]
struct Usage {
    cpu: f64,
    deliveries: u64,
    /// Percentiles of each turn, in microseconds.
    p50: Vec<u64>,
    p99: Vec<u64>,
    /// The most that the gateway had, in bytes.
    memory: f64,
}

impl Usage {
    fn per_million(&self) -> f64 {
        self.cpu / self.deliveries as f64 * 1e6
    }
}

fn median_ms(of_turns: &[u64]) -> f64 {
    let mut sorted = of_turns.to_vec();
    sorted.sort_unstable();
    let middle = sorted[(sorted.len() - 1) / 2] + sorted[sorted.len() / 2];
    middle as f64 / 2000.0
}

/// One turn: what it took the gateway to bring the others their events.
async fn turn(gateway: u32, crowd: &mut Server, producer: &mut Producer, usage: &mut Usage) {
    let before = crowd.ask("received")[0];
    let cpu = process::cpu_seconds(gateway);
    let mut ticks = interval(Duration::from_millis(1000 / FLOOD_EVENTS));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for tick in 0..EVENTS_PER_TURN * FLOOD_EVENTS {
        ticks.tick().await;
        let mut records = vec![record(DEVICES[1], FLOOD_BYTES)];
        if tick % FLOOD_EVENTS == 0 {
            records.insert(0, record(DEVICES[0], FRAME_BYTES));
            usage.memory = usage.memory.max(process::resident_bytes(gateway));
        }
        producer.send(&records).await.unwrap();
    }
    let deliveries = EVENTS_PER_TURN * (STREAMS as u64 - 1);
    for _ in 0..3000 {
        if crowd.ask("received")[0] >= before + deliveries {
            break;
        }
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(crowd.ask("received")[0], before + deliveries);
    usage.cpu += process::cpu_seconds(gateway) - cpu;
    usage.deliveries += deliveries;
    let ages = crowd.ask("ages");
    usage.p50.push(ages[0]);
    usage.p99.push(ages[1]);
}

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<_> = std::env::args().collect();
    if let [_, role, url] = &args[..]
        && role == "crowd"
    {
        crowd::run(url).await;
        return ExitCode::SUCCESS;
    }
    let broker = Broker::start(BrokerOptions::default()).await.unwrap();
    broker.create_topic(TOPIC, 1).unwrap();
    let target = FluvioTarget::new(broker.address().to_string(), TOPIC);
    let dir = tempfile::tempdir().unwrap();
    routes::write(dir.path(), STREAMS, filters);
    let args = ["--handshakes-per-second=1000000", "--ring-mib=16"].map(str::to_owned);
    let (gateway, bound) = Server::gateway(&target, dir.path(), &args, FILES);
    let mut producer = Producer::new(target);
    let url = bound["stream"]
        .as_str()
        .unwrap()
        .replace("http://", "ws://");
    let url = format!("{url}/stream?stream_key=");
    sleep(Duration::from_secs(3)).await;
    let me = std::env::current_exe().unwrap();
    let mut crowd = Server::start(&me, &["crowd".to_owned(), url.clone()], FILES);
    crowd.line();
    let pid = gateway.child.id();

    let kinds = [None, Some(Pace::ReadsNothing), Some(Pace::ReadsSlowly)];
    let mut usages = [const { None::<Usage> }; 3].map(|_| Usage::default());
    // Once for nothing: the ring fills, connections and memory settle.
    turn(pid, &mut crowd, &mut producer, &mut Usage::default()).await;
    for _ in 0..ROUNDS {
        for (kind, usage) in kinds.iter().zip(&mut usages) {
            let slow = match kind {
                Some(pace) => Some(Slow::connect(&format!("{url}{}", key(0)), *pace).await),
                None => None,
            };
            turn(pid, &mut crowd, &mut producer, usage).await;
            if let Some(slow) = slow {
                slow.leave().await;
            }
        }
    }
    let admin = bound["admin"].as_str().unwrap().replace("http://", "");
    let (_, metrics) = datastream_e2e::get(&admin, "/metrics").unwrap();
    let fell_behind = "datastream_gateway_streams_fell_behind_total ";
    let fell_behind = metrics.lines().find_map(|l| l.strip_prefix(fell_behind));
    let fell_behind: usize = fell_behind.unwrap().parse().unwrap();
    // Or the slow client was not slow.
    assert!(fell_behind >= 2 * ROUNDS, "{fell_behind} times behind");
    report(&usages)
}

fn report([without, nothing, slowly]: &[Usage; 3]) -> ExitCode {
    println!(
        "{STREAMS} streams, 1 event/s to each, {FRAME_BYTES}-byte frames; to one of them {FLOOD_EVENTS} more, {FLOOD_BYTES} bytes each"
    );
    println!("  that one's client                is away  reads nothing  reads slowly");
    let mut bars = vec![];
    let mut row = |name: &str, value: &dyn Fn(&Usage) -> f64, bar: Option<f64>| {
        let [a, b, c] = [without, nothing, slowly].map(value);
        println!("  {name:<28} {a:>12.2}   {b:>12.2}  {c:>12.2}");
        if let Some(bar) = bar {
            let name = format!("{name}, to without it");
            bars.push(Bar::at_most("", name, (b / a).max(c / a), bar));
        }
    };
    row(
        "CPU s per million deliveries",
        &Usage::per_million,
        Some(1.05),
    );
    row("p50 from sending, ms", &|u| median_ms(&u.p50), Some(1.25));
    row("p99 from sending, ms", &|u| median_ms(&u.p99), Some(1.25));
    row(
        "gateway's memory, MiB",
        &|u| u.memory / 1024.0 / 1024.0,
        None,
    );
    bar::print(&bars);
    bar::outcome(&bars)
}

//! The gateway beside its peers, under the same load in one run: CPU per delivery, latency, memory per idle connection.
//!
//! Each server is a process of its own on a core of its own; load generator, clients and broker have another core. Servers take
//! turns under each load, so that what else the machine does hits all of them. The floor is `raw`, which does nothing but one
//! `write` for each delivery, and `raw-topic` is the same behind the broker, as the gateway is; `bare` does it with the WebSocket
//! library that Rust programs use; NATS and Centrifuge are servers that others choose for this work.
//!
//! Environment variables select and name what comes out: see [`options::Options`]. `plot FILE FOLDER` as arguments makes the plots
//! of an earlier run.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

#[path = "../shared/bar.rs"]
mod bar;
#[path = "../shared/bare.rs"]
mod bare;
mod bars;
#[path = "../shared/clock.rs"]
mod clock;
#[path = "../shared/connection.rs"]
mod connection;
#[path = "../shared/cores.rs"]
mod cores;
#[path = "../shared/dialect.rs"]
mod dialect;
#[path = "../shared/distance.rs"]
mod distance;
#[path = "../shared/feed.rs"]
mod feed;
#[path = "../shared/figures.rs"]
mod figures;
#[path = "../shared/files.rs"]
mod files;
#[path = "../shared/frames.rs"]
mod frames;
#[path = "../shared/gateway.rs"]
mod gateway;
#[path = "../shared/generator.rs"]
mod generator;
mod golang;
mod load;
mod options;
#[path = "../shared/pattern.rs"]
mod pattern;
mod plots;
#[path = "../shared/process.rs"]
mod process;
#[path = "../shared/protobuf.rs"]
mod protobuf;
#[path = "../shared/raw.rs"]
mod raw;
mod raw_topic;
#[path = "../shared/record.rs"]
mod record;
mod report;
#[path = "../shared/routes.rs"]
mod routes;
#[path = "../shared/server.rs"]
mod server;
mod servers;
mod svg;
#[path = "../shared/trust.rs"]
mod trust;
#[path = "../shared/turn.rs"]
mod turn;
#[path = "../shared/variables.rs"]
mod variables;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use cores::Cores;
use distance::Distance;
use figures::Figures;
use generator::Generator;
use load::Load;
use options::Options;
use record::{Record, Setup};
use servers::{Kind, Stand, Started};
use turn::{SETTLING, STARTING, Turn};

/// Connections to each server.
const CONNECTIONS: usize = 1_000;
/// Files that this process may open.
const FILES: usize = Kind::EACH.len() * CONNECTIONS + 2_000;
/// Length of the turn of each server that is not counted.
const WARM_UP: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args().collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[1..] {
        ["raw"] => raw::serve(1),
        ["raw-topic", broker, topic] => raw_topic::serve(broker, topic),
        ["bare"] => tokio::runtime::Runtime::new()
            .unwrap()
            .block_on(bare::serve()),
        ["plot", json, folder] => {
            let json = std::fs::read_to_string(json).unwrap();
            plots::write(&serde_json::from_str(&json).unwrap(), Path::new(folder));
        }
        _ => return compare(),
    }
    ExitCode::SUCCESS
}

fn compare() -> ExitCode {
    let mut options = Options::read();
    let cores = Cores::find();
    match cores {
        Some(cores) => cores.split(),
        None => println!("one core: servers share it with the load"),
    }
    files::raise(FILES);
    let is_peer = |kind: &Kind| Kind::PEERS.contains(kind);
    let mut peers = None;
    if options.servers.iter().any(is_peer) {
        peers = golang::build();
        if peers.is_none() {
            println!("no Go: NATS and Centrifuge are left out");
            options.servers.retain(|kind| !is_peer(kind));
        }
    }
    let mut stand = Stand::new(cores, peers);
    let distance = Distance::new(cores);
    let mut figures = Figures::default();
    for _ in 0..options.rounds {
        round(&mut stand, &options, &distance, &mut figures);
    }
    let bars = bars::bars(&figures);
    let setup = Setup {
        connections: CONNECTIONS,
        event_bytes: feed::EVENT_BYTES,
        rounds: options.rounds,
        seconds_per_turn: options.turn.as_secs(),
    };
    let record = Record::new(setup, cores, figures, bars);
    report::print(&record);
    if let Some(folder) = &options.svg {
        plots::write(&record, folder);
    }
    record.finish(options.json.as_deref())
}

/// Starts all servers, opens their connections, and measures each under each load.
fn round(stand: &mut Stand, options: &Options, distance: &Distance, figures: &mut Figures) {
    let mut generator = Generator::new();
    let servers = options
        .servers
        .iter()
        .map(|kind| (*kind, stand.start(*kind)));
    let servers: Vec<_> = servers.collect();
    generator.idle(STARTING);
    let mut open = vec![];
    for (kind, started) in servers {
        let Started {
            running,
            feed,
            endpoint,
        } = started;
        let pid = running.pid();
        let (cpu, bytes) = (process::cpu_seconds(pid), process::own_bytes(pid));
        let crowd = generator.open(&endpoint, feed, CONNECTIONS);
        let handshakes = process::cpu_seconds(pid) - cpu;
        let each = handshakes * 1000.0 / CONNECTIONS as f64;
        figures.add(kind.name(), None, figures::HANDSHAKE, each);
        open.push((kind, running, crowd, bytes));
    }
    generator.idle(SETTLING);
    for (kind, running, _, before) in &open {
        let each = (process::own_bytes(running.pid()) - before) / CONNECTIONS as f64;
        figures.add(kind.name(), None, figures::IDLE, each / 1024.0);
    }
    for (_, _, crowd, _) in &open {
        generator.turn(*crowd, Load::Slow.pattern(), WARM_UP);
    }
    for load in &options.loads {
        for (kind, running, crowd, _) in &open {
            distance.wait_until_near(|time| generator.idle(time));
            let server = (*kind, running.pid(), *crowd);
            turn(&mut generator, server, *load, options.turn, figures);
            let apart = distance.measure();
            figures.add(kind.name(), Some(load.name()), figures::DISTANCE, apart);
        }
    }
}

/// Measures one server under one load.
fn turn(
    generator: &mut Generator,
    (kind, pid, crowd): (Kind, u32, usize),
    load: Load,
    time: Duration,
    figures: &mut Figures,
) {
    let turn = turn::measure(generator, (pid, crowd), load.pattern(), time);
    let Turn {
        wrong,
        closed,
        deliveries,
        ..
    } = turn;
    assert_eq!(
        (wrong, closed),
        (0, 0),
        "deliveries missing (of {deliveries}), connections closed"
    );
    for (figure, value) in turn.figures {
        figures.add(kind.name(), Some(load.name()), figure, value);
    }
}

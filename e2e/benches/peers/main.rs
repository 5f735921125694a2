//! The gateway beside its peers, under the same load in one run: CPU per delivery, latency, memory per idle connection.
//!
//! Each server is a process of its own on a core of its own; load generator, clients and broker have another core. Servers take
//! turns under each load, so that what else the machine does hits all of them. The floor is `raw`, which does nothing but one
//! `write` for each delivery; `bare` does the same with the WebSocket library that Rust programs use; NATS and Centrifuge are
//! servers that others choose for this work.
//!
//! Environment variables select and name what comes out: see [`options::Options`]. `plot FILE FOLDER` as arguments makes the plots
//! of an earlier run.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

#[path = "../shared/bare.rs"]
mod bare;
mod bars;
mod clock;
mod connection;
mod cores;
mod dialect;
mod feed;
mod figures;
mod frames;
mod generator;
mod golang;
mod load;
mod options;
mod plots;
#[path = "../shared/process.rs"]
mod process;
mod protobuf;
mod raw;
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

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use cores::Cores;
use figures::Figures;
use generator::Generator;
use load::Load;
use options::Options;
use record::Record;
use servers::{Kind, Stand, Started};

/// Connections to each server.
const CONNECTIONS: usize = 1_000;
/// Bytes of an event.
const EVENT_BYTES: usize = 450;
/// Files that this process may open.
const FILES: usize = Kind::EACH.len() * CONNECTIONS + 2_000;
/// Time in which a server settles, without clients and with them, before memory is looked at.
const STARTING: Duration = Duration::from_secs(3);
const SETTLING: Duration = Duration::from_secs(2);
/// Length of the turn of each server that is not counted.
const WARM_UP: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args().collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[1..] {
        ["raw"] => raw::serve(),
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
    let cores = Cores::split();
    if cores.is_none() {
        println!("one core: servers share it with the load");
    }
    let limit = format!("--nofile={FILES}:{FILES}");
    let me = format!("--pid={}", std::process::id());
    let raised = Command::new("prlimit")
        .args([&me, &limit])
        .status()
        .unwrap();
    assert!(
        raised.success(),
        "may it open {FILES} files? see ulimit -Hn"
    );
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
    let mut figures = Figures::default();
    for _ in 0..options.rounds {
        round(&mut stand, &options, &mut figures);
    }
    let bars = bars::bars(&figures);
    let record = Record::new(&options, cores, figures, bars);
    report::print(&record);
    if let Some(file) = &options.json {
        let json = serde_json::to_string_pretty(&record).unwrap();
        std::fs::write(file, json + "\n").unwrap();
    }
    if let Some(folder) = &options.svg {
        plots::write(&record, folder);
    }
    if record.bars.iter().all(|bar| bar.met) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Starts all servers, opens their connections, and measures each under each load.
fn round(stand: &mut Stand, options: &Options, figures: &mut Figures) {
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
        let (cpu, bytes) = (process::cpu_seconds(pid), process::resident_bytes(pid));
        let crowd = generator.open(&endpoint, feed);
        let handshakes = process::cpu_seconds(pid) - cpu;
        let each = handshakes * 1000.0 / CONNECTIONS as f64;
        figures.add(kind, None, figures::HANDSHAKE, each);
        open.push((kind, running, crowd, bytes));
    }
    generator.idle(SETTLING);
    for (kind, running, _, before) in &open {
        let each = (process::resident_bytes(running.pid()) - before) / CONNECTIONS as f64;
        figures.add(*kind, None, figures::IDLE, each / 1024.0);
    }
    for (_, _, crowd, _) in &open {
        generator.turn(*crowd, Load::Slow, WARM_UP);
    }
    for load in &options.loads {
        for (kind, running, crowd, _) in &open {
            turn(
                &mut generator,
                (*kind, running.pid(), *crowd),
                *load,
                options.turn,
                figures,
            );
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
    let me = std::process::id();
    let usage = || {
        (
            process::cpu_seconds(pid),
            process::cpu_seconds(me),
            process::cpu_ticks(pid),
        )
    };
    let start = Instant::now();
    let (cpu, own, ticks) = usage();
    let delivered = generator.turn(crowd, load, time);
    let (cpu_after, own_after, ticks_after) = usage();
    let wall = start.elapsed().as_secs_f64();
    let (cpu, own) = (cpu_after - cpu, own_after - own);
    let [user, system] = [0, 1].map(|at| ticks_after[at] - ticks[at]);
    // Ticks are coarse: they only say how the exact time is to be split.
    let user = user / (user + system).max(1.0);
    let per_million = cpu * 1e6 / delivered.deliveries as f64;
    let age = |quantile: f64| {
        let at = (delivered.ages.len() as f64 * quantile) as usize;
        f64::from(delivered.ages[at.min(delivered.ages.len() - 1)]) / 1000.0
    };
    for (figure, value) in [
        (figures::CPU, per_million),
        (figures::CPU_USER, per_million * user),
        (figures::CPU_SYSTEM, per_million * (1.0 - user)),
        (figures::P50, age(0.5)),
        (figures::P99, age(0.99)),
        (figures::P999, age(0.999)),
        (
            figures::RATE,
            delivered.deliveries as f64 / delivered.seconds,
        ),
        (figures::SERVER_BUSY, cpu / wall),
        (figures::LOAD_BUSY, own / wall),
    ] {
        figures.add(kind, Some(load), figure, value);
    }
}

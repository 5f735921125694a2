//! The control plane's speed: from an applied subscription to its open stream, from an edit to its effect in every gateway, ten thousand
//! subscriptions at once, a restart of the operator among them, and what it takes when nothing happens.
//!
//! Everything is a process of its own on a real API server: etcd, kube-apiserver, the operator and two gateways share the cores.
//! An argument, `present` or `many`, runs that part alone.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

#[path = "../shared/process.rs"]
mod process;

mod api;
mod client;
mod floor;
mod harness;
mod manifest;
mod report;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use client::Stream;
use harness::Harness;
use report::Report;
use tokio::time::sleep;

/// Subscriptions that are there while creations and edits are timed.
const PRESENT: usize = 1_000;
const TIMED: usize = 300;
const MANY: usize = 10_000;
/// Streams that are open while the operator restarts.
const OPEN: usize = 100;
const IDLE: Duration = Duration::from_secs(30);

#[tokio::main]
async fn main() -> ExitCode {
    datastream_service::process::install_tls_provider().unwrap();
    let part = std::env::args().skip(1).find(|arg| !arg.starts_with("--"));
    let is_wanted = |name: &str| part.as_ref().is_none_or(|part| part == name);
    let mut report = Report::default();
    if is_wanted("present") {
        println!("{PRESENT} subscriptions are there, 2 gateways");
        let harness = Harness::start().await;
        harness.create(0..PRESENT).await;
        harness.all_programmed(PRESENT).await;
        creations(&harness, &mut report).await;
        edits(&harness, &mut report).await;
    }
    if is_wanted("many") {
        let floor = floor::measure(MANY).await;
        println!("{MANY} subscriptions, 2 gateways");
        let mut harness = Harness::start().await;
        many(&harness, floor, &mut report).await;
        restart(&mut harness, &mut report).await;
    }
    report.exit_code()
}

/// Measures the time from the request that creates a subscription to its open stream, the way a user goes: wait until it is served, read the
/// key in the Secret, connect.
async fn creations(harness: &Harness, report: &mut Report) {
    let mut took = vec![];
    for number in PRESENT..PRESENT + TIMED {
        let begun = Instant::now();
        harness.create(number..number + 1).await;
        harness.programmed(number, 1).await;
        let key = harness.key(number).await;
        let stream = Stream::open(&harness.addresses[number % 2], &key).await;
        took.push(begun.elapsed());
        drop(stream);
    }
    report.percentile(
        "creation to open stream",
        &mut took,
        Duration::from_millis(500),
    );
}

/// Measures the time from the request that changes a filter until every gateway has said that it serves it.
async fn edits(harness: &Harness, report: &mut Report) {
    let mut took = vec![];
    for number in 0..TIMED {
        let begun = Instant::now();
        let generation = harness.edit(number).await;
        harness.programmed(number, generation).await;
        took.push(begun.elapsed());
    }
    report.percentile(
        "edit to effect in every gateway",
        &mut took,
        Duration::from_millis(500),
    );
}

async fn many(harness: &Harness, floor: Duration, report: &mut Report) {
    let at_start = harness.writes().await;
    let begun = Instant::now();
    harness.create(0..MANY).await;
    let created = begun.elapsed();
    let all = harness.all_programmed(MANY).await;
    let took = all.duration_since(begun).as_secs_f64();
    report.at_most(
        &format!(
            "s from the first of {MANY} created (the last after {:.1} s) to all Programmed",
            created.as_secs_f64()
        ),
        took,
        60.0,
    );
    println!(
        "  {:>8.2} times the {:.1} s that the API server takes for the same objects alone",
        took / floor.as_secs_f64(),
        floor.as_secs_f64()
    );
    println!("  by these writes:");
    harness.writes().await.since(&at_start).print();
    // Events are published late.
    harness.quiet().await;
    let before = harness.writes().await;
    sleep(IDLE).await;
    let writes = harness.writes().await.since(&before);
    writes.print();
    report.at_most(
        &format!("writes in {} s of idleness", IDLE.as_secs()),
        writes.all(),
        0.0,
    );
    report.memory("MiB of the operator", harness.operator_pid(), 100.0);
}

async fn restart(harness: &mut Harness, report: &mut Report) {
    let mut streams = vec![];
    for number in 0..OPEN {
        let key = harness.key(number).await;
        streams.push(Stream::open(&harness.addresses[number % 2], &key).await);
    }
    // Their connections are written into the statuses.
    sleep(Duration::from_secs(10)).await;
    let before = harness.writes().await;
    let begun = Instant::now();
    harness.restart_operator().await;
    harness.reconciled(MANY).await;
    let took = begun.elapsed();
    // What it would write late.
    sleep(Duration::from_secs(10)).await;
    let writes = harness.writes().await.since(&before);
    writes.print();
    report.at_most(
        &format!(
            "writes by a restart of the operator ({:.1} s to look at all)",
            took.as_secs_f64()
        ),
        writes.all(),
        0.0,
    );
    let mut dropped = 0;
    for stream in streams {
        dropped += usize::from(!stream.stays_open().await);
    }
    report.at_most(
        &format!("streams of {OPEN} dropped by it"),
        dropped as f64,
        0.0,
    );
    report.memory(
        "MiB of the operator, restarted",
        harness.operator_pid(),
        100.0,
    );
}

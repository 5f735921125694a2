//! The operator with a hundred thousand subscriptions, more than an API server makes in a bench: a process of its own, on an API server
//! in this one that keeps objects in memory, with gateways that acknowledge at once.
//!
//! Measured are the operator's memory, its CPU, and what it asks for. `CONTROL_SIM_SUBSCRIPTIONS` says how many there are.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

#[path = "../control/manifest.rs"]
mod manifest;
#[path = "../shared/process.rs"]
mod process;
#[path = "../control/report.rs"]
mod report;
#[path = "../shared/variables.rs"]
#[allow(dead_code, reason = "shared with benches that have more settings")]
mod variables;

mod changes;
mod gateway;
mod operator;
mod refusal;
mod requests;
mod selector;
mod server;
mod store;
mod subscriptions;
mod target;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use operator::Operator;
use report::Report;
use requests::Counts;
use server::Server;
use store::Store;
use subscriptions::Subscriptions;
use tokio::net::TcpListener;
use tokio::time::sleep;

const GATEWAYS: usize = 2;
const EDITS: usize = 100;
const IDLE: Duration = Duration::from_secs(30);
/// The most resident memory that the operator may ever have, in MiB.
const MEMORY: f64 = 400.0;
/// Changes that are kept for watches, beside one for each subscription.
const WINDOW: usize = 10_000;

#[tokio::main]
async fn main() -> ExitCode {
    let count = variables::number("CONTROL_SIM_SUBSCRIPTIONS", 100_000);
    let mut report = Report::default();
    println!("{count} subscriptions in a simulation of the API, {GATEWAYS} gateways");
    let server = Arc::new(Server::new(Arc::new(Store::new(count + WINDOW))));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(server.clone().run(listener));
    let mut subscriptions = Subscriptions::new(server.clone());
    for number in 0..GATEWAYS {
        tokio::spawn(gateway::run(server.clone(), format!("gateway-{number}")));
    }
    let mut operator = Operator::start(address);
    many(count, &server, &mut subscriptions, &operator, &mut report).await;
    idle(&server, &operator, &mut report).await;
    edits(count, &mut subscriptions, &mut report).await;
    restart(count, &server, &mut operator, &mut report).await;
    report.exit_code()
}

async fn many(
    count: usize,
    server: &Server,
    subscriptions: &mut Subscriptions,
    operator: &Operator,
    report: &mut Report,
) {
    let begun = Instant::now();
    subscriptions.create(count).await;
    let created = begun.elapsed().as_secs_f64();
    if let Err(programmed) = subscriptions.all_programmed(count).await {
        panic!("{programmed} of {count}: {}", operator.log());
    }
    println!(
        "  {:>8.1} s from the first of {count} created (the last after {created:.1} s) to all Programmed",
        begun.elapsed().as_secs_f64(),
    );
    let cpu = operator.cpu_seconds();
    println!(
        "  {cpu:>8.1} s of CPU of the operator, {:.2} ms for each",
        cpu * 1e3 / count as f64
    );
    peak(operator, "MiB of the operator at its peak", report);
    quiet(server).await;
    println!("  requests  for each");
    for ((verb, resource), requests) in server.requests.counts() {
        let each = requests as f64 / count as f64;
        println!("  {requests:>8} {each:>9.4}  {verb} {resource}");
    }
    println!(
        "  {:>8} Events left out, because too many waited",
        operator.metric("datastream_operator_events_left_out_total")
    );
}

fn peak(operator: &Operator, what: &str, report: &mut Report) {
    const MEBIBYTE: f64 = 1024.0 * 1024.0;
    let pid = operator.pid();
    let what = format!(
        "{what} ({:.1} now)",
        process::resident_bytes(pid) / MEBIBYTE
    );
    report.at_most(&what, process::peak_bytes(pid) / MEBIBYTE, MEMORY);
}

/// Waits until nothing has been written for some seconds: Events are published late.
async fn quiet(server: &Server) {
    let mut before = None;
    loop {
        let writes = server.requests.writes();
        if before.as_ref() == Some(&writes) {
            return;
        }
        before = Some(writes);
        sleep(Duration::from_secs(5)).await;
    }
}

async fn idle(server: &Server, operator: &Operator, report: &mut Report) {
    let (writes, cpu) = (server.requests.writes(), operator.cpu_seconds());
    sleep(IDLE).await;
    let what = format!(
        "writes in {} s of idleness ({:.2} s of CPU)",
        IDLE.as_secs(),
        operator.cpu_seconds() - cpu
    );
    none_written(&what, server.requests.writes_since(&writes), report);
}

/// Reports writes where there should be none.
fn none_written(what: &str, writes: Counts, report: &mut Report) {
    report.at_most(what, writes.values().sum::<u64>() as f64, 0.0);
    for ((verb, resource), count) in writes {
        println!("  {count:>8} of them: {verb} {resource}");
    }
}

/// Measures the time from a change of a filter until every gateway has said that it serves it.
async fn edits(count: usize, subscriptions: &mut Subscriptions, report: &mut Report) {
    let mut took = vec![];
    for number in 0..EDITS.min(count) {
        let begun = Instant::now();
        let generation = subscriptions.edit(number);
        subscriptions.programmed(number, generation).await;
        took.push(begun.elapsed());
    }
    report.percentile(
        "edit to effect in every gateway",
        &mut took,
        Duration::from_millis(500),
    );
}

async fn restart(count: usize, server: &Server, operator: &mut Operator, report: &mut Report) {
    quiet(server).await;
    let before = server.requests.writes();
    let begun = Instant::now();
    operator.restart().await;
    operator.reconciled(count).await;
    let (took, cpu) = (begun.elapsed().as_secs_f64(), operator.cpu_seconds());
    // What it would write late.
    sleep(Duration::from_secs(10)).await;
    let what = format!(
        "writes by a restart of the operator ({took:.1} s to look at all, {cpu:.1} s of CPU)"
    );
    none_written(&what, server.requests.writes_since(&before), report);
    peak(
        operator,
        "MiB of the operator at its peak, restarted",
        report,
    );
}

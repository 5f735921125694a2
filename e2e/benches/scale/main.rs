//! The gateway alone: what a stream costs as there are more of them, what handshakes and changed routes cost the streams that are open,
//! what a second core is worth, and what reading costs that is for nobody.
//!
//! Environment variables select and name what comes out: see [`options::Options`].
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench on threads of its own, without a runtime to block"
)]

#[path = "../shared/bar.rs"]
mod bar;
mod bars;
mod changes;
#[path = "../shared/clock.rs"]
mod clock;
#[path = "../shared/connection.rs"]
mod connection;
#[path = "../shared/cores.rs"]
mod cores;
mod cpu_cgroup;
#[path = "../shared/dialect.rs"]
#[allow(
    dead_code,
    reason = "only the gateway's and the raw loop's are spoken here"
)]
mod dialect;
#[path = "../shared/distance.rs"]
mod distance;
#[path = "../shared/feed.rs"]
#[allow(dead_code, reason = "only topics and the raw loop are fed here")]
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
mod handshakes;
mod options;
mod partitions;
#[path = "../shared/pattern.rs"]
mod pattern;
#[path = "../shared/process.rs"]
mod process;
#[path = "../shared/protobuf.rs"]
mod protobuf;
#[path = "../shared/raw.rs"]
mod raw;
mod reading;
#[path = "../shared/record.rs"]
mod record;
mod report;
#[path = "../shared/routes.rs"]
mod routes;
#[path = "../shared/server.rs"]
mod server;
mod stand;
mod streams;
mod tables;
#[path = "../shared/trust.rs"]
mod trust;
#[path = "../shared/turn.rs"]
mod turn;
#[path = "../shared/variables.rs"]
mod variables;
mod visitors;

use std::process::ExitCode;

use options::{Options, Part};
use record::{Record, Setup};
use stand::Stand;

/// Streams where their number is not what is varied.
const STREAMS: usize = 1_000;
/// The argument with which this program is the floor: an epoll loop that does one `write` for each delivery. The next one is its number of
/// threads.
const RAW: &str = "raw";
/// Files that this process may open.
const FILES: usize = 20_000;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    if args.next().as_deref() == Some(RAW) {
        raw::serve(args.next().unwrap().parse().unwrap());
        return ExitCode::SUCCESS;
    }
    let options = Options::read();
    files::raise(FILES);
    let mut stand = Stand::new();
    for _ in 0..options.rounds {
        for part in &options.parts {
            match part {
                Part::Streams => streams::round(&mut stand, &options),
                Part::Handshakes => handshakes::round(&mut stand, &options),
                Part::Cores => partitions::round(&mut stand, &options),
                Part::Changes => changes::round(&mut stand, &options),
                Part::Reading => reading::round(&mut stand, &options),
            }
        }
    }
    let bars = bars::bars(&stand.figures);
    let setup = Setup {
        connections: STREAMS,
        event_bytes: feed::EVENT_BYTES,
        rounds: options.rounds,
        seconds_per_turn: options.turn.as_secs(),
    };
    let record = Record::new(setup, stand.cores, stand.figures, bars);
    report::print(&record);
    record.finish(options.json.as_deref())
}

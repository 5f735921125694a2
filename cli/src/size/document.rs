//! The tables of docs/scaling.md, which are made by the model.

use std::fmt::Write as _;
use std::path::Path;

use clap::Parser as _;
use datastream_gateway::{GATHERING, TlsMemory};
use datastream_service::reference::assert_section;

use super::SizeArgs;
use super::costs::MOST_STREAMS;
use super::load::Load;
use super::model::Gateway;
use super::number::{cores, count};
use super::plan::{Frame, Plan};
use crate::{Cli, Command};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/scaling.md");

/// Compares a section of the document with a table.
fn assert_table(section: &str, head: &str, rows: &[String]) {
    let line = "|---".repeat(head.matches('|').count() - 1) + "|";
    let table = format!("{head}\n{line}\n{}", rows.join("\n"));
    assert_section(Path::new(DOCUMENT), section, &table);
}

fn frame(cores: u32) -> Frame {
    Frame {
        partitions: None,
        cores,
        spare: 1,
        bits: 1e10,
        core_speed: 1.0,
    }
}

fn percent(part: f64, whole: f64) -> String {
    format!("{:.0} %", part / whole * 100.0)
}

fn reading() {
    let rows = [1e2, 1e3, 1e4, 5e4, 1e5, 2e5, 5e5].map(|rate| {
        let load = Load {
            streams: 1_000,
            rate,
            fanout: 0.0,
            event_bytes: 450,
            tls: TlsMemory::Plain,
            subscriptions: 1_000,
        };
        let mut row = format!("| {} |", count(rate));
        for cores_per_pod in [2, 4, 8, 16] {
            let cell = Plan::of(&load, &frame(cores_per_pod)).map_or_else(
                |_| "too much".to_owned(),
                |plan| {
                    let share = percent(plan.pod.reading, f64::from(cores_per_pod));
                    format!("{} ({share})", cores(plan.pod.reading))
                },
            );
            let _ = write!(row, " {cell} |");
        }
        row
    });
    let head = "| events/s | of 2 cores | of 4 | of 8 | of 16 |";
    assert_table("reading", head, &rows);
}

fn pods() {
    let rows = [1_000, 5_000, 20_000, 50_000, 100_000, 200_000].map(|rate| {
        let load = Load {
            streams: rate * 2 / 5,
            rate: rate as f64,
            fanout: 20.0,
            event_bytes: 450,
            tls: TlsMemory::Plain,
            subscriptions: rate * 2 / 5,
        };
        let mut row = format!(
            "| {} | {} | {} |",
            count(rate as f64),
            count(load.streams as f64),
            count(load.deliveries())
        );
        for cores_per_pod in [2, 8] {
            let cells = Plan::of(&load, &frame(cores_per_pod)).map_or_else(
                |_| " none | |".to_owned(),
                |plan| {
                    let all = plan.pods as f64;
                    let reading = plan.usual.reading * all;
                    let used = plan.usual.cores() * all;
                    format!(
                        " {} | {reading:.1} of {used:.1} ({}) |",
                        plan.pods,
                        percent(reading, used)
                    )
                },
            );
            row += &cells;
        }
        row
    });
    let head = "| events/s | streams | deliveries/s | pods of 2 cores | cores that read, of those used | pods of 8 cores | cores that read, of those used |";
    assert_table("pods", head, &rows);
}

fn one_pod() {
    let rows = [1, 2, 4, 8, 16].map(|cores_per_pod| {
        let most = |streams: u64, tls: TlsMemory| {
            let load = Load {
                streams,
                rate: 100.0,
                fanout: streams as f64 / 10.0,
                event_bytes: 450,
                tls,
                subscriptions: streams,
            };
            let gateway = Gateway {
                streams: streams as f64,
                deliveries: load.deliveries(),
                cores: f64::from(cores_per_pod),
                partitions: 1.0,
                core_speed: 1.0,
            };
            let left = f64::from(cores_per_pod) * super::plan::BUSY - gateway.reading(&load);
            let each = gateway.delivering(&load) / gateway.deliveries;
            // Two digits: it is an estimate.
            let deliveries = left / each;
            assert!(deliveries / streams as f64 * GATHERING.start().as_secs_f64() <= 1.0);
            let digits = 10_f64.powf(deliveries.log10().floor() - 1.0);
            count((deliveries / digits).floor() * digits)
        };
        format!(
            "| {cores_per_pod} | {} | {} | {} | {} |",
            most(5_000, TlsMemory::Plain),
            most(MOST_STREAMS, TlsMemory::Plain),
            most(5_000, TlsMemory::Tls),
            most(MOST_STREAMS, TlsMemory::Tls)
        )
    });
    let head =
        "| cores | deliveries/s to 5,000 streams | to 18,000 | with TLS to 5,000 | to 18,000 |";
    assert_table("one pod", head, &rows);
}

/// Loads with their names.
const SIZES: [(&str, &str); 7] = [
    ("small", "--streams 500 --rate 100 --fanout 5"),
    ("medium", "--streams 5000 --rate 2000 --fanout 20"),
    ("large", "--streams 20000 --rate 5000 --fanout 40"),
    (
        "large, TLS",
        "--streams 20000 --rate 5000 --fanout 40 --tls",
    ),
    (
        "very large",
        "--streams 200000 --rate 50000 --fanout 40 --cores-per-pod 4",
    ),
    (
        "few events, to all",
        "--streams 10000 --rate 20 --fanout 10000",
    ),
    (
        "many events, few wanted",
        "--streams 1000 --rate 100000 --fanout 0.1 --cores-per-pod 4",
    ),
];

fn parse(arguments: &str) -> SizeArgs {
    let words = ["datastream", "size"].into_iter();
    let cli = Cli::try_parse_from(words.chain(arguments.split(' '))).unwrap();
    match cli.command {
        Command::Size(args) => args,
        other => panic!("{other:?}"),
    }
}

fn sizes() {
    let rows = SIZES.map(|(name, arguments)| {
        let args = parse(arguments);
        let plan = Plan::of(&args.load(), &args.frame()).unwrap();
        format!(
            "| {name} | `datastream size {arguments}` | {} | {} x {} | {}m | {} / {} MiB | {} | {} | {} |",
            count(plan.deliveries_per_second),
            count(plan.pods as f64),
            plan.cores_per_pod,
            plan.cpu_request,
            count(plan.memory_request_mib as f64),
            count(plan.memory_limit_mib as f64),
            count(plan.max_streams as f64),
            plan.partitions,
            percent(plan.pod.reading, plan.pod.cores()),
        )
    });
    let head = "| load | command | deliveries/s | pods x cores | CPU requested | memory requested / limit | `maxStreams` | partitions | reading, of the CPU used |";
    assert_table("sizes", head, &rows);
}

fn answer() {
    let args = parse("--streams 20000 --rate 5000 --fanout 40");
    let answer = super::answer(&args).unwrap();
    let content = format!("```text\n{}\n```", answer.trim_end());
    assert_section(Path::new(DOCUMENT), "answer", &content);
}

/// In one test, because each section that differs may be written.
#[test]
fn the_document_is_what_the_model_says() {
    answer();
    one_pod();
    reading();
    pods();
    sizes();
}

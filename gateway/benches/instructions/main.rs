//! Cases of the hot path whose instructions callgrind counts, one a run: `scripts/instructions.sh` runs it.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../../routing/benches/index/filters.rs"]
mod filters;
mod records;

use std::hint::black_box;
use std::process::ExitCode;

use bytes::Bytes;
use datastream_gateway::event::Event;
use datastream_protocol::position::{EventPosition, Position};
use datastream_routing::{FilterIndex, Matches};
use filters::{KINDS, MATCHING};

/// Times that the work of a case is done.
const REPETITIONS: usize = 1_000;
/// Streams whose filters are filed: those of a full gateway.
const STREAMS: usize = 10_000;
/// Offset of the first event that is rendered, as topics have them after some months.
const OFFSET: u64 = 1_234_567_890;

/// A name, and what does its work.
type Case = (&'static str, fn());

const CASES: [Case; 10] = [
    ("decode-datapoint", || decode(records::datapoint)),
    ("decode-escapes", || decode(records::escapes)),
    ("decode-datapointack", || decode(records::datapointack)),
    ("route-dsn", || route("one DSN")),
    ("route-dsn-prefix", || route("DSN prefix")),
    ("route-model-property", || route("model and property")),
    ("render-1-partition", || render(records::datapoint, 1)),
    ("render-12-partitions", || render(records::datapoint, 12)),
    ("render-escapes", || render(records::escapes, 1)),
    ("render-datapointack", || render(records::datapointack, 1)),
];

/// Does the work once for each input. Callgrind counts within this function only, and finds it by its name.
#[inline(never)]
fn counted<T>(inputs: Vec<T>, mut work: impl FnMut(T)) {
    for input in inputs {
        work(input);
    }
}

/// Does the work of a case on an input by number, once before it is counted: what is found out at first use is not of each event.
fn run<T>(input: impl Fn(usize) -> T, mut work: impl FnMut(T)) {
    work(input(REPETITIONS));
    counted((0..REPETITIONS).map(input).collect(), work);
}

/// Decodes records, and drops the events.
fn decode(record: fn(usize) -> String) {
    run(
        |number| Bytes::from(record(number)),
        |record| drop(black_box(event(record))),
    );
}

fn event(record: Bytes) -> Event {
    Event::decode(OFFSET, 0, record, usize::MAX).unwrap()
}

/// Routes events, each of which ten streams want by filters of this kind.
fn route(kind: &str) {
    let kind = KINDS.iter().find(|other| other.name == kind).unwrap();
    let mut index = FilterIndex::default();
    for place in 0..STREAMS {
        index.insert(place as u32, &kind.route(place, STREAMS));
    }
    let groups = STREAMS / MATCHING;
    let mut matches = Matches::default();
    run(
        |number| kind.values(number * 7919 % groups, groups),
        |values| {
            index.matches(&values.fields(), &mut matches);
            assert_eq!(black_box(&matches).as_slice().len(), MATCHING);
        },
    );
}

/// Renders frames, and drops them together with their events.
fn render(record: fn(usize) -> String, partitions: usize) {
    run(
        |number| {
            let after = Position::new(vec![OFFSET + number as u64; partitions]);
            let partition = (number % partitions) as u32;
            let at = EventPosition { after, partition };
            (event(record(number).into()), at)
        },
        |(event, at)| drop(black_box(event.frame_at(at))),
    );
}

/// Does the work of the case that the argument names, and prints how many times; without one, prints the names of all.
fn main() -> ExitCode {
    // cargo gives `--bench`.
    let name = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let Some(name) = name else {
        for (name, _) in CASES {
            println!("{name}");
        }
        return ExitCode::SUCCESS;
    };
    let Some((_, work)) = CASES.iter().find(|(case, _)| *case == name) else {
        println!("there is no case {name}");
        return ExitCode::FAILURE;
    };
    work();
    println!("{REPETITIONS}");
    ExitCode::SUCCESS
}

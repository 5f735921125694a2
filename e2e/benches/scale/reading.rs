//! Reading: CPU of records that a gateway reads and decodes although none of its streams wants them, by partitions, rate, streams and
//! threads; and memory of subscriptions without a stream.

use std::time::{Duration, Instant};

use crate::STREAMS;
use crate::figures;
use crate::gateway::Settings;
use crate::options::Options;
use crate::pattern::{Pattern, Receivers};
use crate::process::cpu_seconds;
use crate::stand::{Open, Stand};

/// Partitions of the topic.
pub(crate) const PARTITIONS: [u32; 3] = [1, 4, 8];
/// Records a second, by name.
pub(crate) const RATES: [(&str, u64); 3] = [("1k", 1_000), ("10k", 10_000), ("100k", 100_000)];
/// Name, streams, threads, and further subscriptions: the first with each number of partitions, the others with [`PARTITIONS`]' second.
pub(crate) const SERVERS: [Server; 4] = [
    server("gateway", STREAMS, None, 0),
    server("10,000 streams", 10_000, None, 0),
    server("8 threads", STREAMS, Some(8), 0),
    server("100,000 subscr.", STREAMS, None, 100_000),
];

/// Names of figures: CPU seconds of the gateway for a million records, and records a second.
pub(crate) const CPU: &str = "cpu_seconds_per_million_records";
pub(crate) const RATE: &str = "records_per_second";

/// Events that may wait for the producers.
const WINDOW: u64 = 4_096;
/// Time after which records are given up.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pause between two looks at the number of records that were read, each of which costs the gateway 1 ms at most.
const LOOK: Duration = Duration::from_millis(100);

/// A gateway that reads.
#[derive(Clone, Copy)]
pub(crate) struct Server {
    pub(crate) name: &'static str,
    streams: usize,
    threads: Option<usize>,
    visitors: usize,
}

const fn server(
    name: &'static str,
    streams: usize,
    threads: Option<usize>,
    visitors: usize,
) -> Server {
    Server {
        name,
        streams,
        threads,
        visitors,
    }
}

/// The name of the load.
pub(crate) fn load(partitions: u32, rate: &str) -> String {
    format!("{partitions}-partitions-{rate}")
}

/// The partitions with which each gateway is measured.
pub(crate) fn partitions_of(server: &Server) -> Vec<u32> {
    if server.name == SERVERS[0].name {
        PARTITIONS.to_vec()
    } else {
        vec![PARTITIONS[1]]
    }
}

pub(crate) fn round(stand: &mut Stand, options: &Options) {
    stand.split();
    for server in &SERVERS {
        for partitions in partitions_of(server) {
            let settings = Settings {
                tls: false,
                cores: stand.cores,
                subscriptions: server.streams,
                visitors: server.visitors,
                streams: server.streams,
                partitions,
                threads: server.threads,
                addresses: 1,
            };
            let mut open = stand.open(settings, server.name, &load(partitions, RATES[0].0));
            let mut read = open.records();
            for (name, rate) in RATES {
                let pattern = Pattern {
                    to: Receivers::Nobody,
                    interval: 1_000_000 / rate,
                    burst: 1,
                    window: WINDOW,
                };
                open.warm_up(pattern);
                read = settled(&open, read);
                let load = load(partitions, name);
                turn(
                    stand,
                    &mut open,
                    (server.name, &load),
                    pattern,
                    (&mut read, options),
                );
            }
        }
    }
}

fn turn(
    stand: &mut Stand,
    open: &mut Open,
    (server, load): (&str, &str),
    pattern: Pattern,
    (read, options): (&mut u64, &Options),
) {
    stand.distance.wait_until_near(|time| open.idle(time));
    let pid = open.pid();
    let cpu = cpu_seconds(pid);
    let sent = open.send(pattern, options.turn);
    let expected = *read + sent.events;
    let start = Instant::now();
    while open.records() < expected {
        assert!(start.elapsed() < PATIENCE, "not all records were read");
        std::thread::sleep(LOOK);
    }
    *read = open.records();
    assert_eq!(*read, expected, "records that nobody has sent");
    let cpu = cpu_seconds(pid) - cpu;
    let mut add = |figure, value| stand.figures.add(server, Some(load), figure, value);
    add(CPU, cpu * 1e6 / sent.events as f64);
    add(RATE, sent.events as f64 / sent.seconds);
    add(figures::SERVER_BUSY, cpu / sent.seconds);
}

/// Waits until no more records are read. Returns their number.
fn settled(open: &Open, mut read: u64) -> u64 {
    loop {
        std::thread::sleep(5 * LOOK);
        let now = open.records();
        if now == read {
            return now;
        }
        read = now;
    }
}

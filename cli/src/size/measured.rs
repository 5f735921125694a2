//! The model, compared with what was measured.

use datastream_gateway::TlsMemory;

use super::load::Load;
use super::model::Gateway;

/// The model may say so much more than was measured, and so much less, in parts of what was measured.
const MORE: f64 = 0.25;
const LESS: f64 = 0.1;

/// A line of docs/performance/figures.tsv.
struct Measured {
    name: String,
    load: Load,
    /// CPU seconds for a million deliveries.
    cpu: f64,
    kib: f64,
}

impl Measured {
    fn parse(line: &str) -> Self {
        let cells: Vec<_> = line.split('\t').collect();
        let [name, tls, streams, rate, fanout, cpu, kib] = cells.try_into().unwrap();
        let load = Load {
            streams: streams.parse().unwrap(),
            rate: rate.parse().unwrap(),
            fanout: fanout.parse().unwrap(),
            event_bytes: 450,
            tls: if tls == "yes" {
                TlsMemory::Tls
            } else {
                TlsMemory::Plain
            },
            subscriptions: 0,
        };
        Self {
            name: format!("{name}, TLS {tls}"),
            load,
            cpu: cpu.parse().unwrap(),
            kib: kib.parse().unwrap(),
        }
    }

    /// The gateway of the measurement.
    fn gateway(&self) -> Gateway {
        Gateway {
            streams: self.load.streams as f64,
            deliveries: self.load.deliveries(),
            cores: 1.0,
            partitions: 1.0,
            core_speed: 1.0,
        }
    }
}

fn all() -> Vec<Measured> {
    let lines = include_str!("../../../docs/performance/figures.tsv").lines();
    let lines = lines.filter(|line| !line.starts_with('#')).skip(1);
    lines.map(Measured::parse).collect()
}

fn is_near(model: f64, measured: f64) -> bool {
    (1.0 - LESS..=1.0 + MORE).contains(&(model / measured))
}

#[test]
fn cpu_and_memory_are_near_what_was_measured() {
    let measured = all();
    assert!(measured.len() >= 16);
    let mut far = vec![];
    for measured in &measured {
        let gateway = measured.gateway();
        let model = gateway.used(&measured.load) * 1e6 / gateway.deliveries;
        let kib = measured.load.idle_kib(gateway.streams);
        for (what, model, figure) in [("CPU", model, measured.cpu), ("KiB", kib, measured.kib)] {
            if !is_near(model, figure) {
                far.push(format!(
                    "{}: {what} {model:.2}, measured {figure}",
                    measured.name
                ));
            }
        }
    }
    assert!(far.is_empty(), "{far:#?}");
}

#[test]
fn pods_are_never_given_less_cpu_than_was_measured() {
    for measured in all() {
        let gateway = measured.gateway();
        let planned = gateway.reading(&measured.load) + gateway.delivering(&measured.load);
        let used = measured.cpu * gateway.deliveries / 1e6;
        assert!(
            planned >= used * (1.0 - LESS),
            "{}: {planned} of {used}",
            measured.name
        );
    }
}

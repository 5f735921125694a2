//! Schedule of the faults of the data plane.

use std::time::Duration;

use datastream_broker::BatchDamage;
use rand::RngExt as _;
use rand::rngs::StdRng;

use super::harness::Harness;
use super::{GATEWAYS_PER_TOPIC, STORM, TOPICS};
use crate::attack::{ATTACKS, Attack};
use crate::collectors::{COLLECTORS, CollectorFault};
use crate::database::{self, DatabaseFault};
use crate::gateways::{Gateway, GatewayFault};
use crate::nemesis::{Step, merge, timeline};
use crate::network::Cut;

/// Events of a topic that the broker keeps when it drops the beginning of a partition, at most.
const KEPT: u64 = 900;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Gateway(usize, GatewayFault),
    KillBroker,
    PauseBroker,
    /// Commands of the broker's fault switches, to begin and to end it.
    Broker(String, &'static str),
    /// The broker drops the beginning of a partition (topic, partition), and keeps about this many events.
    Evict(usize, usize, u64),
    Collector(usize, CollectorFault),
    /// Fault of the server in which collectors store events.
    Database(DatabaseFault),
    /// A batch that nobody can read is put into a partition (topic, partition, kind of damage).
    Damage(usize, usize, &'static str),
    /// The broker is killed, a batch in its journal destroyed, and a new one started at the end.
    RuinJournal(u64),
    Attack(usize, Attack),
    Routes(usize, RoutesFault),
    /// This many clients at once.
    Storm(usize, usize),
    /// A gateway and another node are cut from each other.
    Cut(usize, Other, Cut),
    /// A gateway is cut off from everything.
    Link(usize),
    /// Servers and clients get another certificate.
    RenewCertificates,
    /// The producers and the broker are cut from each other.
    CutProducers(Cut),
}

/// A party that a gateway can be cut from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Other {
    Broker,
    Clients,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RoutesFault {
    HalfWritten(usize),
    Removed(usize),
    Stray,
    Renewed,
    Suspended(usize),
    /// The folder is moved away.
    Moved,
    /// Irregular files are in it.
    Odd,
}

/// Decides everything before anything happens; what can be done depends on how the harness was made.
pub(super) fn schedule(rng: &mut StdRng, length: Duration, harness: &Harness) -> Vec<Step<Fault>> {
    let clocks = harness.gateways.iter().all(Gateway::has_clock);
    let gateways = TOPICS.len() * GATEWAYS_PER_TOPIC;
    let mut lines = vec![];
    for gateway in 0..gateways {
        lines.push(timeline(rng, length, 2.0..7.0, |rng| {
            let (fault, lasts) = match rng.random_range(0..if clocks { 8 } else { 6 }) {
                0 | 1 => (GatewayFault::Kill, 0.1..2.0),
                2 | 3 => (GatewayFault::Terminate, 2.5..4.0),
                4 | 5 => (GatewayFault::Pause, 0.2..6.0),
                6 => (GatewayFault::Clock(rng.random_range(1..100_000)), 0.5..5.0),
                _ => (GatewayFault::Clock(-rng.random_range(1..100_000)), 0.5..5.0),
            };
            (Fault::Gateway(gateway, fault), lasts)
        }));
    }
    for collector in 0..TOPICS.len() * COLLECTORS {
        lines.push(timeline(rng, length, 0.5..6.0, |rng| {
            let faults = harness.collectors[collector].faults();
            let (fault, lasts) = faults[rng.random_range(0..faults.len())](rng);
            (Fault::Collector(collector, fault), lasts)
        }));
    }
    lines.push(timeline(rng, length, 2.0..6.0, |rng| {
        let fault = database::FAULTS[rng.random_range(0..database::FAULTS.len())];
        (Fault::Database(fault), 0.2..3.0)
    }));
    lines.push(timeline(rng, length, 2.0..6.0, |rng| {
        let attack = ATTACKS[rng.random_range(0..ATTACKS.len())];
        (
            Fault::Attack(rng.random_range(0..gateways), attack),
            1.0..6.0,
        )
    }));
    for topic in 0..TOPICS.len() {
        lines.push(timeline(rng, length, 1.0..5.0, |rng| {
            let number = rng.random_range(0..1000);
            let (fault, lasts) = match rng.random_range(0..8) {
                6 => (RoutesFault::Moved, 0.1..3.0),
                7 => (RoutesFault::Odd, 0.1..3.0),
                0 | 1 => (RoutesFault::HalfWritten(number), 0.1..3.0),
                2 => (RoutesFault::Removed(number), 0.1..3.0),
                3 => (RoutesFault::Stray, 0.1..3.0),
                4 => (RoutesFault::Renewed, 0.0..0.1),
                _ => (RoutesFault::Suspended(number), 0.1..2.0),
            };
            (Fault::Routes(topic, fault), lasts)
        }));
    }
    lines.push(timeline(rng, length, 4.0..9.0, |rng| {
        let gateway = rng.random_range(0..gateways);
        (Fault::Storm(gateway, rng.random_range(10..STORM)), 0.0..0.1)
    }));
    lines.push(timeline(rng, length, 4.0..12.0, |_| {
        (Fault::RenewCertificates, 0.0..0.1)
    }));
    if harness.network.is_own() {
        lines.extend(cuts(rng, length));
    }
    if harness.broker.is_some() {
        lines.push(timeline(rng, length, 0.5..4.0, broker_fault));
        for (topic, partitions) in TOPICS.into_iter().enumerate() {
            lines.push(timeline(rng, length, 1.0..6.0, |rng| {
                let partition = rng.random_range(0..partitions as usize);
                let kept = rng.random_range(0..KEPT / u64::from(partitions));
                (Fault::Evict(topic, partition, kept), 0.0..0.1)
            }));
            lines.push(timeline(rng, length, 3.0..12.0, |rng| {
                let partition = rng.random_range(0..partitions as usize);
                let kinds = BatchDamage::ALL;
                let kind = kinds[rng.random_range(0..kinds.len())].as_str();
                (Fault::Damage(topic, partition, kind), 0.0..0.1)
            }));
        }
    }
    merge(lines)
}

/// Cuts end some time before the others: a connection that was silent for long takes long to notice that it is whole.
fn cuts(rng: &mut StdRng, length: Duration) -> Vec<Vec<Step<Fault>>> {
    let length = length.mul_f64(0.9);
    let mut lines = vec![];
    for gateway in 0..TOPICS.len() * GATEWAYS_PER_TOPIC {
        lines.push(timeline(rng, length, 3.0..10.0, |rng| {
            let other = if rng.random_bool(0.5) {
                Other::Broker
            } else {
                Other::Clients
            };
            let fault = match rng.random_range(0..5) {
                0 => Fault::Link(gateway),
                _ => Fault::Cut(gateway, other, cut(rng)),
            };
            (fault, 0.2..5.0)
        }));
    }
    lines.push(timeline(rng, length, 5.0..12.0, |rng| {
        (Fault::CutProducers(cut(rng)), 0.2..3.0)
    }));
    lines
}

fn cut(rng: &mut StdRng) -> Cut {
    [Cut::Both, Cut::To, Cut::From][rng.random_range(0..3)]
}

fn broker_fault(rng: &mut StdRng) -> (Fault, std::ops::Range<f64>) {
    let role = if rng.random_bool(0.7) {
        "unit"
    } else {
        "controller"
    };
    let few = rng.random_range(1..6);
    let switch = |on: String, off| Fault::Broker(on, off);
    match rng.random_range(0..15) {
        14 => (Fault::RuinJournal(rng.random()), 0.1..3.0),
        0 | 1 => (Fault::KillBroker, 0.1..3.0),
        2 => (Fault::PauseBroker, 0.2..4.0),
        3 | 4 => (switch(format!("drop {role}"), ""), 0.0..0.1),
        5 if role == "unit" => (switch("down unit".to_owned(), "up unit"), 0.2..3.0),
        5 => (
            switch("down controller".to_owned(), "up controller"),
            0.2..3.0,
        ),
        6 => (switch("silent on".to_owned(), "silent off"), 0.2..5.0),
        7 => (
            switch(format!("delay {}", rng.random_range(20..600)), "delay 0"),
            0.5..4.0,
        ),
        8 => (switch(format!("tear {few}"), "tear 0"), 0.5..3.0),
        9 => (switch(format!("refuse {few}"), "refuse 0"), 0.2..1.0),
        10 => (switch(format!("lose-acks {few}"), "lose-acks 0"), 0.2..1.0),
        11 => (
            switch("hold-reports on".to_owned(), "hold-reports off"),
            0.5..5.0,
        ),
        12 => (switch("disown on".to_owned(), "disown off"), 0.2..2.0),
        _ => (switch("hold-hw on".to_owned(), "hold-hw off"), 0.2..4.0),
    }
}

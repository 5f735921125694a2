//! Schedule of the faults of the control plane.

use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::StdRng;

use super::meddling::{Meddling, REFUSED};
use super::{CHURN, EDITED, GATEWAYS, OPERATORS, STABLE};
use crate::api_proxy::Mode;
use crate::gateways::GatewayFault;
use crate::nemesis::{Step, merge, timeline};
use crate::network::Cut;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Mode of the proxy of this program, operators first.
    Api(usize, Mode),
    KillOperator(usize),
    PauseOperator(usize),
    /// The clock of an operator is set ahead (or back) by this many seconds, and right at the end.
    OperatorClock(usize, i64),
    /// Administrators, quotas, policies and later versions.
    Meddle(Meddling),
    /// The Secret of a subscription that comes and goes is deleted: a new key is made.
    Rekey(usize),
    /// The same, after it was immutable for a while.
    Freeze(usize),
    Gateway(usize, GatewayFault),
    /// A gateway and something else are cut from each other.
    Cut(usize, Other, Cut),
    /// A gateway is cut off from everything.
    Link(usize),
    RestartApiServer,
    /// A subscription that comes or changes, is suspended, or goes.
    Change(usize, u8, bool),
    Delete(usize),
    Edit(u8),
}

/// A party that a gateway can be cut from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Other {
    Api,
    Clients,
    Broker,
    Gateway(usize),
}

/// Decides everything before anything starts. `clocks` can be set, the network be cut, or not.
pub(super) fn schedule(
    rng: &mut StdRng,
    length: Duration,
    (clocks, cuts): (bool, bool),
) -> Vec<Step<Fault>> {
    let mut lines = vec![];
    for program in 0..OPERATORS + GATEWAYS {
        lines.push(timeline(rng, length, 1.0..6.0, |rng| {
            let (mode, lasts) = match rng.random_range(0..10) {
                0 => (Mode::Status(500), 0.5..4.0),
                1 => (Mode::Status(503), 0.5..4.0),
                2 => (Mode::Status(429), 0.5..4.0),
                3 | 4 => (Mode::Gone, 0.2..3.0),
                5 => (Mode::Stall, 0.5..8.0),
                6 => (Mode::Cut, 0.1..4.0),
                7 => (Mode::Conflict, 0.5..4.0),
                8 => (Mode::LoseAnswers, 0.2..3.0),
                _ => (Mode::Delay(rng.random_range(50..1500)), 1.0..5.0),
            };
            (Fault::Api(program, mode), lasts)
        }));
    }
    for operator in 0..OPERATORS {
        lines.push(timeline(rng, length, 6.0..14.0, |rng| {
            match rng.random_range(0..if clocks { 7 } else { 5 }) {
                0..3 => (Fault::KillOperator(operator), 0.2..3.0),
                3 | 4 => (Fault::PauseOperator(operator), 0.5..8.0),
                _ => {
                    let seconds = rng.random_range(-90_000..90_000);
                    (Fault::OperatorClock(operator, seconds), 0.5..8.0)
                }
            }
        }));
    }
    for _ in 0..2 {
        lines.push(timeline(rng, length, 1.0..5.0, |rng| {
            (Fault::Meddle(meddling(rng)), 0.5..5.0)
        }));
    }
    lines.push(timeline(rng, length, 2.0..8.0, |rng| {
        let subscription = rng.random_range(0..CHURN);
        if rng.random_bool(0.5) {
            (Fault::Rekey(subscription), 0.0..0.01)
        } else {
            (Fault::Freeze(subscription), 0.5..4.0)
        }
    }));
    for gateway in 0..GATEWAYS {
        lines.push(timeline(rng, length, 5.0..12.0, |rng| {
            let (fault, lasts) = match rng.random_range(0..if clocks { 4 } else { 3 }) {
                0 => (GatewayFault::Kill, 0.2..2.0),
                1 => (GatewayFault::Terminate, 2.5..4.0),
                2 => (GatewayFault::Pause, 0.2..5.0),
                _ => (
                    GatewayFault::Clock(rng.random_range(-90_000..90_000)),
                    0.5..6.0,
                ),
            };
            (Fault::Gateway(gateway, fault), lasts)
        }));
        if cuts {
            // They end some time before the others: a connection that was silent for long takes long to notice that it is
            // whole.
            let length = length.mul_f64(0.9);
            lines.push(timeline(rng, length, 3.0..9.0, |rng| {
                (network_fault(rng, gateway), 0.3..6.0)
            }));
        }
    }
    for subscription in 0..CHURN {
        lines.push(timeline(rng, length, 1.0..6.0, |rng| {
            let fault = match rng.random_range(0..4) {
                0 => Fault::Delete(subscription),
                _ => Fault::Change(
                    subscription,
                    rng.random_range(1..=255),
                    rng.random_bool(0.2),
                ),
            };
            (fault, 0.0..0.01)
        }));
    }
    lines.push(timeline(rng, length, 2.0..6.0, |rng| {
        let devices = EDITED.1 | (rng.random_range(0..=255) & EDITED.2);
        (Fault::Edit(devices), 0.0..0.01)
    }));
    let middle = length.mul_f64(0.4).as_secs_f64();
    lines.push(timeline(rng, length, middle..middle + 1.0, |_| {
        (Fault::RestartApiServer, 0.2..2.0)
    }));
    merge(lines)
}

fn meddling(rng: &mut StdRng) -> Meddling {
    let refused = REFUSED[rng.random_range(0..REFUSED.len())];
    let number = rng.random_range(0..1000);
    match rng.random_range(0..9) {
        8 => Meddling::DeleteRoutes(number),
        0 => Meddling::Quota(false),
        1 => Meddling::Quota(true),
        2 | 3 => Meddling::Policy(refused),
        4 | 5 => Meddling::Webhook(refused),
        6 => Meddling::Garbage,
        _ if number < 500 => Meddling::Later,
        _ => Meddling::Status(number % STABLE.len()),
    }
}

fn network_fault(rng: &mut StdRng, gateway: usize) -> Fault {
    let other = match rng.random_range(0..7) {
        0 => return Fault::Link(gateway),
        1 | 2 => Other::Api,
        3 => Other::Clients,
        4 => Other::Broker,
        _ => Other::Gateway((gateway + rng.random_range(1..GATEWAYS)) % GATEWAYS),
    };
    let cut = [Cut::Both, Cut::To, Cut::From][rng.random_range(0..3)];
    Fault::Cut(gateway, other, cut)
}

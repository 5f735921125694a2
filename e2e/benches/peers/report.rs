//! The table for people.

use crate::figures::{
    CPU, CPU_SYSTEM, CPU_USER, Figure, HANDSHAKE, IDLE, LOAD_BUSY, P50, P99, P999, RATE,
    SERVER_BUSY, spread,
};
use crate::load::Load;
use crate::record::Record;
use crate::servers::{Kind, better_peer};
use crate::{CONNECTIONS, bar};

/// Share of a rate below which it was not kept up.
const KEPT_UP: f64 = 0.97;

/// Prints a record.
#[allow(clippy::print_stdout)]
pub(crate) fn print(record: &Record) {
    let figures = &record.figures;
    println!(
        "{} connections, {}-byte events; median of {} rounds (least to most)",
        record.setup.connections, record.setup.event_bytes, record.setup.rounds
    );
    let get = |server: Kind, load: Option<Load>, figure| {
        figures.get(server.name(), load.map(Load::name), figure)
    };
    for load in Load::EACH {
        let measured = Kind::EACH.map(|kind| get(kind, Some(load), CPU));
        if measured.iter().all(Option::is_none) {
            continue;
        }
        println!("{}", load.title());
        println!(
            "  {:<12}{:<22}{:>6}{:>8}{:>8}{:>9}  {:<26}{:<26}{:<26}{:>12}{:>8}{:>6}",
            "",
            "CPU s per million",
            "user",
            "system",
            "to raw",
            "to peer",
            "p50, ms",
            "p99, ms",
            "p99.9, ms",
            "deliveries/s",
            "server",
            "load"
        );
        for kind in Kind::EACH {
            let get = |figure| get(kind, Some(load), figure);
            let Some(cpu) = get(CPU) else { continue };
            let of = |figure| get(figure).map_or(f64::NAN, |figure| figure.median);
            let ratio = |other: Option<&Figure>| {
                other.map_or_else(
                    || "-".to_owned(),
                    |other| format!("{:.2}", cpu.ratio_to(other)),
                )
            };
            let to_raw = ratio(figures.get(Kind::Raw.name(), Some(load.name()), CPU));
            let to_peer = ratio(better_peer(figures, load, CPU));
            let rate = of(RATE);
            println!(
                "  {:<12}{:<22}{:>6.2}{:>8.2}{to_raw:>8}{to_peer:>9}  {:<26}{:<26}{:<26}{rate:>12.0}{:>7.0}%{:>5.0}%{}",
                kind.name(),
                spread(Some(cpu)),
                of(CPU_USER),
                of(CPU_SYSTEM),
                spread(get(P50)),
                spread(get(P99)),
                spread(get(P999)),
                of(SERVER_BUSY) * 100.0,
                of(LOAD_BUSY) * 100.0,
                if load
                    .pattern()
                    .rate(CONNECTIONS)
                    .is_some_and(|asked| rate < asked * KEPT_UP)
                {
                    "  does not keep up"
                } else {
                    ""
                },
            );
        }
    }
    println!(
        "  {:<12}{:<26}{:<26}",
        "", "KiB/idle connection", "CPU ms/handshake"
    );
    for kind in Kind::EACH {
        if let Some(idle) = get(kind, None, IDLE) {
            let handshake = spread(get(kind, None, HANDSHAKE));
            println!(
                "  {:<12}{:<26}{handshake:<26}",
                kind.name(),
                spread(Some(idle))
            );
        }
    }
    println!(
        "(the broker is part of the gateway's latency; \"server\" and \"load\": share of its core that each has used)"
    );
    if let Some(line) = figures.distances() {
        println!("{line}");
    }
    bar::print(&record.bars);
}

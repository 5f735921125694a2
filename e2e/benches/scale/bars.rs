//! The bars that the gateway has to keep.

use crate::bar::Bar;
use crate::figures::{CPU, Figure, Figures, IDLE, P99, RATE};
use crate::{changes, handshakes, partitions, streams};

/// The bars of those figures that were measured.
pub(crate) fn bars(figures: &Figures) -> Vec<Bar> {
    let mut bars = vec![];
    of_streams(figures, &mut bars);
    of_handshakes(figures, &mut bars);
    of_cores(figures, &mut bars);
    of_changes(figures, &mut bars);
    bars
}

fn of_streams(figures: &Figures, bars: &mut Vec<Bar>) {
    let [few, .., many] = streams::NUMBERS;
    for (server, most) in streams::SERVERS.into_iter().zip([4.0, 14.0]) {
        let get = |streams, figure| figures.get(server, Some(&streams::load(streams)), figure);
        let load = streams::load(many);
        if let (Some(of_many), Some(of_few)) = (get(many, IDLE), get(few, IDLE)) {
            let name = format!("KiB a stream, {server}, to {few}");
            bars.push(Bar::at_most(&load, name, of_many.ratio_to(of_few), 1.1));
        }
        // What a write costs the kernel grows with the number of sockets, for the raw loop as well.
        let to_floor = |streams: usize| {
            let floor = figures.get(streams::FLOOR, Some(&streams::load(streams)), CPU)?;
            Some(get(streams, CPU)?.ratio_to(floor))
        };
        if let (Some(of_many), Some(of_few)) = (to_floor(many), to_floor(few)) {
            let name = format!("CPU a delivery to raw, {server}, to {few}");
            bars.push(Bar::at_most(&load, name, of_many / of_few, 1.15));
        }
        for streams in streams::NUMBERS {
            if let Some(idle) = get(streams, IDLE) {
                let name = format!("KiB a stream, {server}");
                bars.push(Bar::at_most(
                    &streams::load(streams),
                    name,
                    idle.median,
                    most,
                ));
            }
        }
    }
}

fn of_handshakes(figures: &Figures, bars: &mut Vec<Bar>) {
    for rate in handshakes::RATES {
        let load = handshakes::load(rate);
        let get = |figure| figures.get(handshakes::SERVER, Some(&load), figure);
        for (name, figure) in [
            ("open streams closed", handshakes::CLOSED),
            ("deliveries missing", handshakes::WRONG),
        ] {
            if let Some(figure) = get(figure) {
                bars.push(Bar::at_most(&load, name.to_owned(), figure.max, 0.0));
            }
        }
        if rate == 10_000
            && let Some(reached) = get(handshakes::REACHED)
        {
            let name = "handshakes/s".to_owned();
            // What is left out is the rounding of the last answers' time.
            bars.push(Bar::at_least(
                &load,
                name,
                reached.median,
                0.99 * rate as f64,
            ));
        }
    }
}

fn of_cores(figures: &Figures, bars: &mut Vec<Bar>) {
    for load in partitions::loads() {
        let [one, two] = partitions::SERVERS.map(|name| figures.get(name, Some(&load), RATE));
        if let Some((one, two)) = one.zip(two)
            && partitions::used_up(figures, &load)
        {
            let scaling = Figure::ratio_to(two, one);
            let name = "deliveries/s, two cores to one".to_owned();
            bars.push(Bar::at_least(&load, name, scaling, 1.8));
        }
    }
}

fn of_changes(figures: &Figures, bars: &mut Vec<Bar>) {
    let [without, with] = changes::LOADS;
    let get = |load| figures.get(changes::SERVER, Some(load), P99);
    if let (Some(without), Some(p99)) = (get(without), get(with)) {
        let name = "p99, to that without changes".to_owned();
        bars.push(Bar::at_most(with, name, p99.ratio_to(without), 2.0));
    }
    if let Some(reached) = figures.get(changes::SERVER, Some(with), changes::CHANGED) {
        let name = "changed routes/s".to_owned();
        bars.push(Bar::at_least(with, name, reached.median, 1_000.0));
    }
}

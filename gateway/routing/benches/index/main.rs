//! Benchmark of the filter index: what an event, a change and a subscription cost, by the number of subscriptions, and with filters
//! that are made to do harm.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod filters;
mod worst;

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datastream_routing::{FilterIndex, Matches, Route, RouteTable};
use filters::{KINDS, Kind, MATCHING, Values};
use peak_alloc::PeakAlloc;
use worst::HARMS;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// Numbers of streams whose filters are filed, of as many subscriptions.
const SIZES: [usize; 4] = [100, 10_000, 100_000, 1_000_000];
const MOST: usize = SIZES[SIZES.len() - 1];
/// Streams of a full gateway: filters of subscriptions without a stream are not filed.
const FULL: usize = 10_000;
/// Events that are made before they are routed.
const EVENTS: usize = 20_000;
const RUN: Duration = Duration::from_millis(200);
/// Rounds, of which the median counts.
const ROUNDS: usize = 5;
/// Changes that are timed.
const CHANGES: usize = 10_000;

/// The most that an event may cost at a full gateway with the most subscriptions, in times of what it costs with the fewest.
const GROWTH: f64 = 3.0;
/// Bytes of memory of a stream in table and index, beside its route.
const MEMORY: f64 = 250.0;
/// Microseconds in which the filters of one stream are filed anew, which is the pause of the fan-out.
const PAUSE: f64 = 100.0;
/// The most that filters of a whole budget may cost an event, in times of what those cost that the budget is counted in.
const HARM: f64 = 60.0;
/// Megabytes of the index with such filters.
const HARM_MEMORY: f64 = 160.0;
/// Milliseconds in which those of one stream are filed anew.
const HARM_PAUSE: f64 = 20.0;

/// The figures of one kind of filters.
struct Figures {
    /// Nanoseconds of an event, by number of streams.
    events: [f64; SIZES.len()],
    /// The same at a full gateway with the most subscriptions.
    full: f64,
    /// Bytes of a subscription, of the most.
    memory: f64,
    /// Microseconds of a change among the most subscriptions, the 99th percentile.
    change: f64,
}

impl Figures {
    fn measure(kind: &Kind) -> Self {
        let (mut full, mut memory, mut change) = (0.0, 0.0, 0.0);
        let events = SIZES.map(|size| {
            let routes: Vec<_> = (0..size).map(|n| Arc::new(kind.route(n, size))).collect();
            let before = ALLOCATED.current_usage();
            let table = RouteTable::from_routes(routes.iter().cloned());
            let mut index = filed(&routes);
            memory = (ALLOCATED.current_usage() - before) as f64 / size as f64;
            let cost = event_cost(&index, kind, (size, size));
            if size == MOST {
                full = event_cost(&filed(&routes[..FULL]), kind, (FULL, size));
            }
            change = change_cost(&mut index, kind, &routes);
            black_box(table);
            cost
        });
        Self {
            events,
            full,
            memory,
            change,
        }
    }

    fn growth(&self) -> f64 {
        self.full / self.events[0]
    }
}

/// The index of streams with these routes.
fn filed(routes: &[Arc<Route>]) -> FilterIndex {
    let mut index = FilterIndex::default();
    for (place, route) in (0..).zip(routes) {
        index.insert(place, route);
    }
    index
}

/// Nanoseconds of an event, with so many streams of so many subscriptions.
fn event_cost(index: &FilterIndex, kind: &Kind, (streams, subscriptions): (usize, usize)) -> f64 {
    let [wanted, groups] = [streams, subscriptions].map(|number| number / MATCHING);
    let events = (0..EVENTS).map(|number| kind.values(number * 7919 % wanted, groups));
    let events: Vec<Values> = events.collect();
    lookup_cost(index, &events, MATCHING)
}

/// Nanoseconds of one of these events, each of which at least so many streams want.
fn lookup_cost(index: &FilterIndex, events: &[Values], wanting: usize) -> f64 {
    let mut matches = Matches::default();
    let mut round = || {
        for event in events {
            index.matches(&event.fields(), &mut matches);
            // A short text may stand in a value by chance, too.
            assert!(black_box(&matches).as_slice().len() >= wanting);
        }
    };
    round();
    let costs = (0..ROUNDS).map(|_| {
        let (start, mut rounds) = (Instant::now(), 0_u32);
        while start.elapsed() < RUN {
            round();
            rounds += 1;
        }
        start.elapsed().as_nanos() as f64 / (f64::from(rounds) * events.len() as f64)
    });
    percentile(costs.collect(), 50)
}

/// Microseconds in which the filters of a stream are filed anew.
fn change_cost(index: &mut FilterIndex, kind: &Kind, routes: &[Arc<Route>]) -> f64 {
    let costs = (0..CHANGES.min(routes.len())).map(|number| {
        let place = number * 7919 % routes.len();
        let other = kind.route(routes.len() + number, routes.len());
        let start = Instant::now();
        index.remove(place as u32, &routes[place]);
        index.insert(place as u32, &other);
        let took = start.elapsed().as_secs_f64() * 1e6;
        index.remove(place as u32, &other);
        index.insert(place as u32, &routes[place]);
        took
    });
    percentile(costs.collect(), 99)
}

fn percentile(mut values: Vec<f64>, percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(values.len() - 1) * percent / 100]
}

/// Prints what an event costs that filters of a whole budget are made against, and returns how many of the bars are missed.
fn measure_harms() -> usize {
    println!(
        "filters of the whole budget of a namespace, made to cost events that no stream wants: us an event, how much more that is than\n\
         with patterns that have text in several places (bar: at most {HARM}), MB of the index (at most {HARM_MEMORY}), and ms to file the\n\
         filters of one stream anew, the 99th percentile (at most {HARM_PAUSE})"
    );
    println!("  {:<28}streams      us   times      MB  change", "");
    let (mut missed, mut first) = (0, None);
    for harm in &HARMS {
        let routes = harm.routes();
        let before = ALLOCATED.current_usage();
        let mut index = filed(&routes);
        let memory = (ALLOCATED.current_usage() - before) as f64 / 1e6;
        let micros = lookup_cost(&index, &[harm.event()], 0) / 1e3;
        let times = micros / *first.get_or_insert(micros);
        let again = routes.iter().enumerate().map(|(place, route)| {
            let start = Instant::now();
            index.remove(place as u32, route);
            index.insert(place as u32, route);
            start.elapsed().as_secs_f64() * 1e3
        });
        let change = percentile(again.collect(), 99);
        let is_met = times <= HARM && memory <= HARM_MEMORY && change <= HARM_PAUSE;
        missed += usize::from(!is_met);
        let verdict = if is_met { "PASS" } else { "MISS" };
        let (name, streams) = (harm.name, routes.len());
        println!(
            "  {name:<28}{streams:>7}{micros:>8.2}{times:>8.2}{memory:>8.1}{change:>8.2}  {verdict}"
        );
    }
    missed
}

fn main() -> ExitCode {
    println!(
        "filter index: ns an event that {MATCHING} streams want, the median of {ROUNDS} rounds, by number of streams, of as many\n\
         subscriptions; and with {FULL} streams of {MOST} subscriptions, and how much more that is than with the fewest of both\n\
         (bar: at most {GROWTH}); with the most streams, bytes of one in table and index, beside its route (at most {MEMORY}), and us to\n\
         file the filters of one anew, the 99th percentile (at most {PAUSE})"
    );
    let sizes = SIZES.map(|size| format!("{size:>10}")).concat();
    println!("  {:<20}{sizes}      full  growth  memory  change", "");
    let mut missed = 0;
    for kind in &KINDS {
        let figures = Figures::measure(kind);
        let (full, growth) = (figures.full, figures.growth());
        let (memory, change) = (figures.memory, figures.change);
        let is_met = growth <= GROWTH && memory <= MEMORY && change <= PAUSE;
        missed += usize::from(!is_met);
        let events = figures.events.map(|cost| format!("{cost:>10.0}")).concat();
        let verdict = if is_met { "PASS" } else { "MISS" };
        println!(
            "  {:<20}{events}{full:>10.0}  {growth:>6.2}  {memory:>6.0}  {change:>6.1}  {verdict}",
            kind.name
        );
    }
    missed += measure_harms();
    if missed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

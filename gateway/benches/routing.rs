//! Benchmark of decoding and routing on one core, in records per second: 10,000 subscriptions, of which 10 want each record.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use bytes::Bytes;
use datastream_gateway::event::Event;
use datastream_routing::{Field, Filter, KeyHash, Matches, Route, RouteTable, SubscriptionId};

const SUBSCRIPTIONS: usize = 10_000;
const MATCHING: usize = 10;
const RECORDS: usize = 10_000;
const RUN: Duration = Duration::from_secs(3);
/// Records per second and core.
const BAR: f64 = 200_000.0;
/// Patterns of a greedy subscription, about as many as it may have.
const PATTERNS: usize = 1_750;
/// The part of the rate that must be left beside greedy subscriptions.
const GREEDY_BAR: f64 = 0.5;

/// Every ten subscriptions share a device.
fn route(number: usize) -> Route {
    let name = format!("s{number}");
    let dsn = dsn(number / MATCHING);
    let key = KeyHash::of(&name);
    Route {
        filters: vec![Filter::default().with(Field::Dsn, [dsn.as_str().into()])],
        ..Route::new(SubscriptionId::new("bench", name), key)
    }
}

fn dsn(number: usize) -> String {
    format!("AC000W{number:09}")
}

/// An event of about 450 bytes, as devices send them.
fn record(number: usize) -> Bytes {
    let dsn = dsn(number * 7919 % (SUBSCRIPTIONS / MATCHING));
    let text = format!(
        concat!(
            r#"{{"metadata":{{"oem_id":"0dfc7900","oem_model":"ledevb","dsn":"{}","property_name":"Blue_LED","#,
            r#""display_name":"Blue LED of the kitchen","base_type":"boolean","resource_tags":["kitchen","ground floor"],"#,
            r#""event_type":"datapoint"}},"datapoint":{{"id":"5b1c2d9e-8f4a-11ee-b9d1-0242ac120002","#,
            r#""created_at_from_device":"2026-11-24T06:14:44Z","updated_at":"2026-11-24T06:14:44Z","#,
            r#""created_at":"2026-11-24T06:14:44Z","echo":false,"closed":false,"value":{},"metadata":{{"key1":"value1"}}}}}}"#
        ),
        dsn, number
    );
    text.into()
}

/// A subscription whose filters match nothing, with as many patterns as its size allows: texts that stand in every DSN, and then
/// one that stands in none.
fn greedy(number: usize) -> Route {
    let frames = |n: usize| char::from(b'a' + (n % 26) as u8);
    let pattern = |n: usize| {
        let zeros = "*0".repeat(1 + n / 676 % 6);
        format!(
            "{zeros}*{}{}*",
            frames(n),
            frames(n / 26).to_ascii_uppercase()
        )
    };
    let dsns = (0..PATTERNS).map(|n| pattern(n + number * 13).as_str().into());
    Route {
        filters: vec![Filter::default().with(Field::Dsn, dsns)],
        ..route(SUBSCRIPTIONS + number)
    }
}

/// Records decoded and routed a second.
fn rate(table: &RouteTable, records: &[Bytes]) -> f64 {
    let mut matches = Matches::default();
    let mut round = || -> usize {
        let mut found = 0;
        for (offset, record) in (0..).zip(records) {
            let event = Event::decode(offset, 0, record.clone(), usize::MAX).unwrap();
            table.matches(&event.fields(), &mut matches);
            found += matches.as_slice().len();
        }
        found
    };
    assert_eq!(round(), RECORDS * MATCHING);
    let start = Instant::now();
    let mut rounds = 0_u32;
    while start.elapsed() < RUN {
        round();
        rounds += 1;
    }
    f64::from(rounds) * records.len() as f64 / start.elapsed().as_secs_f64()
}

fn main() -> ExitCode {
    let records: Vec<_> = (0..RECORDS).map(record).collect();
    let routes = || (0..SUBSCRIPTIONS).map(route);
    let plain = rate(&RouteTable::from_routes(routes()), &records);
    println!(
        "decode and route, {SUBSCRIPTIONS} subscriptions, {MATCHING} match, {}-byte records",
        records[0].len()
    );
    let mut pass = plain >= BAR;
    println!(
        "  records/s on one core       {plain:>14.0}   (bar: at least {BAR:.0})  {}",
        verdict(plain >= BAR)
    );
    for subscriptions in [1, 10, 50] {
        let table = RouteTable::from_routes(routes().chain((0..subscriptions).map(greedy)));
        let ratio = rate(&table, &records) / plain;
        pass &= ratio >= GREEDY_BAR;
        println!(
            "  beside {subscriptions:>3} subscriptions with {PATTERNS} patterns that match nothing {ratio:>6.2} of that   (bar: at least {GREEDY_BAR})  {}",
            verdict(ratio >= GREEDY_BAR)
        );
    }
    if pass {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

const fn verdict(pass: bool) -> &'static str {
    if pass { "PASS" } else { "MISS" }
}

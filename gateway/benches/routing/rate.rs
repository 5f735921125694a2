//! Records decoded and routed a second, of which ten of 10,000 subscriptions want each.

use std::time::{Duration, Instant};

use bytes::Bytes;
use datastream_gateway::event::Event;
use datastream_routing::{Field, Filter, FilterIndex, KeyHash, Matches, Route, SubscriptionId};

use crate::Verdict;

const SUBSCRIPTIONS: usize = 10_000;
const MATCHING: usize = 10;
const RECORDS: usize = 10_000;
const RUN: Duration = Duration::from_secs(3);
/// Records per second and core.
const BAR: f64 = 200_000.0;
/// Patterns of a subscription, about as many as its size allows.
const PATTERNS: usize = 1_750;
/// Patterns that a namespace may have, of those that are checked.
const CHECKED: usize = 256;
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

/// A subscription with as many patterns as its size allows, which match nothing: texts of every length.
fn looked_up(number: usize) -> Route {
    let text = |length: usize, n: usize| format!("{n:0length$}Q");
    let patterns = (0..PATTERNS).map(|n| match n % 3 {
        0 => format!("{}*", text(1 + n % 60, n + number)),
        1 => format!("*{}", text(1 + n % 60, n + number)),
        _ => format!("*{}*", text(1 + n % 20, n + number)),
    });
    with_patterns(number, patterns)
}

/// A subscription whose patterns are all checked for every DSN, and match none: letters that stand there, and at last in another order.
fn checked(number: usize) -> Route {
    let letter = |n: usize| ["A", "C", "0", "W"][n % 4];
    let patterns = (0..CHECKED).map(|n| {
        let letters = [n, n / 4, n / 16, n / 64].map(letter).join("*");
        format!("*{letters}*W*A*")
    });
    with_patterns(number, patterns)
}

fn with_patterns(number: usize, patterns: impl Iterator<Item = String>) -> Route {
    let dsns = patterns.map(|pattern| pattern.as_str().into());
    Route {
        filters: vec![Filter::default().with(Field::Dsn, dsns)],
        ..route(SUBSCRIPTIONS + number)
    }
}

/// Records decoded and routed a second.
fn rate(routes: impl Iterator<Item = Route>, records: &[Bytes]) -> f64 {
    let mut index = FilterIndex::default();
    for (place, route) in (0..).zip(routes) {
        index.insert(place, &route);
    }
    let mut matches = Matches::default();
    let mut round = || -> usize {
        let mut found = 0;
        for (offset, record) in (0..).zip(records) {
            let event = Event::decode(offset, 0, record.clone(), usize::MAX).unwrap();
            index.matches(&event.fields(), &mut matches);
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

/// Prints the rates.
pub(crate) fn run(verdict: &mut Verdict) {
    let records: Vec<_> = (0..RECORDS).map(record).collect();
    let routes = || (0..SUBSCRIPTIONS).map(route);
    let plain = rate(routes(), &records);
    println!(
        "decode and route, {SUBSCRIPTIONS} subscriptions, {MATCHING} match, {}-byte records",
        records[0].len()
    );
    verdict.at_least(
        &format!("records/s on one core       {plain:>14.0}"),
        plain,
        BAR,
    );
    for subscriptions in [1, 50] {
        let greedy = (0..subscriptions).map(looked_up);
        let beside = rate(routes().chain(greedy), &records);
        let what = format!("beside {subscriptions:>2} with {PATTERNS} patterns   {beside:>14.0}");
        verdict.at_least(&what, beside, BAR);
    }
    let beside = rate(routes().chain([checked(0)]), &records);
    let each = (1e9 / beside - 1e9 / plain) / CHECKED as f64;
    println!(
        "  beside {CHECKED} patterns that are checked in vain: {each:.0} ns a pattern and record"
    );
}

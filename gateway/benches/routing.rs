//! How many records a second one core decodes and routes: 10,000 subscriptions, of which 10 want each record.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use bytes::Bytes;
use datastream_gateway::event::Event;
use datastream_routing::{
    EventType, Filter, Heartbeat, KeyHash, Matches, Resume, Route, RouteTable, SubscriptionId,
};

const SUBSCRIPTIONS: usize = 10_000;
const MATCHING: usize = 10;
const RECORDS: usize = 10_000;
const RUN: Duration = Duration::from_secs(3);
/// Records per second and core.
const BAR: f64 = 200_000.0;

/// Every ten subscriptions share a device.
fn route(number: usize) -> Route {
    let name = format!("s{number}");
    let dsn = dsn(number / MATCHING);
    Route {
        key_sha256: KeyHash::of(&name),
        id: SubscriptionId::new("bench", name),
        uid: "1".to_owned(),
        generation: 1,
        suspended: false,
        event_types: EventType::ALL.into_iter().collect(),
        filters: vec![Filter {
            dsns: vec![dsn.as_str().into()],
            ..Filter::default()
        }],
        heartbeat: Heartbeat::default(),
        resume: Resume::Latest,
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

fn main() -> ExitCode {
    let table = RouteTable::from_routes((0..SUBSCRIPTIONS).map(route));
    let records: Vec<_> = (0..RECORDS).map(record).collect();
    let mut matches = Matches::default();
    let mut round = || -> usize {
        let mut found = 0;
        for (offset, record) in (0..).zip(&records) {
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
    let rate = f64::from(rounds) * RECORDS as f64 / start.elapsed().as_secs_f64();
    let verdict = if rate >= BAR { "PASS" } else { "MISS" };
    println!(
        "decode and route, {SUBSCRIPTIONS} subscriptions, {MATCHING} match, {}-byte records",
        records[0].len()
    );
    println!("  records/s on one core     {rate:>12.0}   (bar: at least {BAR:.0})  {verdict}");
    if rate < BAR {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

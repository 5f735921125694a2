//! Numbered events: how they are published, and whether all of them have come.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::RangeInclusive;

use serde_json::Value;

/// Devices that send them, in turn: more than there are partitions.
const DEVICES: u64 = 7;

/// Lines of events with these numbers, with so many more bytes in each.
pub(crate) fn lines(numbers: RangeInclusive<u64>, padding: usize) -> String {
    let padding = "x".repeat(padding);
    let mut lines = String::new();
    for number in numbers {
        let device = number % DEVICES;
        let _ = writeln!(
            lines,
            r#"{{"metadata":{{"event_type":"datapoint","dsn":"AC{device}","property_name":"n"}},"datapoint":{{"value":{number},"padding":"{padding}"}}}}"#
        );
    }
    lines
}

/// The device and the number of an event that a client printed.
fn parsed(line: &str) -> (String, u64) {
    let event: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    let device = event["metadata"]["dsn"].as_str().expect("a device");
    let number = event["datapoint"]["value"].as_u64().expect("a number");
    (device.to_owned(), number)
}

/// The numbers of events that a client printed.
fn numbers(lines: &[String]) -> Vec<u64> {
    lines.iter().map(|line| parsed(line).1).collect()
}

/// Fails unless these are exactly the events with these numbers, in order.
pub(crate) fn assert_all(who: &str, lines: &[String], expected: RangeInclusive<u64>) {
    let found = numbers(lines);
    let wrong = found.iter().zip(expected.clone()).find(|(a, b)| **a != *b);
    assert_eq!(wrong, None, "{who}: an event is not the one that follows");
    assert_eq!(found.len(), expected.count(), "{who}: the number of events");
}

/// Fails unless these are exactly the events with these numbers, those of each device in order.
pub(crate) fn assert_all_of_each_device(
    who: &str,
    lines: &[String],
    expected: RangeInclusive<u64>,
) {
    let mut devices: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for line in lines {
        let (device, number) = parsed(line);
        devices.entry(device).or_default().push(number);
    }
    for (device, found) in &devices {
        let grows = found.windows(2).all(|pair| pair[0] < pair[1]);
        assert!(
            grows,
            "{who}: twice or out of order, of {device}: {found:?}"
        );
    }
    let mut all = numbers(lines);
    all.sort_unstable();
    assert_eq!(all, expected.collect::<Vec<_>>(), "{who}");
}

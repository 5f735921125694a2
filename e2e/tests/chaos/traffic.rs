//! Numbered events, and which of them the broker has acknowledged.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use datastream_cli::FluvioTarget;
use datastream_cli::producer::{self, Producer};
use rand::RngExt as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::checker::{Log, Record};
use crate::phase::Phase;

/// How many devices there are.
pub(crate) const DEVICES: u8 = 8;
/// Every so many records are no events: gateways must skip them, and their offsets.
const JUNK_EVERY: u64 = 97;
const MAX_PADDING: u64 = 1200;

/// The events of one topic.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    /// The next number. Stored before the event is sent.
    next: AtomicU64,
    /// By number, whether the broker has said that it has the event.
    acknowledged: Mutex<Vec<bool>>,
    refused: AtomicU64,
}

/// The device of an event.
pub(crate) fn device(number: u64) -> Option<u8> {
    (number % JUNK_EVERY != JUNK_EVERY - 1).then_some((mixed(number) % u64::from(DEVICES)) as u8)
}

fn mixed(number: u64) -> u64 {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32
}

/// What a device is called.
pub(crate) fn dsn(device: u8) -> String {
    format!("chaos-{device}")
}

/// A record, the same for the same number: what arrives can be compared to the byte.
fn record(number: u64) -> String {
    let Some(device) = device(number) else {
        return format!("no event, but record {number}");
    };
    // Every few have what is escaped on the wire.
    let odd = if number.is_multiple_of(5) { "|é" } else { "" };
    let padding = "x".repeat((mixed(number) / 7 % MAX_PADDING) as usize);
    let event = json!({
        "metadata": {
            "event_type": "datapoint", "dsn": dsn(device), "oem_id": "0dfc7900", "oem_model": "ledevb",
            "property_name": "n", "resource_tags": [],
        },
        "datapoint": {"value": number, "note": format!("{odd}{padding}")},
    });
    event.to_string()
}

/// What a client gets of an event, with this `seq`.
pub(crate) fn body(number: u64, seq: &str) -> String {
    let sent = record(number);
    let escaped = sent.replace('|', "\\u007c").replace('é', "\\u00e9");
    format!("{{\"seq\":\"{seq}\",{}", &escaped[1..])
}

/// The number and the device in an event.
pub(crate) fn read_event(event: &Value) -> Option<(u64, u8)> {
    let device = event["metadata"]["dsn"].as_str()?.strip_prefix("chaos-")?;
    Some((event["datapoint"]["value"].as_u64()?, device.parse().ok()?))
}

/// What a record of the topic is.
pub(crate) fn read_record(bytes: &[u8]) -> Option<Record> {
    let found = parse_record(bytes)?;
    (record(found.number).as_bytes() == bytes).then_some(found)
}

fn parse_record(bytes: &[u8]) -> Option<Record> {
    if let Ok(event) = serde_json::from_slice(bytes) {
        let (number, device) = read_event(&event)?;
        return Some(Record {
            number,
            device: Some(device),
        });
    }
    let text = std::str::from_utf8(bytes).ok()?;
    let number = text.rsplit(' ').next()?.parse().ok()?;
    Some(Record {
        number,
        device: None,
    })
}

impl Traffic {
    /// The number of the first event that is not yet sent.
    pub(crate) fn next(&self) -> u64 {
        self.next.load(Ordering::SeqCst)
    }

    /// Sends events in batches of up to `most` until faults are over.
    pub(crate) async fn run(
        self: Arc<Self>,
        target: FluvioTarget,
        most: u64,
        mut rng: StdRng,
        phase: watch::Receiver<Phase>,
    ) {
        let mut producer = Producer::new(target);
        while *phase.borrow() == Phase::Faults {
            let count = rng.random_range(1..=most);
            self.send(&mut producer, count).await;
            sleep(Duration::from_millis(rng.random_range(10..70))).await;
        }
    }

    /// Sends this many events, once: what was not acknowledged may be there or not.
    pub(crate) async fn send(&self, producer: &mut Producer, count: u64) {
        let first = self.next.fetch_add(count, Ordering::SeqCst);
        let records: Vec<_> = (first..first + count)
            .map(|number| producer::Record {
                key: device(number).map(dsn).unwrap_or_default(),
                value: record(number).into_bytes(),
            })
            .collect();
        let confirmed = match producer.send(&records).await {
            Ok(()) => records.len(),
            Err(error) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                error.confirmed
            }
        };
        let mut acknowledged = self.acknowledged.lock().unwrap();
        acknowledged.resize((first + count) as usize, false);
        acknowledged[first as usize..first as usize + confirmed].fill(true);
    }

    /// Checks that the topic has what was acknowledged, and all of it once; tells how many were acknowledged and how
    /// many more were stored.
    pub(crate) fn check(&self, log: &Log) -> Result<String, String> {
        let acknowledged = self.acknowledged.lock().unwrap();
        let mut stored = vec![0_u32; acknowledged.len()];
        for record in log.partitions.iter().flatten() {
            let known = stored.get_mut(record.number as usize);
            let known = known.filter(|_| record.device == device(record.number));
            *known.ok_or_else(|| format!("nobody sent {record:?}"))? += 1;
        }
        let both = || stored.iter().zip(&*acknowledged).enumerate();
        if let Some((number, (times, _))) = both().find(|(_, (times, _))| **times > 1) {
            return Err(format!("event {number} is in the topic {times} times"));
        }
        let lost = both().find(|(_, (times, acknowledged))| **times == 0 && **acknowledged);
        if let Some((number, _)) = lost {
            return Err(format!(
                "event {number} was acknowledged and is not in the topic"
            ));
        }
        let count = |wanted: bool| {
            both()
                .filter(|(_, (n, a))| **n == 1 && **a == wanted)
                .count()
        };
        Ok(format!(
            "{} events acknowledged, {} stored without word of it, {} sends failed",
            count(true),
            count(false),
            self.refused.load(Ordering::Relaxed),
        ))
    }
}

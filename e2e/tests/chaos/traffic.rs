//! Numbered events, and which of them the broker has acknowledged.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use datastream_source::fluvio::FluvioTarget;
use datastream_source::fluvio::producer::{self, Producer};
use rand::RngExt as _;
use rand::rngs::StdRng;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::checker::{Log, Record};
use crate::phase::Phase;
use crate::records::{device, dsn, record, some_device};

/// The events of one topic.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    /// The next number. Stored before the event is sent.
    next: AtomicU64,
    /// Acknowledgements of the broker, by number of the event.
    acknowledged: Mutex<Vec<bool>>,
    refused: AtomicU64,
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
                key: dsn(some_device(number)),
                value: record(number),
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

    /// Checks that the topic has what was acknowledged, and all of it once; returns how many were acknowledged and how
    /// many more were stored.
    pub(crate) fn check(&self, log: &Log) -> Result<String, String> {
        let acknowledged = self.acknowledged.lock().unwrap();
        let mut stored = vec![0_u32; acknowledged.len()];
        let records = log.partitions.iter().flatten();
        for record in records.filter(|record| **record != Record::NONE) {
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
            "{} events acknowledged, {} stored without an acknowledgement, {} sends failed",
            count(true),
            count(false),
            self.refused.load(Ordering::Relaxed),
        ))
    }
}

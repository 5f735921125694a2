//! Decoding of one partition's records, beside those of the other partitions.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use datastream_service::log_limit::LogLimit;
use datastream_source::Unreadable;

use super::sequencer::Sequencer;
use crate::event::Event;
use crate::ingest::{Batch, BatchSink};
use crate::metrics::Metrics;

/// Consecutive records of one partition, decoded. Records that could not be decoded leave no event.
#[derive(Debug)]
pub(crate) struct DecodedBatch {
    pub partition: u32,
    /// Offset of the first record, as [`Batch::first`].
    pub first: u64,
    /// The offset after the last one.
    pub next: u64,
    /// Records that there were.
    pub records: u64,
    pub events: Vec<Event>,
    /// Bytes of the records that the events came from.
    pub bytes: usize,
    /// Bytes of these records and of their frames.
    pub held: usize,
}

/// Bounds of the lines about what is skipped, for all partitions together. Held for a look, never across an await.
#[derive(Debug, Default)]
struct SkipLog {
    records: Mutex<LogLimit>,
    unreadable: Mutex<LogLimit>,
}

/// Decodes each record once, and hands on what is decoded.
#[derive(Clone, Debug)]
pub(crate) struct Decoder {
    metrics: Arc<Metrics>,
    /// Events whose frame has more bytes, apart from the sequence number, are skipped.
    largest_content: usize,
    log: Arc<SkipLog>,
    sequencer: Arc<Sequencer>,
}

impl Decoder {
    /// A decoder that hands on to this sequencer. Each partition has a clone of its own.
    pub(crate) fn new(
        metrics: Arc<Metrics>,
        largest_content: usize,
        sequencer: Arc<Sequencer>,
    ) -> Self {
        Self {
            metrics,
            largest_content,
            log: Arc::default(),
            sequencer,
        }
    }

    fn decode(&self, batch: Batch) -> DecodedBatch {
        if let Some(place) = &batch.unreadable {
            self.skip_unreadable(batch.partition, place);
        }
        let records = batch.records.len();
        let mut decoded = DecodedBatch {
            partition: batch.partition,
            first: batch.first,
            next: batch.next,
            records: records as u64,
            events: Vec::with_capacity(records),
            bytes: 0,
            held: 0,
        };
        for record in batch.records {
            let (offset, size) = (record.offset, record.value.len());
            match Event::decode(
                offset,
                record.timestamp_ms,
                record.value,
                self.largest_content,
            ) {
                Ok(event) => {
                    decoded.bytes += size;
                    decoded.held += event.weight();
                    decoded.events.push(event);
                }
                Err(reason) => self.skip(batch.partition, offset, reason.as_str(), size),
            }
        }
        decoded
    }

    fn skip(&self, partition: u32, offset: u64, reason: &str, size: usize) {
        self.metrics.skipped.with_label_values(&[reason]).inc();
        if let Some(held_back) = admit(&self.log.records) {
            tracing::warn!(partition, offset, reason, size, held_back, "record skipped");
        }
    }

    fn skip_unreadable(&self, partition: u32, place: &Unreadable) {
        let reason = place.damage.as_str();
        let skipped = self.metrics.skipped.with_label_values(&[reason]);
        skipped.inc_by(place.count());
        if let Some(held_back) = admit(&self.log.unreadable) {
            let (first, last) = (place.first, place.next.saturating_sub(1));
            let detail = &place.detail;
            tracing::error!(
                partition,
                first,
                last,
                reason,
                detail,
                held_back,
                "batch of the topic skipped: it cannot be read"
            );
        }
    }
}

fn admit(limit: &Mutex<LogLimit>) -> Option<u64> {
    let mut limit = limit.lock().unwrap_or_else(PoisonError::into_inner);
    limit.admit(Instant::now())
}

impl BatchSink for Decoder {
    async fn send(&self, batch: Batch) -> bool {
        let decoded = self.decode(batch);
        self.sequencer.hand_on(decoded).await
    }

    async fn closed(&self) {
        self.sequencer.closed().await;
    }
}

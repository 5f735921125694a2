//! The order of the batches of all partitions, in which the ring keeps them and all dispatchers get them.

use std::sync::Arc;

use datastream_protocol::position::Position;
use tokio::sync::mpsc;

use super::chunk::Chunk;
use super::decoder::DecodedBatch;
use super::ring::Ring;
use crate::metrics::Metrics;

/// The next step of every dispatcher.
#[derive(Clone, Debug)]
pub(super) enum Round {
    /// Events to be routed. They are in the ring by now: a stream that falls behind reads on there.
    Chunk(Arc<Chunk>),
    /// Records of a partition before `first` have expired and never come.
    Expired { partition: u32, first: u64 },
}

/// Numbers batches, puts them into the ring and hands them to all dispatchers.
pub(crate) struct Sequencer {
    head: Position,
    ring: Arc<Ring>,
    metrics: Arc<Metrics>,
    dispatchers: Vec<mpsc::Sender<Round>>,
}

impl Sequencer {
    /// A sequencer at the head of `ring`.
    pub(super) fn new(
        ring: Arc<Ring>,
        metrics: Arc<Metrics>,
        dispatchers: Vec<mpsc::Sender<Round>>,
    ) -> Self {
        Self {
            head: ring.head(),
            ring,
            metrics,
            dispatchers,
        }
    }

    /// Runs until all sources, or a dispatcher, have ended.
    pub(crate) async fn run(mut self, mut batches: mpsc::Receiver<DecodedBatch>) {
        while let Some(batch) = batches.recv().await {
            let (partition, first) = (batch.partition, batch.first);
            if first > self.head.next(partition) {
                self.ring.skip(partition, first);
                if !self.hand_on(Round::Expired { partition, first }).await {
                    return;
                }
            }
            let records = batch.records;
            let chunk = self.number(batch);
            // Before any dispatcher has it.
            let weight = self.ring.push(chunk.clone());
            self.metrics.ring_bytes.set(weight as i64);
            // Only now: who sees the count and connects finds a head that is past these records.
            self.metrics.records.inc_by(records);
            if !self.hand_on(Round::Chunk(chunk)).await {
                return;
            }
        }
    }

    fn number(&mut self, batch: DecodedBatch) -> Arc<Chunk> {
        self.head.advance(batch.partition, batch.next);
        Arc::new(Chunk {
            partition: batch.partition,
            after: self.head.clone(),
            events: batch.events,
            bytes: batch.bytes,
            held: batch.held,
        })
    }

    /// Waits for the slowest dispatcher; false if one has ended.
    async fn hand_on(&self, round: Round) -> bool {
        for dispatcher in &self.dispatchers {
            if dispatcher.send(round.clone()).await.is_err() {
                return false;
            }
        }
        true
    }
}

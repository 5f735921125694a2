//! The order of the batches of all partitions, in which the ring keeps them and all dispatchers get them.

use std::sync::Arc;

use datastream_protocol::position::Position;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::chunk::Chunk;
use super::decoder::DecodedBatch;
use super::ring::Ring;
use crate::metrics::Metrics;

/// Unit in which the memory of what waits for dispatchers is counted, in bytes.
const UNIT: usize = 1 << 10;

/// The next step of every dispatcher.
#[derive(Clone, Debug)]
pub(super) enum Round {
    /// Events to be routed. They are in the ring by now: a stream that falls behind reads on there.
    Chunk(Handed),
    /// Records of a partition before `first` have expired and never come.
    Expired { partition: u32, first: u64 },
}

/// A chunk that waits for dispatchers, with its share of what may wait: given back when the last of them is done with it.
#[derive(Clone, Debug)]
pub(super) struct Handed {
    pub chunk: Arc<Chunk>,
    _share: Arc<OwnedSemaphorePermit>,
}

/// Numbers batches, puts them into the ring and hands them to all dispatchers.
pub(crate) struct Sequencer {
    head: Position,
    ring: Arc<Ring>,
    metrics: Arc<Metrics>,
    dispatchers: Vec<mpsc::Sender<Round>>,
    /// Room for more that waits for dispatchers, in units of memory; and the units of all of it.
    room: Arc<Semaphore>,
    units: u32,
}

impl Sequencer {
    /// A sequencer at the head of `ring`.
    pub(super) fn new(
        ring: Arc<Ring>,
        metrics: Arc<Metrics>,
        dispatchers: Vec<mpsc::Sender<Round>>,
    ) -> Self {
        // Half of the ring, so that what waits is still in it, and takes no memory of its own.
        let units = u32::try_from(ring.limit() / 2 / UNIT)
            .unwrap_or(u32::MAX)
            .max(1);
        Self {
            head: ring.head(),
            ring,
            metrics,
            dispatchers,
            room: Arc::new(Semaphore::new(units as usize)),
            units,
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
            let Some(handed) = self.share(chunk).await else {
                return;
            };
            if !self.hand_on(Round::Chunk(handed)).await {
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

    /// Waits until there is room for a chunk; one that is larger than all of it is let in alone.
    async fn share(&self, chunk: Arc<Chunk>) -> Option<Handed> {
        let units = u32::try_from(chunk.weight().div_ceil(UNIT)).unwrap_or(u32::MAX);
        let room = self.room.clone();
        let share = room.acquire_many_owned(units.min(self.units)).await.ok()?;
        Some(Handed {
            chunk,
            _share: Arc::new(share),
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{sleep, timeout};

    use super::*;
    use crate::event::CloudHeads;

    const RING: usize = 64 << 10;

    fn batch(first: u64, held: usize) -> DecodedBatch {
        DecodedBatch {
            partition: 0,
            first,
            next: first + 1,
            records: 1,
            events: vec![],
            bytes: 0,
            held,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_for_the_slowest_dispatcher_is_half_of_the_ring_or_one_large_chunk() {
        const BATCHES: u64 = 20;
        let heads = Arc::new(CloudHeads::new("test"));
        let ring = Arc::new(Ring::new(Position::start(1), RING, heads));
        let (quick, mut taken) = mpsc::channel(64);
        let (slow, mut rounds) = mpsc::channel(64);
        let metrics = Arc::new(Metrics::new().unwrap());
        let sequencer = Sequencer::new(ring, metrics, vec![quick, slow]);
        let (out, batches) = mpsc::channel(1);
        tokio::spawn(sequencer.run(batches));
        tokio::spawn(async move { while taken.recv().await.is_some() {} });
        tokio::spawn(async move {
            for first in 0..BATCHES {
                let held = if first == 10 { 4 * RING } else { RING / 8 };
                out.send(batch(first, held)).await.unwrap();
            }
        });
        let mut most = 0;
        for expected in 1..=BATCHES {
            sleep(Duration::from_secs(1)).await;
            most = most.max(rounds.len());
            let round = timeout(Duration::from_hours(1), rounds.recv()).await;
            let Some(Round::Chunk(handed)) = round.unwrap() else {
                panic!("no chunk");
            };
            assert_eq!(handed.chunk.after.next(0), expected);
            if handed.chunk.held > RING {
                sleep(Duration::from_secs(1)).await;
                assert!(rounds.is_empty(), "beside a chunk that takes all of it");
            }
        }
        assert_eq!(
            most, 3,
            "each takes an eighth of the ring, and a little more"
        );
    }
}

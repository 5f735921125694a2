//! The order of the batches of all partitions, in which the ring keeps them and all dispatchers get them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datastream_protocol::position::Position;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::chunk::{self, Chunk};
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

/// Numbers batches, puts them into the ring and hands them to all dispatchers. All partitions share it, and each comes to it with its own
/// batches: a task in between would be woken for each of them.
#[derive(Debug)]
pub(crate) struct Sequencer {
    /// Held while a batch gets its place in the order: all dispatchers get the batches in the order of the ring. Never across an await.
    head: Mutex<Position>,
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
            head: Mutex::new(ring.head()),
            ring,
            metrics,
            dispatchers,
            room: Arc::new(Semaphore::new(units as usize)),
            units,
        }
    }

    /// Waits until there is room for a batch, which follows the one before of its partition, and hands it on. Returns false if a
    /// dispatcher has ended.
    pub(super) async fn hand_on(&self, batch: DecodedBatch) -> bool {
        let Some(share) = self.share(&batch).await else {
            return false;
        };
        let (partition, first, records) = (batch.partition, batch.first, batch.records);
        // Nobody else moves on in its partition.
        let has_expired = first > self.lock().next(partition);
        let rounds = 1 + usize::from(has_expired);
        // All sources ask in the same order: none has a place that another one waits for who is ahead of it.
        let mut places = Vec::with_capacity(self.dispatchers.len());
        for dispatcher in &self.dispatchers {
            match dispatcher.reserve_many(rounds).await {
                Ok(place) => places.push(place),
                Err(_) => return false,
            }
        }
        let mut send = |round: Round| {
            for place in &mut places {
                if let Some(place) = place.next() {
                    place.send(round.clone());
                }
            }
        };
        let mut head = self.lock();
        if has_expired {
            self.ring.skip(partition, first);
            send(Round::Expired { partition, first });
        }
        head.advance(partition, batch.next);
        let chunk = Arc::new(Chunk {
            partition,
            after: head.clone(),
            events: batch.events,
            bytes: batch.bytes,
            held: batch.held,
        });
        // Before any dispatcher has it.
        let weight = self.ring.push(chunk.clone());
        self.metrics.ring_bytes.set(weight as i64);
        // Only now: who sees the count and connects finds a head that is past these records.
        self.metrics.records.inc_by(records);
        send(Round::Chunk(Handed {
            chunk,
            _share: Arc::new(share),
        }));
        true
    }

    fn lock(&self) -> MutexGuard<'_, Position> {
        self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the first dispatcher has ended: they all end with the gateway.
    pub(super) async fn closed(&self) {
        if let Some(dispatcher) = self.dispatchers.first() {
            dispatcher.closed().await;
        }
    }

    /// Waits until there is room for a batch; one that is larger than all of it is let in alone.
    async fn share(&self, batch: &DecodedBatch) -> Option<OwnedSemaphorePermit> {
        let weight = chunk::weight(batch.held, batch.events.len(), &self.lock());
        let units = u32::try_from(weight.div_ceil(UNIT)).unwrap_or(u32::MAX);
        let room = self.room.clone();
        room.acquire_many_owned(units.min(self.units)).await.ok()
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
        tokio::spawn(async move { while taken.recv().await.is_some() {} });
        tokio::spawn(async move {
            for first in 0..BATCHES {
                let held = if first == 10 { 4 * RING } else { RING / 8 };
                assert!(sequencer.hand_on(batch(first, held)).await);
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

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn all_dispatchers_get_the_batches_of_all_partitions_in_the_order_of_the_ring() {
        const PARTITIONS: u32 = 4;
        const BATCHES: u64 = 500;
        let heads = Arc::new(CloudHeads::new("test"));
        let ring = Arc::new(Ring::new(Position::start(PARTITIONS), RING, heads));
        let metrics = Arc::new(Metrics::new().unwrap());
        // With little room, sources wait for each other's dispatchers.
        let (ways, dispatchers): (Vec<_>, Vec<_>) = (0..3).map(|_| mpsc::channel(4)).unzip();
        let sequencer = Arc::new(Sequencer::new(ring.clone(), metrics, ways));
        for partition in 0..PARTITIONS {
            let sequencer = sequencer.clone();
            tokio::spawn(async move {
                for number in 0..BATCHES {
                    // The tenth ones have expired.
                    if number % 10 < 9 {
                        let batch = DecodedBatch {
                            partition,
                            ..batch(number, 0)
                        };
                        assert!(sequencer.hand_on(batch).await);
                    }
                }
            });
        }
        drop(sequencer);
        let follow = |mut rounds: mpsc::Receiver<Round>| async move {
            let mut order = vec![];
            let mut head = Position::start(PARTITIONS);
            while let Some(round) = rounds.recv().await {
                match round {
                    Round::Expired { partition, first } => {
                        assert_eq!((first % 10, first), (0, head.next(partition) + 1));
                        head.advance(partition, first);
                    }
                    Round::Chunk(Handed { chunk, .. }) => {
                        let next = head.next(chunk.partition) + 1;
                        head.advance(chunk.partition, next);
                        assert_eq!(chunk.after, head);
                        order.push(head.clone());
                    }
                }
            }
            order
        };
        let orders = futures_util::future::join_all(dispatchers.into_iter().map(follow));
        let orders = timeout(Duration::from_mins(1), orders).await.unwrap();
        assert_eq!(
            orders[0].len() as u64,
            u64::from(PARTITIONS) * BATCHES * 9 / 10
        );
        assert!(orders.iter().all(|order| *order == orders[0]));
        assert_eq!(ring.head(), *orders[0].last().unwrap());
    }
}

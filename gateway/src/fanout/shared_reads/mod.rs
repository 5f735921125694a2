//! Reads of the topic that streams share: what one of them has read and decoded, the others find here.
//!
//! Any number of streams go through the same part of a topic, each at its client's speed. Whoever comes to where nobody has been reads
//! one [`Piece`] and leaves it, with the open stream of the topic, for those who come after. Nobody waits for another's client: a stream
//! has neither while its queue is full.

mod piece;
mod pieces;
mod reader;
#[cfg(test)]
mod tests;

pub(super) use piece::Piece;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use datastream_service::log_limit::LogLimit;
use datastream_source::{EventSource, SourceError, Unreadable};
use tokio::select;
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use self::pieces::Pieces;
use self::reader::Reader;
use crate::metrics::Metrics;

/// Partition and offset.
type Place = (u32, u64);

/// The parts of the topic that streams of a gateway have read last, and who reads on.
pub(crate) struct SharedReads {
    source: Arc<dyn EventSource>,
    /// Bounds how many streams of the topic are open at once.
    permits: Arc<Semaphore>,
    /// Events whose frame has more bytes, apart from the sequence number, are skipped.
    largest_content: usize,
    metrics: Arc<Metrics>,
    /// Held for a look, never across an await.
    inner: Mutex<Inner>,
    /// Readers that were opened so far.
    readers: AtomicU64,
    /// Bounds the lines about what cannot be read. Held for a look, never across an await.
    unreadable: Mutex<LogLimit>,
}

struct Inner {
    pieces: Pieces,
    spots: BTreeMap<Place, Spot>,
}

/// A place from which the topic is read, or can be read on.
#[derive(Default)]
struct Spot {
    /// Somebody opens a stream of the topic here, or reads.
    is_claimed: bool,
    /// The reader that has come here, while nobody needs it.
    idle: Option<Reader>,
    /// Wakes those who wait for the piece with this place.
    changed: Arc<Notify>,
}

/// Answer to who wants the piece at a place.
enum Look {
    Piece(Arc<Piece>),
    /// Somebody else is about to read here.
    Wait(OwnedNotified),
    /// It is on the caller to read.
    Claimed(Option<Reader>, OwnedNotified),
}

impl SharedReads {
    /// Reads of `source` that keep up to `limit` bytes of what was read last.
    pub(crate) fn new(
        source: Arc<dyn EventSource>,
        permits: Arc<Semaphore>,
        largest_content: usize,
        limit: usize,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            source,
            permits,
            largest_content,
            metrics,
            inner: Mutex::new(Inner {
                pieces: Pieces::new(limit),
                spots: BTreeMap::new(),
            }),
            readers: AtomicU64::new(0),
            unreadable: Mutex::default(),
        }
    }

    fn look(&self, place: Place) -> Look {
        let mut inner = self.lock();
        if let Some(piece) = inner.pieces.get(place) {
            return Look::Piece(piece);
        }
        let spot = inner.spots.entry(place).or_default();
        // Made while the lock is held: no change after it is missed.
        let changed = spot.changed.clone().notified_owned();
        if std::mem::replace(&mut spot.is_claimed, true) {
            return Look::Wait(changed);
        }
        Look::Claimed(spot.idle.take(), changed)
    }

    async fn open(
        &self,
        (partition, next): Place,
        permit: OwnedSemaphorePermit,
    ) -> Result<Reader, SourceError> {
        let records = self.source.replay(partition, next, reader::FETCH_BYTES);
        let records = records.await?;
        let id = self.readers.fetch_add(1, Ordering::Relaxed);
        Ok(Reader::new(id, (partition, next), records, permit))
    }

    /// Keeps a piece for the others, and wakes those who wait for it.
    fn keep(&self, piece: &Arc<Piece>) {
        let mut inner = self.lock();
        inner.pieces.push(piece.clone());
        let (first, next) = (
            (piece.partition, piece.first),
            (piece.partition, piece.next),
        );
        for (_, spot) in inner.spots.range(first..next) {
            spot.changed.notify_waiters();
        }
    }

    /// Leaves a reader where it has come to, for whoever needs it next. One that is there already goes.
    fn leave(&self, reader: Reader) {
        let mut inner = self.lock();
        let spot = inner.spots.entry(reader.place()).or_default();
        let before = spot.idle.replace(reader);
        // Whoever is about to open one here can take this one.
        spot.changed.notify_waiters();
        drop(inner);
        drop(before);
    }

    /// Drops a reader if nobody has taken it.
    fn drop_idle(&self, place: Place, id: u64) {
        let mut inner = self.lock();
        let Some(spot) = inner.spots.get_mut(&place) else {
            return;
        };
        let idle = spot.idle.take_if(|reader| reader.id == id);
        if spot.is_over() {
            inner.spots.remove(&place);
        }
        drop(inner);
        drop(idle);
    }

    /// Counts and says what is skipped: the live path has not met what was damaged since, or before the gateway started.
    fn report(&self, partition: u32, place: &Unreadable) {
        let skipped = &self.metrics.skipped;
        let skipped = skipped.with_label_values(&[place.damage.as_str()]);
        skipped.inc_by(place.count());
        let held_back = self
            .unreadable
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .admit(Instant::now().into_std());
        if let Some(held_back) = held_back {
            tracing::warn!(partition, %place, held_back, "skipped while catching up: it cannot be read");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Spot {
    /// Returns whether nobody reads or can read on here.
    const fn is_over(&self) -> bool {
        !self.is_claimed && self.idle.is_none()
    }
}

/// The duty to read at a place. Dropping it lets another one try.
struct Claim<'a> {
    reads: &'a SharedReads,
    place: Place,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut inner = self.reads.lock();
        if let Some(spot) = inner.spots.get_mut(&self.place) {
            spot.is_claimed = false;
            spot.changed.notify_waiters();
            if spot.is_over() {
                inner.spots.remove(&self.place);
            }
        }
    }
}

/// One stream's way through the topic. Dropping it drops the reader that it left, if nobody has taken that.
pub(super) struct Visitor {
    reads: Arc<SharedReads>,
    /// Place and number of the reader that this stream left last.
    left: Option<(Place, u64)>,
}

impl Visitor {
    pub(super) const fn new(reads: Arc<SharedReads>) -> Self {
        Self { reads, left: None }
    }

    /// The piece that has this offset: one that is there, or the next one of the topic.
    ///
    /// # Errors
    /// The topic cannot be read, or nothing came for `stall`.
    pub(super) async fn piece(
        &mut self,
        partition: u32,
        offset: u64,
        stall: Duration,
    ) -> Result<Arc<Piece>, SourceError> {
        let place = (partition, offset);
        if self.left.is_some_and(|(left, _)| left != place) {
            self.let_go();
        }
        let reads = self.reads.clone();
        loop {
            let (idle, changed) = match reads.look(place) {
                Look::Piece(piece) => return Ok(piece),
                Look::Wait(changed) => {
                    changed.await;
                    continue;
                }
                Look::Claimed(idle, changed) => (idle, changed),
            };
            let _claim = Claim {
                reads: &reads,
                place,
            };
            let mut reader = if let Some(reader) = idle {
                reader
            } else {
                let permit = select! {
                    permit = reads.permits.clone().acquire_owned() => permit,
                    () = changed => continue,
                };
                let Ok(permit) = permit else {
                    // The gateway ends.
                    return std::future::pending().await;
                };
                reads.open(place, permit).await?
            };
            let piece = self.read(&mut reader, stall).await?;
            if reader.has_time() {
                self.left = Some((reader.place(), reader.id));
                reads.leave(reader);
            }
            return Ok(piece);
        }
    }

    /// Drops the reader that this stream left, if nobody has taken it: the stream does not read on now.
    pub(super) fn let_go(&mut self) {
        if let Some((place, id)) = self.left.take() {
            self.reads.drop_idle(place, id);
        }
    }

    async fn read(&self, reader: &mut Reader, stall: Duration) -> Result<Arc<Piece>, SourceError> {
        let piece = reader.next_piece(stall, self.reads.largest_content).await?;
        if let Some(place) = &piece.unreadable {
            self.reads.report(piece.partition, place);
        }
        let piece = Arc::new(piece);
        self.reads.keep(&piece);
        Ok(piece)
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        self.let_go();
    }
}

//! Catch-up of a stream that is behind: it reads on by itself, from the ring or, for what the ring no longer has, from the
//! topic, until it can join again.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::vec;

use datastream_protocol::close::CloseCause;
use datastream_protocol::position::{EventPosition, Position};
use datastream_routing::SubscriptionId;
use datastream_service::backoff::Backoff;
use datastream_service::log_limit::LogLimit;
use datastream_source::{EventSource, Record, SourceError, Unreadable};
use futures_util::StreamExt;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::chunk::Chunk;
use super::dispatcher::{DispatcherHandle, Joined};
use super::queued_frame::QueuedFrame;
use super::ring::{Ring, RingRead};
use super::send_memory::SendMemory;
use super::send_queue::SendQueue;
use crate::event::{Event, EventFrame};
use crate::ingest::{STALL, STALL_MAX, contiguous};
use crate::limits::Paces;
use crate::metrics::Metrics;

/// Time for which one stream may read the topic before others that wait get their turn.
const TURN: Duration = Duration::from_secs(2);
/// Time for which a turn waits for a client that takes what it gets: what was read ahead of a full queue is read again otherwise.
const FULL: Duration = Duration::from_millis(100);
const FETCH_BYTES: u32 = 256 << 10;
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// State that all catching-up streams of a gateway share.
pub(crate) struct CatchUpContext {
    pub ring: Arc<Ring>,
    pub dispatcher: DispatcherHandle,
    pub source: Arc<dyn EventSource>,
    /// Memory that the queues of all streams share.
    pub memory: Arc<SendMemory>,
    /// Events whose frame has more bytes, apart from the sequence number, are skipped.
    pub largest_content: usize,
    /// Bounds how many streams read the topic at once; the others wait in turn.
    pub replay_permits: Semaphore,
    /// Bounds the lines about what cannot be read. Held for a look, never across an await.
    pub unreadable: Mutex<LogLimit>,
    pub metrics: Arc<Metrics>,
}

/// One stream on its way to the live fan-out.
pub(crate) struct CatchUp {
    pub context: Arc<CatchUpContext>,
    pub id: SubscriptionId,
    pub queue: Arc<SendQueue>,
    pub position: Position,
    /// The stream ends here (`seq_end`) and never joins.
    pub end: Option<Position>,
    /// Rates that hold for the stream, if any do.
    pub paces: Option<Arc<Paces>>,
    /// Time until which no more is read from the topic: what was read before was more than the rates allow.
    pub paced_until: Option<Instant>,
}

/// Outcome of one turn at the topic.
enum TurnEnd {
    /// Read on: in the ring, or in another turn.
    Over,
    /// The queue is full. The frame is the next thing for it.
    Full(QueuedFrame),
    Failed(SourceError),
}

impl CatchUp {
    /// Fills the queue until the stream is live, has come to its end, or is to be closed. Dropping it stops it.
    pub(crate) async fn run(mut self) {
        let context = self.context.clone();
        if let Some(end) = &mut self.end {
            // Where the stream starts behind its end, there is nothing to read.
            end.merge(&self.position);
        }
        let mut head = context.ring.watch_head();
        loop {
            if self
                .end
                .as_ref()
                .is_some_and(|end| self.position.covers(end))
            {
                return self.queue.close(CloseCause::ReplayDone);
            }
            head.mark_unchanged();
            match context.ring.read(&self.position) {
                RingRead::Chunk(chunk) => self.deliver(&chunk).await,
                RingRead::Past { partition, until } => {
                    if !self.read_topic(partition, until).await {
                        return;
                    }
                }
                RingRead::AtHead if self.end.is_some() => {
                    if head.changed().await.is_err() {
                        return;
                    }
                }
                RingRead::AtHead => {
                    let position = self.position.clone();
                    match context
                        .dispatcher
                        .join(self.id.clone(), position, self.queue.clone())
                        .await
                    {
                        Joined::Live => return,
                        Joined::Behind => (),
                        Joined::NoRoute => return self.queue.close(CloseCause::Revoked),
                    }
                }
            }
        }
    }

    async fn deliver(&mut self, chunk: &Chunk) {
        let route = self.queue.route();
        for event in chunk.wanted(self.position.next(chunk.partition), &route) {
            if self.is_past_end(chunk.partition, event.offset) {
                break;
            }
            self.position.advance(chunk.partition, event.offset + 1);
            let frame = chunk.frame_at(event, &self.numbered());
            self.queue.push_when_space(frame).await;
        }
        self.position
            .advance(chunk.partition, chunk.after.next(chunk.partition));
        self.queue.wake();
    }

    /// Reads one partition from the topic up to `until`, in turns; false if the stream is to be closed.
    async fn read_topic(&mut self, partition: u32, until: u64) -> bool {
        let until = self.end.as_ref().map_or(until, |end| {
            until
                .min(end.next(partition))
                .max(self.position.next(partition))
        });
        let mut backoff = Backoff::new(BACKOFF_MIN, BACKOFF_MAX);
        let mut stall = STALL;
        while self.position.next(partition) < until {
            let before = self.position.next(partition);
            // Without a turn, which others have meanwhile.
            if let Some(until) = self.paced() {
                sleep_until(until).await;
            }
            match self.take_turn(partition, until, stall).await {
                TurnEnd::Over => (),
                TurnEnd::Full(frame) => self.queue.push_when_space(frame).await,
                TurnEnd::Failed(SourceError::Expired { wanted, available }) => {
                    tracing::warn!(stream = %self.id, partition, wanted, available, "events expired before they were sent");
                    self.queue.close(CloseCause::Expired);
                    return false;
                }
                TurnEnd::Failed(SourceError::Broken { .. })
                    if self.position.next(partition) > before => {}
                TurnEnd::Failed(error) => {
                    tracing::warn!(stream = %self.id, partition, at = before, %error, "catching up; trying again");
                    stall = (stall * 2).min(STALL_MAX);
                    sleep(backoff.next_delay()).await;
                }
            }
            self.queue.wake();
        }
        let next = self.position.next(partition);
        if self
            .end
            .as_ref()
            .is_some_and(|end| next >= end.next(partition))
        {
            // Behind the end nothing is read, but the ring asks for all that it does not have.
            self.skip_to_ring(partition);
        }
        true
    }

    /// One turn: reads and filters until the queue is full, the turn is over or the goal is reached.
    async fn take_turn(&mut self, partition: u32, until: u64, stall: Duration) -> TurnEnd {
        let context = self.context.clone();
        let Ok(_turn) = context.replay_permits.acquire().await else {
            return TurnEnd::Over;
        };
        let started = Instant::now();
        let mut stream = match context
            .source
            .replay(partition, self.position.next(partition), FETCH_BYTES)
            .await
        {
            Ok(stream) => stream,
            Err(error) => return TurnEnd::Failed(error),
        };
        while started.elapsed() < TURN {
            let next = self.position.next(partition);
            let broken = |reason: String| TurnEnd::Failed(SourceError::Broken { at: next, reason });
            let records = match timeout(stall, stream.next()).await {
                Ok(Some(Ok(records))) => records,
                Ok(Some(Err(SourceError::Unreadable(place)))) if place.first <= next => {
                    self.report(partition, &place);
                    self.position
                        .advance(partition, place.next.min(until).max(next));
                    if self.position.next(partition) >= until {
                        return TurnEnd::Over;
                    }
                    continue;
                }
                Ok(Some(Err(error))) => return TurnEnd::Failed(error),
                Ok(None) => return broken("the stream ended".to_owned()),
                Err(_) => return broken(format!("no record for {stall:?}")),
            };
            let (records, hole) = contiguous(next, records);
            let mut records = records.into_iter();
            while let Some(event) = self.filter(partition, until, &mut records) {
                let frame = || QueuedFrame::Event(event.clone());
                if timeout(FULL, self.queue.push_when_space(frame()))
                    .await
                    .is_err()
                {
                    return TurnEnd::Full(frame());
                }
            }
            if self.position.next(partition) >= until {
                return TurnEnd::Over;
            }
            if let Some(offset) = hole {
                return broken(format!("got offset {offset} next"));
            }
            self.queue.wake();
            if self.paced_until.is_some() {
                return TurnEnd::Over;
            }
        }
        TurnEnd::Over
    }

    /// The time until which to wait before more is read, if the stream's rates want that: by what it has read itself, or at first by
    /// what was read before it came.
    fn paced(&mut self) -> Option<Instant> {
        let before = self.paces.as_ref().and_then(|p| p.replayed.held_until());
        self.paced_until.take().or(before)
    }

    /// Charges the stream's rates with what was read.
    fn charge(&mut self, bytes: u64) {
        let charged = self.paces.as_ref().and_then(|p| p.replayed.charge(bytes));
        if let Some((until, scope)) = charged {
            let limit = format!("replayed_kib/{}", scope.name());
            self.context.metrics.limited(&limit);
            self.paced_until = Some(until);
        }
    }

    /// Counts and says what is skipped: the live path has not met what was damaged since, or before the gateway started.
    fn report(&self, partition: u32, place: &Unreadable) {
        let skipped = &self.context.metrics.skipped;
        let skipped = skipped.with_label_values(&[place.damage.as_str()]);
        skipped.inc_by(place.count());
        let mut limit = self
            .context
            .unreadable
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let held_back = limit.admit(Instant::now().into_std());
        drop(limit);
        if let Some(held_back) = held_back {
            tracing::warn!(stream = %self.id, partition, %place, held_back, "skipped while catching up: it cannot be read");
        }
    }

    /// Puts what the stream wants of these records into its queue. Returns the first event that does not fit; the records behind it are
    /// left.
    fn filter(
        &mut self,
        partition: u32,
        until: u64,
        records: &mut vec::IntoIter<Record>,
    ) -> Option<Arc<EventFrame>> {
        let route = self.queue.route();
        let (mut bytes, mut full) = (0, None);
        for record in records.take_while(|r| r.offset < until) {
            self.position.advance(partition, record.offset + 1);
            bytes += record.value.len() as u64;
            // What cannot be decoded is counted and logged on the live path.
            let Ok(event) = Event::decode(
                record.offset,
                record.timestamp_ms,
                record.value,
                self.context.largest_content,
            ) else {
                continue;
            };
            let fields = event.fields();
            if route.matches(&fields) && route.permits(&fields) {
                let after = self.numbered().into_owned();
                let frame = event.frame_at(EventPosition { after, partition });
                let frame = QueuedFrame::Event(Arc::new(frame));
                if let Err(QueuedFrame::Event(frame)) = self.queue.push(frame) {
                    full = Some(frame);
                    break;
                }
            }
        }
        self.charge(bytes);
        full
    }

    /// The position that a number may name. Behind its end the stream skips events: a number must not say that they came.
    fn numbered(&self) -> Cow<'_, Position> {
        match &self.end {
            Some(end) => Cow::Owned(self.position.intersection(end)),
            None => Cow::Borrowed(&self.position),
        }
    }

    fn is_past_end(&self, partition: u32, offset: u64) -> bool {
        self.end
            .as_ref()
            .is_some_and(|end| offset >= end.next(partition))
    }

    fn skip_to_ring(&mut self, partition: u32) {
        if let RingRead::Past {
            partition: behind,
            until,
        } = self.context.ring.read(&self.position)
            && behind == partition
        {
            self.position.advance(partition, until);
        }
    }
}

//! Catch-up of a stream that is behind: it reads on by itself, from the ring or, for what the ring no longer has, from the
//! topic, until it can join again.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use datastream_protocol::close::CloseCause;
use datastream_protocol::position::{EventPosition, Position};
use datastream_routing::SubscriptionId;
use datastream_service::backoff::Backoff;
use datastream_source::{EventSource, SourceError};
use tokio::sync::Semaphore;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::chunk::Chunk;
use super::dispatcher::{DispatcherHandle, Joined};
use super::queued_frame::QueuedFrame;
use super::ring::{Ring, RingRead};
use super::send_memory::SendMemory;
use super::send_queue::SendQueue;
use super::shared_reads::{Piece, SharedReads, Visitor};
use crate::event::EventFrame;
use crate::ingest::{STALL, STALL_MAX};
use crate::limits::Paces;
use crate::metrics::Metrics;

/// Time for which an open stream of the topic waits for a client that takes what it gets: it is opened again otherwise.
const FULL: Duration = Duration::from_millis(100);
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// State that all catching-up streams of a gateway share.
pub(crate) struct CatchUpContext {
    pub ring: Arc<Ring>,
    pub dispatcher: DispatcherHandle,
    pub source: Arc<dyn EventSource>,
    /// Memory that the queues of all streams share.
    pub memory: Arc<SendMemory>,
    /// Bounds how many streams of the topic are open at once; who wants one more waits in turn.
    pub replay_permits: Arc<Semaphore>,
    pub reads: Arc<SharedReads>,
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

    /// Reads one partition from the topic up to `until`; false if the stream is to be closed.
    async fn read_topic(&mut self, partition: u32, until: u64) -> bool {
        let until = self.end.as_ref().map_or(until, |end| {
            until
                .min(end.next(partition))
                .max(self.position.next(partition))
        });
        let mut visitor = Visitor::new(self.context.reads.clone());
        let mut backoff = Backoff::new(BACKOFF_MIN, BACKOFF_MAX);
        let mut stall = STALL;
        let mut failed_at = self.position.next(partition);
        while self.position.next(partition) < until {
            if let Some(until) = self.paced() {
                visitor.let_go();
                sleep_until(until).await;
            }
            let next = self.position.next(partition);
            match visitor.piece(partition, next, stall).await {
                Ok(piece) => {
                    let full = self.filter(&piece, until);
                    // What was read waits for no client.
                    drop(piece);
                    match full {
                        Some(frame) => self.push_when_space(frame, &mut visitor).await,
                        None => yield_now().await,
                    }
                }
                Err(SourceError::Expired { wanted, available }) => {
                    tracing::warn!(stream = %self.id, partition, wanted, available, "events expired before they were sent");
                    self.queue.close(CloseCause::Expired);
                    return false;
                }
                Err(SourceError::Broken { .. }) if next > failed_at => failed_at = next,
                Err(error) => {
                    tracing::warn!(stream = %self.id, partition, at = next, %error, "catching up; trying again");
                    failed_at = next;
                    stall = (stall * 2).min(STALL_MAX);
                    sleep(backoff.next_delay()).await;
                }
            }
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

    /// Puts a frame into the queue as soon as there is space. While the client takes its time, the topic is not kept open for it.
    async fn push_when_space(&self, frame: Arc<EventFrame>, visitor: &mut Visitor) {
        let frame = || QueuedFrame::Event(frame.clone());
        let soon = timeout(FULL, self.queue.push_when_space(frame()));
        if soon.await.is_err() {
            visitor.let_go();
            self.queue.push_when_space(frame()).await;
        }
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

    /// Puts what the stream wants of a piece into its queue. Returns the first event that does not fit; what comes behind it is left.
    fn filter(&mut self, piece: &Piece, until: u64) -> Option<Arc<EventFrame>> {
        let partition = piece.partition;
        let route = self.queue.route();
        let (mut bytes, mut wanted, mut full) = (0, false, None);
        let events = piece.events_from(self.position.next(partition)).iter();
        for event in events.take_while(|e| e.offset < until) {
            self.position.advance(partition, event.offset + 1);
            bytes += event.record_bytes();
            let fields = event.fields();
            if route.matches(&fields) && route.permits(&fields) {
                wanted = true;
                let after = self.numbered().into_owned();
                let frame = event.frame_for(EventPosition { after, partition });
                if let Err(QueuedFrame::Event(frame)) = self.queue.push(QueuedFrame::Event(frame)) {
                    full = Some(frame);
                    break;
                }
            }
        }
        if full.is_none() {
            self.position.advance(partition, piece.next.min(until));
            bytes += piece.undecoded;
        }
        self.charge(bytes);
        if wanted {
            self.queue.wake();
        }
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

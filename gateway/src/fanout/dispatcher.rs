//! The task that owns the live fan-out: decodes each record once, finds the live streams that want it, fills their queues.

use std::sync::Arc;
use std::time::Instant;

use datastream_protocol::close::CloseCause;
use datastream_protocol::position::Position;
use datastream_routing::{Matches, RouteTable, SubscriptionId};
use datastream_service::log_limit::LogLimit;
use datastream_source::Unreadable;
use tokio::sync::{mpsc, oneshot};

use super::chunk::Chunk;
use super::live_streams::{Live, LiveStreams};
use super::ring::{Ring, RingRead};
use super::send_queue::SendQueue;
use crate::config::ConfigStore;
use crate::event::Event;
use crate::ingest::Batch;
use crate::metrics::Metrics;

/// Chunks that a joining stream is brought up to date with on the spot; more, and it reads the ring itself.
const JOIN_CHUNKS: usize = 16;
const COMMANDS: usize = 1024;

/// The way to the dispatcher for streams.
#[derive(Clone, Debug)]
pub(crate) struct DispatcherHandle {
    commands: mpsc::Sender<Command>,
}

/// Outcome of a request to join the live fan-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Joined {
    /// From now on the dispatcher fills the queue.
    Live,
    /// Too far behind: read on and ask again.
    Behind,
    /// The subscription is no longer there.
    NoRoute,
}

enum Command {
    Join {
        id: SubscriptionId,
        position: Position,
        queue: Arc<SendQueue>,
        answer: oneshot::Sender<Joined>,
    },
    Leave {
        id: SubscriptionId,
        queue: Arc<SendQueue>,
    },
}

impl DispatcherHandle {
    /// Asks to be filled live from `position` on, without a gap. `NoRoute` also when the dispatcher has ended.
    pub(crate) async fn join(
        &self,
        id: SubscriptionId,
        position: Position,
        queue: Arc<SendQueue>,
    ) -> Joined {
        let (answer, joined) = oneshot::channel();
        match self
            .commands
            .send(Command::Join {
                id,
                position,
                queue,
                answer,
            })
            .await
        {
            Ok(()) => joined.await.unwrap_or(Joined::NoRoute),
            Err(_) => Joined::NoRoute,
        }
    }

    /// Ends the filling. If the way is blocked, the dispatcher finds out when the queue is full.
    pub(crate) fn leave(&self, id: SubscriptionId, queue: Arc<SendQueue>) {
        let _ = self.commands.try_send(Command::Leave { id, queue });
    }
}

/// Decodes, routes and fans out.
pub(crate) struct Dispatcher {
    config: Arc<ConfigStore>,
    table: Arc<RouteTable>,
    live: LiveStreams,
    ring: Arc<Ring>,
    head: Position,
    metrics: Arc<Metrics>,
    matches: Matches,
    touched: Vec<u32>,
    log: LogLimit,
    /// Events whose frame has more bytes, apart from the sequence number, are skipped.
    largest_content: usize,
    log_unreadable: LogLimit,
    commands: mpsc::Receiver<Command>,
}

impl Dispatcher {
    /// A dispatcher at the head of `ring`, and the way to it.
    pub(crate) fn new(
        config: Arc<ConfigStore>,
        ring: Arc<Ring>,
        metrics: Arc<Metrics>,
        largest_content: usize,
    ) -> (Self, DispatcherHandle) {
        let (sender, commands) = mpsc::channel(COMMANDS);
        let dispatcher = Self {
            config,
            table: Arc::default(),
            live: LiveStreams::default(),
            head: ring.head(),
            ring,
            metrics,
            matches: Matches::default(),
            touched: Vec::new(),
            log: LogLimit::default(),
            largest_content,
            log_unreadable: LogLimit::default(),
            commands,
        };
        (dispatcher, DispatcherHandle { commands: sender })
    }

    /// Runs until all sources have ended.
    pub(crate) async fn run(mut self, mut batches: mpsc::Receiver<Batch>) {
        loop {
            tokio::select! {
                biased;
                Some(command) = self.commands.recv() => self.handle(command),
                batch = batches.recv() => match batch {
                    Some(batch) => self.dispatch(batch),
                    None => return,
                },
            }
        }
    }

    fn handle(&mut self, command: Command) {
        self.refresh();
        match command {
            Command::Join {
                id,
                position,
                queue,
                answer,
            } => {
                // A stream that has gone meanwhile takes no answer, and gets no place.
                if !answer.is_closed() {
                    let _ = answer.send(self.join(&id, position, queue));
                }
            }
            Command::Leave { id, queue } => self.live.leave(&id, &queue),
        }
    }

    fn join(
        &mut self,
        id: &SubscriptionId,
        mut position: Position,
        queue: Arc<SendQueue>,
    ) -> Joined {
        let Some(route) = self.table.by_id(id).cloned() else {
            return Joined::NoRoute;
        };
        for _ in 0..=JOIN_CHUNKS {
            match self.ring.read(&position) {
                RingRead::AtHead => {
                    queue.joined(&position);
                    let ahead = (!self.head.covers(&position)).then_some(position);
                    self.live.join(Live {
                        queue,
                        ahead,
                        touched: false,
                        route,
                    });
                    return Joined::Live;
                }
                RingRead::Past { .. } => return Joined::Behind,
                RingRead::Chunk(chunk) => {
                    for event in chunk.wanted(position.next(chunk.partition), &route) {
                        let before = position.clone();
                        position.advance(chunk.partition, event.offset + 1);
                        if queue.push(chunk.frame_at(event, &position)).is_err() {
                            queue.fall_behind(before);
                            queue.wake();
                            return Joined::Live;
                        }
                    }
                    position.advance(chunk.partition, chunk.after.next(chunk.partition));
                    queue.wake();
                }
            }
        }
        queue.fall_behind(position);
        queue.wake();
        Joined::Live
    }

    /// Takes over a new table: live streams take their new routes, or go if they have none.
    fn refresh(&mut self) {
        let table = self.config.table();
        if !Arc::ptr_eq(&table, &self.table) {
            self.live.apply(&table, &self.table);
            self.table = table;
        }
    }

    fn dispatch(&mut self, batch: Batch) {
        self.refresh();
        let records = batch.records.len() as u64;
        if batch.first > self.head.next(batch.partition) {
            self.skip_expired(batch.partition, batch.first);
        }
        let chunk = Arc::new(self.decode(batch));
        for event in &chunk.events {
            self.route(&chunk, event);
        }
        self.head = chunk.after.clone();
        // Before anybody wakes: a stream that fell behind in this round reads on in this chunk.
        self.metrics.ring_bytes.set(self.ring.push(chunk) as i64);
        // Only now: who sees the count and connects finds a head that is past these records.
        self.metrics.records.inc_by(records);
        for place in self.touched.drain(..) {
            if let Some(live) = self.live.get_mut(place) {
                live.touched = false;
                live.queue.wake();
            }
        }
    }

    /// Reports events that the topic no longer has to the streams that were to get them.
    fn skip_expired(&mut self, partition: u32, first: u64) {
        self.ring.skip(partition, first);
        let needs = |live: &Live| {
            let ahead = live.ahead.as_ref();
            ahead.is_none_or(|position| position.next(partition) < first)
        };
        for live in self.live.take_if(needs) {
            live.queue.close(CloseCause::Expired);
        }
    }

    fn skip_unreadable(&mut self, partition: u32, place: &Unreadable) {
        let reason = place.damage.as_str();
        let skipped = self.metrics.skipped.with_label_values(&[reason]);
        skipped.inc_by(place.count());
        if let Some(held_back) = self.log_unreadable.admit(Instant::now()) {
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

    fn decode(&mut self, batch: Batch) -> Chunk {
        let mut after = self.head.clone();
        after.advance(batch.partition, batch.next);
        if let Some(place) = &batch.unreadable {
            self.skip_unreadable(batch.partition, place);
        }
        let mut events = Vec::with_capacity(batch.records.len());
        let (mut bytes, mut held) = (0, 0);
        for record in batch.records {
            let size = record.value.len();
            match Event::decode(
                record.offset,
                record.timestamp_ms,
                record.value,
                self.largest_content,
            ) {
                Ok(event) => {
                    bytes += size;
                    held += event.weight();
                    events.push(event);
                }
                Err(reason) => {
                    let reason = reason.as_str();
                    self.metrics.skipped.with_label_values(&[reason]).inc();
                    if let Some(held_back) = self.log.admit(Instant::now()) {
                        let (partition, offset) = (batch.partition, record.offset);
                        tracing::warn!(
                            partition,
                            offset,
                            reason,
                            size,
                            held_back,
                            "record skipped"
                        );
                    }
                }
            }
        }
        Chunk {
            partition: batch.partition,
            after,
            events,
            bytes,
            held,
        }
    }

    fn route(&mut self, chunk: &Chunk, event: &Event) {
        let fields = event.fields();
        self.live.matches(&fields, &mut self.matches);
        for place in self.matches.as_slice() {
            let Some(live) = self.live.get_mut(*place) else {
                continue;
            };
            if !live.route.permits(&fields) {
                self.metrics.denied.inc();
                continue;
            }
            let frame = match &mut live.ahead {
                None => chunk.live_frame(event),
                Some(ahead) if event.offset < ahead.next(chunk.partition) => continue,
                Some(ahead) => {
                    // Numbers of a stream that is ahead elsewhere must not go back there.
                    ahead.merge(&chunk.position_after(event));
                    chunk.frame_at(event, ahead)
                }
            };
            self.metrics.matched.inc();
            if live.queue.push(frame).is_err() {
                let mut position = chunk.position_after(event);
                if let Some(ahead) = &live.ahead {
                    position.merge(ahead);
                }
                let mut offsets = position.offsets().to_vec();
                offsets[chunk.partition as usize] = event.offset;
                live.queue.fall_behind(Position::new(offsets));
                live.queue.wake();
                self.metrics.fell_behind.inc();
                self.live.take(*place);
                continue;
            }
            if !live.touched {
                live.touched = true;
                self.touched.push(*place);
            }
        }
    }
}

//! The tasks that own the live fan-out, each for its share of the streams: find the streams that want an event, fill their queues, and
//! send at once to those that are at rest.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use datastream_protocol::close::CloseCause;
use datastream_protocol::position::Position;
use datastream_routing::{Matches, RouteTable, SubscriptionId};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{coop, yield_now};
use tokio::time::Instant;

use super::chunk::Chunk;
use super::head::DispatchedHead;
use super::live_streams::{Live, LiveStreams};
use super::outlet::WRITE_BYTES;
use super::ring::{Ring, RingRead};
use super::send_queue::SendQueue;
use super::sequencer::{Round, Sequencer};
use super::shared_message::SharedMessage;
use super::tally::Tally;
use crate::config::ConfigStore;
use crate::event::Event;
use crate::metrics::Metrics;

/// Chunks that a joining stream is brought up to date with on the spot; more, and it reads the ring itself.
const JOIN_CHUNKS: usize = 16;
const COMMANDS: usize = 1024;
/// Rounds that may wait for a dispatcher; then the sources wait. So many that a dispatcher which is done finds all that has come while
/// another one was busy, and writes it together. The [sequencer](Sequencer) bounds their memory.
const ROUNDS: usize = 64;
/// Shortest and longest time for which events wait for more that are already there, so that all go out in one write. Between them, it is
/// as long as the last sending took: the more streams there are, the more a second sending costs.
pub const GATHERING: RangeInclusive<Duration> =
    Duration::from_millis(2)..=Duration::from_millis(50);
/// Work after which a dispatcher lets other tasks have its thread: some milliseconds, at [`WRITE`] for what is written to a socket and
/// one for a frame that is put into a queue or an event that is looked at.
const TURN: u32 = 8192;
const WRITE: u32 = 32;

/// The way to the dispatchers for streams.
#[derive(Clone, Debug)]
pub(crate) struct DispatcherHandle {
    commands: Arc<[mpsc::Sender<Command>]>,
}

/// Outcome of a request to join the live fan-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Joined {
    /// From now on a dispatcher fills the queue, or the stream finds in it from where to read on by itself.
    Live,
    /// The subscription is no longer there.
    NoRoute,
}

#[derive(Debug)]
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
        let commands = self.of(&id);
        let join = Command::Join {
            id,
            position,
            queue,
            answer,
        };
        match commands.send(join).await {
            Ok(()) => joined.await.unwrap_or(Joined::NoRoute),
            Err(_) => Joined::NoRoute,
        }
    }

    /// Ends the filling. If the way is blocked, the dispatcher finds out when the queue is full.
    pub(crate) fn leave(&self, id: SubscriptionId, queue: Arc<SendQueue>) {
        let commands = self.of(&id);
        let _ = commands.try_send(Command::Leave { id, queue });
    }

    /// The way to the dispatcher of a subscription: always the same one.
    fn of(&self, id: &SubscriptionId) -> &mpsc::Sender<Command> {
        let bucket = usize::from(id.bucket().0);
        &self.commands[bucket % self.commands.len()]
    }
}

/// The tasks of the live fan-out, and the way to them.
pub(crate) struct FanOut {
    pub sequencer: Arc<Sequencer>,
    /// At least one.
    pub dispatchers: Vec<Dispatcher>,
    pub handle: DispatcherHandle,
}

impl FanOut {
    /// So many dispatchers, at least one, at the head of `ring`.
    pub(crate) fn new(
        dispatchers: usize,
        config: &Arc<ConfigStore>,
        ring: &Arc<Ring>,
        metrics: &Arc<Metrics>,
    ) -> Self {
        let (mut tasks, mut ways, mut commands) = (vec![], vec![], vec![]);
        for _ in 0..dispatchers.max(1) {
            let (sender, received) = mpsc::channel(COMMANDS);
            let (way, rounds) = mpsc::channel(ROUNDS);
            tasks.push(Dispatcher::new(config, ring, metrics, received, rounds));
            ways.push(way);
            commands.push(sender);
        }
        Self {
            sequencer: Arc::new(Sequencer::new(ring.clone(), metrics.clone(), ways)),
            dispatchers: tasks,
            handle: DispatcherHandle {
                commands: commands.into(),
            },
        }
    }
}

/// Routes and fans out to its share of the streams.
pub(crate) struct Dispatcher {
    config: Arc<ConfigStore>,
    table: Arc<RouteTable>,
    live: LiveStreams,
    ring: Arc<Ring>,
    head: Position,
    /// The same, for the streams to read.
    dispatched: Arc<DispatchedHead>,
    metrics: Arc<Metrics>,
    tally: Tally,
    matches: Matches,
    /// The message of the event that is being routed, as it was written last.
    message: SharedMessage,
    /// Places of streams that got something which has not been sent, and since when there are any.
    touched: Vec<u32>,
    touched_since: Option<Instant>,
    /// Time for which they may wait, as the last sending took.
    gathering: Duration,
    /// Work since it last let other tasks have its thread.
    work: u32,
    commands: mpsc::Receiver<Command>,
    rounds: mpsc::Receiver<Round>,
}

impl Dispatcher {
    fn new(
        config: &Arc<ConfigStore>,
        ring: &Arc<Ring>,
        metrics: &Arc<Metrics>,
        commands: mpsc::Receiver<Command>,
        rounds: mpsc::Receiver<Round>,
    ) -> Self {
        let head = ring.head();
        Self {
            config: config.clone(),
            table: Arc::default(),
            live: LiveStreams::default(),
            ring: ring.clone(),
            dispatched: Arc::new(DispatchedHead::new(head.clone())),
            head,
            metrics: metrics.clone(),
            tally: Tally::new(metrics),
            matches: Matches::default(),
            message: SharedMessage::default(),
            touched: Vec::new(),
            touched_since: None,
            gathering: *GATHERING.start(),
            work: 0,
            commands,
            rounds,
        }
    }

    /// Runs until the sources have ended.
    pub(crate) async fn run(self) {
        // The library would let it write to so many sockets and no more: it sees to its turns itself.
        coop::unconstrained(self.serve()).await;
    }

    async fn serve(mut self) {
        loop {
            tokio::select! {
                biased;
                Some(command) = self.commands.recv() => self.handle(command),
                round = self.rounds.recv() => match round {
                    Some(Round::Chunk(handed)) => {
                        if self.rounds.is_empty() {
                            // What has come meanwhile, of this partition or of others, goes out with it.
                            yield_now().await;
                        }
                        self.dispatch(&handed.chunk).await;
                    }
                    Some(Round::Expired { partition, first }) => self.skip_expired(partition, first),
                    None => return,
                },
            }
            if self.is_to_send() {
                self.send().await;
            }
            self.spend(1).await;
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
        // A stream that has ended, or whose subscription was deleted and created again, must not take the place of the next one.
        let uid = &queue.route().uid;
        let route = self.table.by_id(id);
        let route = route.filter(|route| !queue.has_ended() && route.uid == *uid);
        let Some(route) = route.cloned() else {
            return Joined::NoRoute;
        };
        for _ in 0..=JOIN_CHUNKS {
            match self.ring.read(&position) {
                // What is in the ring and has not been dispatched yet, it gets as the others do.
                RingRead::Chunk(chunk) if self.head.covers(&chunk.after) => {
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
                // Some of what was here may have been put in: the stream reads on behind that.
                RingRead::Past { .. } => break,
                RingRead::AtHead | RingRead::Chunk(_) => {
                    queue.joined(&position, self.dispatched.clone());
                    let ahead = (!self.head.covers(&position)).then_some(position);
                    self.live.join(Live::new(queue, ahead, route));
                    return Joined::Live;
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
            self.live.apply(&table, &self.table, &self.head);
            self.table = table;
        }
    }

    async fn dispatch(&mut self, chunk: &Chunk) {
        self.refresh();
        let last = chunk.events.len().saturating_sub(1);
        for (index, event) in chunk.events.iter().enumerate() {
            let is_last = index == last && self.rounds.is_empty();
            self.route(chunk, event, is_last).await;
        }
        self.head = chunk.after.clone();
        self.dispatched.set(chunk.after.clone());
        self.tally.settle(&self.metrics);
    }

    /// Returns whether to send what there is: nothing more is there to go with it, or it has waited long enough.
    fn is_to_send(&self) -> bool {
        let is_over = |since: Instant| since.elapsed() >= self.gathering;
        let gathers = !self.rounds.is_empty();
        self.touched_since
            .is_some_and(|since| !gathers || is_over(since))
    }

    async fn send(&mut self) {
        self.touched_since = None;
        let begun = Instant::now();
        let mut touched = std::mem::take(&mut self.touched);
        for place in touched.drain(..) {
            if let Some(live) = self.live.get_mut(place) {
                live.touched = false;
                live.queue.send(&mut self.tally);
                self.spend(WRITE).await;
            }
        }
        self.touched = touched;
        self.gathering = begun.elapsed().clamp(*GATHERING.start(), *GATHERING.end());
        self.tally.settle(&self.metrics);
    }

    /// Notes work, and lets other tasks have the thread when there was much.
    async fn spend(&mut self, work: u32) {
        self.work += work;
        if self.work >= TURN {
            self.work = 0;
            yield_now().await;
            self.tally.look_again();
        }
    }

    /// Reports events that the topic no longer has to the streams that were to get them.
    fn skip_expired(&mut self, partition: u32, first: u64) {
        let needs = |live: &Live| {
            let ahead = live.ahead.as_ref();
            ahead.is_none_or(|position| position.next(partition) < first)
        };
        for live in self.live.take_if(needs) {
            live.close(&self.head, CloseCause::Expired);
        }
    }

    /// Puts an event into the queues of the streams that want it. The last one that there is for now is sent at once, while the queue is
    /// in the caches of the core.
    async fn route(&mut self, chunk: &Chunk, event: &Event, is_last: bool) {
        let fields = event.fields();
        let mut matches = std::mem::take(&mut self.matches);
        self.live.matches(&fields, &mut matches);
        for place in matches.as_slice() {
            let Some(live) = self.live.get_mut(*place) else {
                continue;
            };
            if !live.permits(&fields) {
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
            self.tally.matched += 1;
            let passed = if is_last {
                live.queue.pass(frame, &mut self.tally, &mut self.message)
            } else {
                Err(frame)
            };
            let Err(frame) = passed else {
                self.spend(WRITE).await;
                continue;
            };
            // What does not fit may fit once what is there is sent.
            let again = |frame| {
                live.queue.send(&mut self.tally);
                live.queue.push(frame)
            };
            let Ok(waiting) = live.queue.push(frame).or_else(again) else {
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
            };
            let mut work = 1;
            if waiting > WRITE_BYTES || is_last {
                live.queue.send(&mut self.tally);
                work += WRITE;
            } else if !live.touched {
                live.touched = true;
                self.touched.push(*place);
                self.touched_since.get_or_insert_with(Instant::now);
            }
            self.spend(work).await;
        }
        self.matches = matches;
        self.message.clear();
        self.spend(1).await;
    }
}

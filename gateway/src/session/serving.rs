//! The serving of one stream: queue to transport, heartbeats, and what the client says. One method for each event.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::ops::ControlFlow;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use datastream_protocol::close::CloseCause;
use datastream_protocol::frame::Marker;
use datastream_protocol::position::{Position, Seq};
use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::alarm::Alarm;
use super::batch::Batch;
use super::heartbeats::Heartbeats;
use super::renewal::renew;
use super::run::Session;
use super::shared_transport::{SharedTransport, Turn};
use super::stall::Stall;
use super::state_gauge::{State, StateGauge};
use super::transport::{Happened, Transport};
use crate::fanout::{CatchUp, Drained, MarkerFrame, QueuedFrame, SendQueue, Tally};
use crate::metrics::Metrics;
use crate::settings::LagLimit;

/// Interval at which the lag of a stream that fell behind is checked.
const LAG_CHECK: Duration = Duration::from_secs(1);

/// Time in which a client can take what was on its way when what opened its stream was revoked.
const REVOKED_GRACE: Duration = Duration::from_millis(500);

/// State of a stream while it is served; dropping it stops its catching up.
pub(super) struct Serving<'a, T> {
    session: &'a mut Session<T>,
    state: StateGauge<'a>,
    shared: Arc<SharedTransport<T>>,
    heartbeats: Heartbeats,
    /// Reads on for the stream while it is not live.
    catching_up: Option<AbortOnDropHandle<()>>,
    alarm: Alarm,
    /// Time of the next look at the lag, while there is one.
    lag_check: Option<Instant>,
    stall: Option<Stall>,
    /// The check of a new token.
    renewal: Option<AbortOnDropHandle<()>>,
    /// The cause to close with once everything is sent.
    closing: Option<CloseCause>,
    /// Time at which the stream is closed although not everything is sent, once what opened it opens it no longer.
    revoked_until: Option<Instant>,
    /// There was something to send when the client was last probed: that it is sent will be a sign of life, too.
    probed_while_sending: bool,
}

/// Event in the life of a stream.
enum Event {
    /// A time has come.
    Due,
    Transport(Happened),
    QueueChanged,
}

impl<'a, T: Transport + 'static> Serving<'a, T> {
    /// Begins to serve a stream, which reads on by itself from its position until it is live.
    pub(super) fn new(session: &'a mut Session<T>, metrics: &'a Metrics) -> Self {
        let shared = session.transport.clone();
        let position = {
            let mut turn = shared.turn();
            if session.gap_marker {
                let marker = MarkerFrame::new(Marker::Gap, &Seq::starting_at(&turn.position));
                turn.unsent.push_back(QueuedFrame::Marker(marker));
            }
            turn.position.clone()
        };
        session.registration.queue().attach(shared.clone());
        let behind = if session.replays {
            State::Replaying
        } else {
            State::CatchingUp
        };
        let catching_up = catch_up(session, position);
        let heartbeats = Heartbeats::new(session.registration.queue().route().heartbeat);
        shared.turn().set_patience(heartbeats.patience());
        Self {
            state: StateGauge::new(metrics, behind),
            shared,
            heartbeats,
            catching_up: Some(catching_up),
            alarm: Alarm::default(),
            lag_check: None,
            stall: None,
            renewal: None,
            closing: None,
            revoked_until: None,
            probed_while_sending: false,
            session,
        }
    }

    /// Serves the stream until there is a cause to close it.
    pub(super) async fn run(&mut self) -> CloseCause {
        loop {
            if let ControlFlow::Break(cause) = self.step().await {
                // What has not been taken by the transport is not sent any more.
                let mut turn = self.turn();
                let next = turn.unsent.iter().find_map(QueuedFrame::event);
                if let Some(before) = next.map(|next| next.at.before()) {
                    turn.position = before;
                }
                // The memory that it borrowed is given back before the client has been told goodbye.
                turn.unsent = VecDeque::new();
                return cause;
            }
        }
    }

    async fn step(&mut self) -> ControlFlow<CloseCause> {
        if self.is_all_sent() {
            if self.is_paced() {
                self.queue().settle();
            } else {
                self.refill()?;
            }
        }
        if let Some(cause) = self.queue().aborted() {
            return ControlFlow::Break(cause);
        }
        if self.queue().take_probe() {
            self.probed_while_sending = !self.is_all_sent();
            self.turn().probed();
            self.send_heartbeat();
        }
        self.watch();
        let event = self.next().await;
        if let Some(cause) = self.turn().begin() {
            return ControlFlow::Break(cause);
        }
        match event {
            Event::Due => self.due(),
            Event::Transport(happened) => self.happened(happened),
            Event::QueueChanged => {
                // What is all sent is looked at next, in any case.
                if !self.is_all_sent() && self.closing.is_none() {
                    let closing = self.queue().closing();
                    self.begin_grace(closing.as_ref());
                }
                ControlFlow::Continue(())
            }
        }
    }

    /// Waits for what happens next, and lets the dispatcher send meanwhile, if there is nothing to be waited for.
    async fn next(&mut self) -> Event {
        let paced_until = {
            let mut turn = self.shared.turn();
            if self.closing.is_none() && self.session.batch.is_none() {
                turn.rest();
            }
            turn.meter.held_until
        };
        let times = [
            Some(self.heartbeats.next()),
            self.lag_check,
            self.stall.as_ref().map(Stall::next),
            paced_until,
            self.revoked_until,
            self.session.batch.as_ref().and_then(Batch::end_of_wait),
        ];
        let registration = &self.session.registration;
        tokio::select! {
            biased;
            () = self.alarm.at(times.into_iter().flatten().min()) => Event::Due,
            happened = poll_fn(|cx| self.shared.poll(cx)) => Event::Transport(happened),
            () = registration.queue().woken() => Event::QueueChanged,
        }
    }

    /// Returns whether the queue is to fill up meanwhile. That the stream is to be closed does not wait.
    fn is_paced(&self) -> bool {
        let is_closing = self.closing.is_some() || self.queue().closing().is_some();
        self.turn().meter.held_until.is_some() && !is_closing
    }

    fn queue(&self) -> &SendQueue {
        self.session.registration.queue()
    }

    fn turn(&self) -> MutexGuard<'_, Turn<T>> {
        self.shared.turn()
    }

    fn is_all_sent(&self) -> bool {
        self.turn().is_all_sent()
    }

    /// Gives a client whose access was revoked a moment to take what it had coming, and no more.
    fn begin_grace(&mut self, closing: Option<&CloseCause>) {
        if closing.is_some_and(CloseCause::is_revocation) {
            let grace = Instant::now() + REVOKED_GRACE;
            self.revoked_until.get_or_insert(grace);
        }
    }

    /// Takes what is in the queue, once everything before is sent.
    fn refill(&mut self) -> ControlFlow<CloseCause> {
        if let Some(cause) = self.closing.take() {
            return self.end(cause);
        }
        let mut drained = self.queue().take(self.shared.wants_position());
        if self.shared.wants_position() {
            self.cover(&drained);
        }
        if let Some(position) = drained.fell_behind_at.take() {
            self.catching_up = Some(catch_up(self.session, position));
            self.state.set(State::CatchingUp);
        } else if drained.joined {
            self.catching_up = None;
            self.state.set(State::Live);
        }
        if let Some(batch) = &mut self.session.batch {
            bound(&mut drained, batch, &mut self.shared.turn().position);
        }
        let has_frames = !drained.frames.is_empty();
        self.hand_over(drained.frames);
        if self.heartbeats.set(self.queue().route().heartbeat) {
            self.turn().set_patience(self.heartbeats.patience());
        }
        let is_live = self.state.is_live();
        let batch = self.session.batch.as_ref();
        if batch.is_some_and(|batch| is_live && batch.is_over_when_live()) {
            drained.close.get_or_insert(CloseCause::BatchDone);
        }
        match drained.close {
            Some(cause) if !has_frames => self.end(cause),
            cause => {
                self.begin_grace(cause.as_ref());
                self.closing = cause;
                ControlFlow::Continue(())
            }
        }
    }

    /// Ends the stream when all is sent, which is waited for.
    fn end(&mut self, cause: CloseCause) -> ControlFlow<CloseCause> {
        if self.turn().finish() {
            return ControlFlow::Break(cause);
        }
        self.begin_grace(Some(&cause));
        self.closing = Some(cause);
        ControlFlow::Continue(())
    }

    /// Does what is due. That the first event of a batch is waited for no longer, the next step finds out.
    fn due(&mut self) -> ControlFlow<CloseCause> {
        let now = Instant::now();
        let is_due = |time: Option<Instant>| time.is_some_and(|time| time <= now);
        if is_due(Some(self.heartbeats.next())) {
            self.heartbeats.tick();
            self.heartbeat_due()?;
        }
        if is_due(self.lag_check) {
            self.lag_check = Some(now + LAG_CHECK);
            self.check_lag()?;
        }
        if is_due(self.stall.as_ref().map(Stall::next)) {
            self.check_stall()?;
        }
        self.turn().meter.end_hold(now);
        if is_due(self.revoked_until) {
            self.revoked_until = None;
            let cause = self.closing.take().or_else(|| self.queue().closing());
            return cause.map_or(ControlFlow::Continue(()), ControlFlow::Break);
        }
        ControlFlow::Continue(())
    }

    fn heartbeat_due(&mut self) -> ControlFlow<CloseCause> {
        let (written, on_their_way) = {
            let turn = self.turn();
            (turn.written(), turn.heartbeats_on_their_way())
        };
        match self.heartbeats.is_due(written, on_their_way) {
            Ok(true) => self.send_heartbeat(),
            Ok(false) => (),
            Err(cause) => return ControlFlow::Break(cause),
        }
        ControlFlow::Continue(())
    }

    fn check_lag(&self) -> ControlFlow<CloseCause> {
        match self.too_far_behind() {
            Some(cause) => ControlFlow::Break(cause),
            None => ControlFlow::Continue(()),
        }
    }

    fn check_stall(&mut self) -> ControlFlow<CloseCause> {
        let written = self.turn().written();
        let is_over = self.stall.as_mut().is_some_and(|s| s.is_over(written));
        // One that has taken everything, and is to get more later, is not in the way.
        if is_over && !self.is_all_sent() && self.queue().is_in_the_way() {
            return ControlFlow::Break(CloseCause::Stalled);
        }
        ControlFlow::Continue(())
    }

    fn happened(&mut self, happened: Happened) -> ControlFlow<CloseCause> {
        match happened {
            Happened::Sent => {
                if std::mem::take(&mut self.probed_while_sending) {
                    self.queue().alive();
                }
            }
            Happened::Answered => {
                self.queue().alive();
                if self.is_answer() {
                    if let Some(acks) = &mut self.session.acks {
                        acks.answered();
                    }
                    self.session.metrics.heartbeats_answered.inc();
                }
            }
            Happened::Taken => {
                self.queue().alive();
                if self.is_answer() {
                    self.session.metrics.heartbeats_answered.inc();
                }
            }
            Happened::Acknowledged(seq) => {
                self.queue().alive();
                return self.acknowledge(&seq);
            }
            Happened::Alive => self.queue().alive(),
            Happened::NewToken(token) => {
                self.queue().alive();
                let access = self.session.access.clone();
                let queue = self.session.registration.queue().clone();
                self.renewal = Some(renew(access, queue, token));
            }
            Happened::Ended(cause) => return ControlFlow::Break(cause),
        }
        ControlFlow::Continue(())
    }

    /// Notes what the client has handled. It is told where its subscription does not remember it, too: a client may be made for both.
    fn acknowledge(&mut self, seq: &str) -> ControlFlow<CloseCause> {
        let Some(acks) = &mut self.session.acks else {
            return ControlFlow::Continue(());
        };
        let sent = &self.shared.turn().position;
        match Seq::parse_end(seq, sent.partitions()) {
            Ok(position) if sent.covers(&position) => {
                acks.acknowledge(&position);
                ControlFlow::Continue(())
            }
            _ => ControlFlow::Break(CloseCause::BadAck),
        }
    }

    fn send_heartbeat(&mut self) {
        self.session.metrics.heartbeats_sent.inc();
        let turn = &mut *self.shared.turn();
        if let Some(acks) = &mut self.session.acks {
            acks.heartbeat(&turn.position, turn.meter.events);
        }
        turn.unsent.push_back(QueuedFrame::Heartbeat);
        self.heartbeats.queued();
    }

    /// Counts an answer to a heartbeat, if it is one.
    fn is_answer(&mut self) -> bool {
        let on_their_way = self.turn().heartbeats_on_their_way();
        self.heartbeats.answer(on_their_way)
    }

    /// Moves the stream's position on to what it will have been sent with what was in the queue.
    fn cover(&self, drained: &Drained) {
        let position = &mut self.turn().position;
        if let Some(fell_behind_at) = &drained.fell_behind_at {
            position.merge(fell_behind_at);
        } else if let Some(head) = &drained.head {
            position.merge(head);
        }
        // The head moves a moment after the queues are filled: the last event may be beyond it.
        if let Some(last) = drained.frames.iter().rev().find_map(QueuedFrame::event) {
            position.merge(&last.at.after);
        }
    }

    /// Returns the cause to close with, if the next event to send is older, or further from the head, than `max_lag` allows.
    fn too_far_behind(&self) -> Option<CloseCause> {
        let Session {
            max_lag, context, ..
        } = &*self.session;
        let next = self.turn().next_event();
        let next = next.or_else(|| self.queue().next_event())?;
        let taken_ms = next.times.taken_ms;
        let old = max_lag.age.is_some_and(|age| {
            taken_ms > 0 && now_ms() - taken_ms > i64::try_from(age.as_millis()).unwrap_or(i64::MAX)
        });
        let far = max_lag
            .bytes
            .is_some_and(|bytes| context.ring.bytes_behind(&next.at.before()) > bytes);
        (old || far).then(|| CloseCause::TooFarBehind {
            seq_start: next.at.seq().as_str().into(),
        })
    }

    /// Hands what goes out next to the transport, counts it, and takes down the last event.
    fn hand_over(&mut self, frames: VecDeque<QueuedFrame>) {
        let last = frames.iter().rev().find_map(QueuedFrame::event);
        if let Some(last) = last.filter(|_| self.session.registration.is_reported()) {
            self.queue().sent(&last.at);
        }
        let turn = &mut *self.shared.turn();
        if last.is_some() {
            let mut tally = Tally::new(&self.session.metrics);
            turn.meter.count(&frames, &mut tally);
            tally.settle(&self.session.metrics);
        }
        turn.unsent = frames;
        self.stall = None;
    }

    /// Watches, while something is on its way, whether the client takes it, if that is more than its share of memory, and how far it is
    /// behind. That the queue ran full, the stream finds out only once it has sent what was in there.
    fn watch(&mut self) {
        let turn = self.shared.turn();
        if turn.is_all_sent() {
            self.stall = None;
            if self.state.is_live() {
                self.lag_check = None;
            }
            return;
        }
        if self.stall.is_none() {
            let in_flight = self.session.registration.queue().in_flight();
            self.stall = Stall::of(in_flight, turn.written());
        }
        if self.session.max_lag != LagLimit::default() {
            self.lag_check
                .get_or_insert_with(|| Instant::now() + LAG_CHECK);
        }
    }
}

/// Leaves in what was taken out of the queue what fits into a batch. One that is full by that is done, at the position behind its last
/// event.
fn bound(drained: &mut Drained, batch: &mut Batch, position: &mut Position) {
    let frames = &mut drained.frames;
    let events = frames.iter().filter(|frame| frame.event().is_some());
    let mut taken = batch.take(events.count() as u64);
    if !batch.is_full() {
        return;
    }
    let is_in = |frame: &QueuedFrame| {
        let counts = u64::from(frame.event().is_some());
        let is_in = taken >= counts && taken > 0;
        taken -= counts.min(taken);
        is_in
    };
    let kept = frames.iter().map(is_in).take_while(|is_in| *is_in).count();
    frames.truncate(kept);
    if let Some(last) = frames.iter().rev().find_map(QueuedFrame::event) {
        *position = last.at.after.clone();
    }
    drained.close = Some(CloseCause::BatchDone);
}

/// Reads on for a stream from this position until it is live.
fn catch_up<T>(session: &Session<T>, position: Position) -> AbortOnDropHandle<()> {
    let catch_up = CatchUp {
        context: session.context.clone(),
        id: session.registration.id().clone(),
        queue: session.registration.queue().clone(),
        position,
        end: session.end.clone(),
        paced_until: None,
        paces: session.paces.clone(),
    };
    AbortOnDropHandle::new(tokio::spawn(catch_up.run()))
}

fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

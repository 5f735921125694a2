//! The serving of one stream: queue to transport, heartbeats, and what the client says. One method for each event.

use std::collections::VecDeque;
use std::future::{pending, poll_fn};
use std::ops::ControlFlow;
use std::time::Duration;

use datastream_protocol::close::CloseCause;
use datastream_protocol::frame::Marker;
use datastream_protocol::position::{Position, Seq};
use jiff::Timestamp;
use tokio::time::{Instant, Interval, interval, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use super::batch::Batch;
use super::heartbeats::Heartbeats;
use super::renewal::renew;
use super::run::Session;
use super::stall::Stall;
use super::state_gauge::{State, StateGauge};
use super::transport::{Happened, Transport};
use crate::fanout::{CatchUp, Drained, MarkerFrame, QueuedFrame, SendQueue};
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
    /// Frames that were taken out of the queue, and that the transport has not taken yet.
    unsent: VecDeque<QueuedFrame>,
    heartbeats: Heartbeats,
    /// Reads on for the stream while it is not live.
    catching_up: Option<AbortOnDropHandle<()>>,
    /// There only while there is a lag to look at: most streams never have one.
    lag_ticks: Option<Interval>,
    stall: Option<Stall>,
    /// Time until which nothing is taken out of the queue: what was sent before was more than the stream's rates allow.
    paced_until: Option<Instant>,
    /// The check of a new token.
    renewal: Option<AbortOnDropHandle<()>>,
    /// The cause to close with once everything is sent.
    closing: Option<CloseCause>,
    /// Time at which the stream is closed although not everything is sent, once what opened it opens it no longer.
    revoked_until: Option<Instant>,
    /// There was something to send when the client was last probed: that it is sent will be a sign of life, too.
    probed_while_sending: bool,
    /// Events handed to the transport so far.
    events: u64,
}

/// Event in the life of a stream.
enum Event {
    HeartbeatDue,
    LagCheckDue,
    StallCheckDue,
    PaceOver,
    WaitOver,
    GraceOver,
    Transport(Happened),
    QueueChanged,
}

impl<'a, T: Transport> Serving<'a, T> {
    /// Begins to serve a stream, which reads on by itself from its position until it is live.
    pub(super) fn new(session: &'a mut Session<T>, metrics: &'a Metrics) -> Self {
        let mut unsent = VecDeque::new();
        if session.gap_marker {
            let marker = MarkerFrame::new(Marker::Gap, &Seq::starting_at(&session.position));
            unsent.push_back(QueuedFrame::Marker(marker));
        }
        let behind = if session.replays {
            State::Replaying
        } else {
            State::CatchingUp
        };
        let catching_up = catch_up(session, session.position.clone());
        Self {
            state: StateGauge::new(metrics, behind),
            unsent,
            heartbeats: Heartbeats::new(session.registration.queue().route().heartbeat),
            catching_up: Some(catching_up),
            lag_ticks: None,
            stall: None,
            paced_until: session.paces.as_ref().and_then(|paces| {
                let held = [paces.events.held_until(), paces.sent.held_until()];
                held.into_iter().flatten().max()
            }),
            renewal: None,
            closing: None,
            revoked_until: None,
            probed_while_sending: false,
            events: 0,
            session,
        }
    }

    /// Serves the stream until there is a cause to close it.
    pub(super) async fn run(&mut self) -> CloseCause {
        loop {
            if let ControlFlow::Break(cause) = self.step().await {
                // What has not been taken by the transport is not sent any more.
                if let Some(next) = self.unsent.iter().find_map(QueuedFrame::event) {
                    self.session.position = next.at.before();
                }
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
            self.session.transport.probed();
            self.send_heartbeat();
        }
        match self.next().await {
            Event::HeartbeatDue => self.heartbeat_due(),
            Event::LagCheckDue => self.check_lag(),
            Event::StallCheckDue => self.check_stall(),
            Event::Transport(happened) => self.happened(happened),
            Event::PaceOver => {
                self.paced_until = None;
                ControlFlow::Continue(())
            }
            Event::GraceOver => match self.closing.take().or_else(|| self.queue().closing()) {
                Some(cause) => ControlFlow::Break(cause),
                None => ControlFlow::Continue(()),
            },
            Event::QueueChanged => {
                // What is all sent is looked at next, in any case.
                if !self.is_all_sent() && self.closing.is_none() {
                    let closing = self.queue().closing();
                    self.begin_grace(closing.as_ref());
                }
                ControlFlow::Continue(())
            }
            Event::WaitOver => ControlFlow::Continue(()),
        }
    }

    /// Waits for what happens next.
    async fn next(&mut self) -> Event {
        let Session {
            transport,
            registration,
            batch,
            ..
        } = &mut *self.session;
        let unsent = &mut self.unsent;
        tokio::select! {
            biased;
            () = self.heartbeats.tick() => Event::HeartbeatDue,
            () = next_lag_check(&mut self.lag_ticks) => Event::LagCheckDue,
            () = next_stall_check(&mut self.stall) => Event::StallCheckDue,
            () = at(self.paced_until) => Event::PaceOver,
            () = at(self.revoked_until) => Event::GraceOver,
            () = end_of_wait(batch.as_ref()) => Event::WaitOver,
            happened = poll_fn(|cx| transport.poll(unsent, cx)) => Event::Transport(happened),
            () = registration.queue().woken() => Event::QueueChanged,
        }
    }

    /// Returns whether the queue is to fill up meanwhile. That the stream is to be closed does not wait.
    fn is_paced(&self) -> bool {
        let is_closing = self.closing.is_some() || self.queue().closing().is_some();
        self.paced_until.is_some() && !is_closing
    }

    fn queue(&self) -> &SendQueue {
        self.session.registration.queue()
    }

    fn is_all_sent(&self) -> bool {
        self.unsent.is_empty() && self.session.transport.is_idle()
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
            return ControlFlow::Break(cause);
        }
        // Before the queue is emptied: what the head has passed by now is in there, if the stream is live.
        let head = self.session.acks.is_some() || T::TELLS_POSITION;
        let head = head.then(|| self.session.context.ring.head());
        let mut drained = self.queue().take();
        if let Some(head) = head {
            self.cover(&drained, &head);
        }
        if let Some(position) = drained.fell_behind_at.take() {
            self.catching_up = Some(catch_up(self.session, position));
            if self.session.max_lag != LagLimit::default() {
                self.lag_ticks.get_or_insert_with(|| interval(LAG_CHECK));
            }
            self.state.set(State::CatchingUp);
        } else if drained.joined {
            self.catching_up = None;
            self.lag_ticks = None;
            self.state.set(State::Live);
        }
        if let Some(batch) = &mut self.session.batch {
            bound(&mut drained, batch, &mut self.session.position);
        }
        self.unsent = drained.frames;
        self.stall = Stall::of(&self.unsent, self.session.transport.written());
        self.heartbeats.set(self.queue().route().heartbeat);
        self.count();
        let is_live = self.state.is_live();
        let batch = self.session.batch.as_ref();
        if batch.is_some_and(|batch| is_live && batch.is_over_when_live()) {
            drained.close.get_or_insert(CloseCause::BatchDone);
        }
        match drained.close {
            Some(cause) if self.unsent.is_empty() => ControlFlow::Break(cause),
            cause => {
                self.begin_grace(cause.as_ref());
                self.closing = cause;
                ControlFlow::Continue(())
            }
        }
    }

    fn heartbeat_due(&mut self) -> ControlFlow<CloseCause> {
        match self
            .heartbeats
            .is_due(self.unsent.len(), self.heartbeats_on_their_way())
        {
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
        let written = self.session.transport.written();
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
                if self.heartbeats.answer(self.heartbeats_on_their_way()) {
                    if let Some(acks) = &mut self.session.acks {
                        acks.answered();
                    }
                    self.session.metrics.heartbeats_answered.inc();
                }
            }
            Happened::Taken => {
                self.queue().alive();
                if self.heartbeats.answer(self.heartbeats_on_their_way()) {
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
        let sent = &self.session.position;
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
        if let Some(acks) = &mut self.session.acks {
            acks.heartbeat(&self.session.position, self.events);
        }
        self.unsent.push_back(QueuedFrame::Heartbeat);
        self.heartbeats.queued();
    }

    /// Heartbeats that have not reached the socket.
    fn heartbeats_on_their_way(&self) -> u64 {
        let unsent = self.unsent.iter().filter(|frame| frame.is_heartbeat());
        self.session.transport.heartbeats() + unsent.count() as u64
    }

    /// Moves the stream's position on to what it will have been sent with what was in the queue.
    fn cover(&mut self, drained: &Drained, head: &Position) {
        let position = &mut self.session.position;
        if let Some(fell_behind_at) = &drained.fell_behind_at {
            position.merge(fell_behind_at);
        } else if self.state.is_live() || drained.joined {
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
        let next = self.unsent.iter().find_map(QueuedFrame::event)?;
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

    /// Counts the events that go out next, and takes down the last one.
    fn count(&mut self) {
        let Session {
            metrics,
            registration,
            ..
        } = &*self.session;
        if registration.is_reported()
            && let Some(last) = self.unsent.iter().rev().find_map(QueuedFrame::event)
        {
            self.queue().sent(&last.at);
        }
        let (mut events, mut bytes, mut now) = (0, 0, None);
        for event in self.unsent.iter().filter_map(QueuedFrame::event) {
            events += 1;
            bytes += event.text.len() as u64;
            for (since_ms, histogram) in [
                (event.times.taken_ms, &metrics.latency),
                (event.times.happened_ms, &metrics.event_age),
            ] {
                if since_ms > 0 {
                    let age_ms = *now.get_or_insert_with(now_ms) - since_ms;
                    histogram.observe(age_ms.max(0) as f64 / 1e3);
                }
            }
        }
        metrics.sent.inc_by(events);
        metrics.sent_bytes.inc_by(bytes);
        if let Some(paces) = &self.session.paces {
            let of_events = paces.events.charge(events).map(|held| (held, "events"));
            let of_bytes = paces.sent.charge(bytes).map(|held| (held, "sent_kib"));
            let held = of_events.into_iter().chain(of_bytes);
            if let Some(((until, scope), what)) = held.max_by_key(|((until, _), _)| *until) {
                self.paced_until = Some(until);
                metrics.limited(&format!("{what}/{}", scope.name()));
            }
        }
        self.events += events;
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

/// The next look at the lag, or never.
async fn next_lag_check(ticks: &mut Option<Interval>) {
    match ticks {
        Some(ticks) => drop(ticks.tick().await),
        None => pending().await,
    }
}

/// This time, or never.
async fn at(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => pending().await,
    }
}

/// The time until which the first event of a batch is waited for, or never.
async fn end_of_wait(batch: Option<&Batch>) {
    match batch {
        Some(batch) => batch.end_of_wait().await,
        None => pending().await,
    }
}

/// The next look at whether the client takes anything, or never.
async fn next_stall_check(stall: &mut Option<Stall>) {
    match stall {
        Some(stall) => stall.tick().await,
        None => pending().await,
    }
}

fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

//! The transport of a stream, at which the stream's own task and its dispatcher take turns.
//!
//! Most of the time a stream is at rest: all is sent, and its client has nothing to say. What comes then goes from the dispatcher to the
//! socket at once, and no task is woken. The task has its turn when the socket takes no more, when the client speaks, at heartbeats, and
//! for whatever else there is than events; until it is at rest again, events wait for it in the queue.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use datastream_protocol::close::CloseCause;
use datastream_protocol::position::Position;

use super::meter::Meter;
use super::transport::{Happened, Transport};
use crate::event::EventFrame;
use crate::fanout::{Outlet, QueuedFrame, SendQueue, SharedMessage, Tally};

/// A transport, and what has to be known for whoever sends by it next. What a dispatcher looks at comes first, as in the queue.
#[repr(C)]
pub(crate) struct SharedTransport<T> {
    /// The progress of the stream is reported.
    is_reported: bool,
    /// It is asked for the position of the stream.
    wants_position: bool,
    /// Held for a poll, never across an await.
    turn: Mutex<Turn<T>>,
    dialect: &'static str,
}

/// A turn at the transport.
#[repr(C)]
pub(super) struct Turn<T> {
    /// Everything is sent, and nothing keeps what comes next from being sent.
    at_rest: bool,
    pub meter: Meter,
    /// Gone once the stream is served no more.
    transport: Option<T>,
    /// Frames that were taken out of the queue, and that the transport has not taken yet.
    pub unsent: VecDeque<QueuedFrame>,
    /// Everything before has been handed to the socket, or is unsent; at first, where the stream starts.
    pub position: Position,
    /// The cause for which sending failed.
    failed: Option<CloseCause>,
}

impl<T: Transport> SharedTransport<T> {
    /// The transport of a stream that starts at this position, and whose task has the first turn. With whether the progress of the stream
    /// is reported, and whether its position is asked for even if its client is not told.
    pub(crate) fn new(
        transport: T,
        position: Position,
        meter: Meter,
        is_reported: bool,
        wants_position: bool,
    ) -> Self {
        let dialect = transport.dialect();
        let turn = Turn {
            transport: Some(transport),
            unsent: VecDeque::new(),
            position,
            meter,
            at_rest: false,
            failed: None,
        };
        Self {
            turn: Mutex::new(turn),
            is_reported,
            wants_position: wants_position || T::TELLS_POSITION,
            dialect,
        }
    }

    /// The name of the dialect that frames are written in.
    pub(super) const fn dialect(&self) -> &'static str {
        self.dialect
    }

    /// Returns whether the position is asked for.
    pub(super) const fn wants_position(&self) -> bool {
        self.wants_position
    }

    /// A turn of the stream's task.
    pub(super) fn turn(&self) -> MutexGuard<'_, Turn<T>> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A turn of the dispatcher; none when it is the task's, which looks at the queue when it is woken.
    fn turn_at_rest(&self) -> Option<MutexGuard<'_, Turn<T>>> {
        let turn = self.turn.try_lock().ok()?;
        turn.at_rest.then_some(turn)
    }

    /// Sends and receives for the stream's task.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<Happened> {
        let turn = &mut *self.turn();
        match &mut turn.transport {
            Some(transport) => transport.poll(&mut turn.unsent, cx),
            None => Poll::Pending,
        }
    }

    /// The position that the stream has come to.
    pub(super) fn position(&self) -> Position {
        self.turn().position.clone()
    }

    /// Ends the dispatcher's turns, and returns the transport.
    pub(super) fn take(&self) -> Option<T> {
        self.turn().transport.take()
    }
}

impl<T: Transport> Turn<T> {
    /// Lets the dispatcher send from now on, if it can.
    pub(super) fn rest(&mut self) {
        self.at_rest = T::SENDS_AT_ONCE
            && self.is_all_sent()
            && self.failed.is_none()
            && self.meter.held_until.is_none();
    }

    /// Begins a turn of the stream's task, which lasts until it rests. Returns the cause to close with, if sending has failed.
    pub(super) fn begin(&mut self) -> Option<CloseCause> {
        self.at_rest = false;
        self.failed.take()
    }

    /// Notes how sending without the stream's task has ended. Returns whether the stream is at rest still.
    fn goes_on(&mut self, sent: Poll<Result<(), CloseCause>>) -> bool {
        self.at_rest = match sent {
            Poll::Ready(Ok(())) => self.meter.held_until.is_none(),
            Poll::Ready(Err(cause)) => {
                self.failed = Some(cause);
                false
            }
            Poll::Pending => false,
        };
        self.at_rest
    }

    pub(super) fn is_all_sent(&self) -> bool {
        self.unsent.is_empty() && self.transport.as_ref().is_none_or(Transport::is_idle)
    }

    /// The first event that is unsent.
    pub(super) fn next_event(&self) -> Option<Arc<EventFrame>> {
        self.unsent.iter().find_map(QueuedFrame::event).cloned()
    }

    /// Heartbeats that have not reached the socket.
    pub(super) fn heartbeats_on_their_way(&self) -> u64 {
        let unsent = self.unsent.iter().filter(|frame| frame.is_heartbeat());
        let begun = self.transport.as_ref().map_or(0, Transport::heartbeats);
        begun + unsent.count() as u64
    }

    /// Bytes handed to the socket so far.
    pub(super) fn written(&self) -> u64 {
        self.transport.as_ref().map_or(0, Transport::written)
    }

    /// Notes that no frame follows. Returns whether all are with the socket.
    pub(super) fn finish(&mut self) -> bool {
        self.transport.as_mut().is_none_or(Transport::finish)
    }

    /// Sets the time in which the stream waits for a sign of life.
    pub(super) fn set_patience(&mut self, time: Duration) {
        if let Some(transport) = &mut self.transport {
            transport.set_patience(time);
        }
    }

    /// Somebody wants to know whether the client is there.
    pub(super) fn probed(&mut self) {
        if let Some(transport) = &mut self.transport {
            transport.probed();
        }
    }
}

impl<T: Transport> Outlet for SharedTransport<T> {
    fn send_at_once(&self, queue: &SendQueue, tally: &mut Tally) -> bool {
        let Some(mut turn) = self.turn_at_rest() else {
            return false;
        };
        let turn = &mut *turn;
        let Some(transport) = &mut turn.transport else {
            return false;
        };
        if !queue.take_at_once(&mut turn.unsent, self.is_reported) {
            return false;
        }
        if turn.unsent.is_empty() {
            return true;
        }
        turn.meter.count(&turn.unsent, tally);
        if self.wants_position
            && let Some(last) = turn.unsent.iter().rev().find_map(QueuedFrame::event)
        {
            turn.position.merge(&last.at.after);
        }
        let sent = transport.send(&mut turn.unsent, &mut nobody());
        if matches!(sent, Poll::Ready(Ok(()))) {
            queue.sent_at_once();
        }
        turn.goes_on(sent)
    }

    fn pass_at_once(
        &self,
        queue: &SendQueue,
        frame: QueuedFrame,
        tally: &mut Tally,
        message: &mut SharedMessage,
    ) -> Result<bool, QueuedFrame> {
        let Some(mut turn) = self.turn_at_rest() else {
            return Err(frame);
        };
        let turn = &mut *turn;
        let Some(transport) = &mut turn.transport else {
            return Err(frame);
        };
        // The transport is looked at before the lock of the queue: behind it, the core would wait for its memory once more.
        if !transport.takes_one() || !queue.lets_pass(&frame, self.is_reported) {
            return Err(frame);
        }
        turn.meter.count([&frame], tally);
        if self.wants_position
            && let Some(event) = frame.event()
        {
            turn.position.merge(&event.at.after);
        }
        let bytes = frame.memory();
        let sent = transport.send_one(frame, &mut turn.unsent, message, &mut nobody());
        if sent.is_pending() {
            queue.passed_in_part(bytes);
        }
        Ok(turn.goes_on(sent))
    }
}

/// A context that wakes nobody: where the socket takes no more, the stream's task is woken at once, and waits for it itself.
const fn nobody() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

impl<T> fmt::Debug for SharedTransport<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedTransport").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

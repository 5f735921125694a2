//! The border between a session and the wire: a session has frames, a transport writes them in its dialect.

use std::collections::VecDeque;
use std::future::Future;
use std::task::{Context, Poll};
use std::time::Duration;

use datastream_protocol::close::{Close, CloseCause};
use datastream_protocol::position::Position;

use crate::access::Jwt;
use crate::fanout::{QueuedFrame, SharedMessage};

/// Time in which a client may send so much and no more. One that sent more is held back for as long, so that it gains nothing by
/// connecting again.
pub(crate) const FLOOD_WINDOW: Duration = Duration::from_secs(10);

/// Event at a client's connection.
#[derive(Debug)]
pub(crate) enum Happened {
    /// Everything that there was to send is with the socket.
    Sent,
    /// The client answered a heartbeat.
    Answered,
    /// The client, which does not answer in words, has taken a heartbeat.
    Taken,
    /// The client has handled every event up to the one with this sequence number.
    Acknowledged(Box<str>),
    /// The client gave another sign of life.
    Alive,
    /// The client has another token, instead of the one that it opened the stream with.
    NewToken(Jwt),
    /// The connection has ended, or the client did what it must not: the stream closes for this cause.
    Ended(CloseCause),
}

/// Connection to one client.
pub(crate) trait Transport: Send {
    /// The client is told, when its stream ends, where it goes on.
    const TELLS_POSITION: bool;
    /// Frames can be sent without the task of the stream.
    const SENDS_AT_ONCE: bool;

    /// The name of the dialect that frames are written in.
    fn dialect(&self) -> &'static str;

    /// Somebody else wants to know whether the client is there: the heartbeat that comes next asks it.
    fn probed(&mut self);

    /// Sets the time in which the stream waits for a sign of life: the connection is not given up before.
    fn set_patience(&mut self, time: Duration);

    /// Takes frames from the front of `unsent` and moves them to the socket, and listens meanwhile: a client that is slow to
    /// read can still speak.
    fn poll(&mut self, unsent: &mut VecDeque<QueuedFrame>, cx: &mut Context<'_>) -> Poll<Happened>;

    /// Moves frames to the socket and listens to nothing. Ready when all of them are with the socket.
    ///
    /// # Errors
    /// The cause for which the stream ends.
    fn send(
        &mut self,
        unsent: &mut VecDeque<QueuedFrame>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), CloseCause>>;

    /// Returns whether one frame can be sent at once: nothing is on its way to the socket.
    fn takes_one(&self) -> bool {
        self.is_idle()
    }

    /// Moves one frame to the socket, when [`Transport::takes_one`]. Ready when it is with the socket; what is not is kept here or put into
    /// `unsent`, which is empty. What `message` holds for other streams may be written for this one, too.
    ///
    /// # Errors
    /// The cause for which the stream ends.
    fn send_one(
        &mut self,
        frame: QueuedFrame,
        unsent: &mut VecDeque<QueuedFrame>,
        _message: &mut SharedMessage,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), CloseCause>> {
        unsent.push_back(frame);
        self.send(unsent, cx)
    }

    /// Returns whether every frame that was taken is with the socket.
    fn is_idle(&self) -> bool;

    /// Notes that no frame follows. Returns whether all are with the socket, as far as that can be known; [`Happened::Sent`] says when.
    fn finish(&mut self) -> bool {
        self.is_idle()
    }

    /// Heartbeats that were taken and have not reached the socket.
    fn heartbeats(&self) -> u64;

    /// Bytes handed to the socket so far.
    fn written(&self) -> u64;

    /// Completes the frame that was begun, says why the stream ends, and ends the connection; everything before `position` was sent.
    /// Returns whether the client has confirmed it; one that has not may know or not.
    fn close(
        &mut self,
        close: Option<Close>,
        position: &Position,
    ) -> impl Future<Output = bool> + Send;
}

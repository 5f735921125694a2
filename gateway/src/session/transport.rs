//! The border between a session and the wire: a session has frames, a transport writes them in its dialect.

use std::collections::VecDeque;
use std::future::Future;
use std::task::{Context, Poll};

use datastream_protocol::close::{Close, CloseCause};

use crate::access::Jwt;
use crate::fanout::QueuedFrame;

/// Event at a client's connection.
#[derive(Debug)]
pub(crate) enum Happened {
    /// Everything that there was to send is with the socket.
    Sent,
    /// The client answered a heartbeat.
    Answered,
    /// The client gave another sign of life.
    Alive,
    /// The client has another token, instead of the one that it opened the stream with.
    NewToken(Jwt),
    /// The connection has ended, or the client did what it must not: the stream closes for this cause.
    Ended(CloseCause),
}

/// Connection to one client.
pub(crate) trait Transport: Send {
    /// Takes frames from the front of `unsent` and moves them to the socket, and listens meanwhile: a client that is slow to
    /// read can still speak.
    fn poll(&mut self, unsent: &mut VecDeque<QueuedFrame>, cx: &mut Context<'_>) -> Poll<Happened>;

    /// Returns whether every frame that was taken is with the socket.
    fn is_idle(&self) -> bool;

    /// Heartbeats that were taken and have not reached the socket.
    fn heartbeats(&self) -> u64;

    /// Bytes handed to the socket so far.
    fn written(&self) -> u64;

    /// Completes the frame that was begun, says why the stream ends, and ends the connection. Returns whether the client has
    /// confirmed it; one that has not may know or not.
    fn close(&mut self, close: Option<Close>) -> impl Future<Output = bool> + Send;
}

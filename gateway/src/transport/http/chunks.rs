//! The hand-over of a response's body, from the task of a stream to the connection that sends it: one chunk at a time, so that a client
//! that does not read holds up its own stream and nothing else.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hyper::body::{Body, Frame};

/// The place that both sides share.
#[derive(Debug, Default)]
struct Slot {
    /// The chunk that the connection has not taken.
    chunk: Option<Bytes>,
    /// Bytes of the chunk that it has taken and may still hold.
    held: usize,
    /// Bytes that it has passed on.
    passed: u64,
    end: End,
    /// The connection is gone, or sends no more of the body.
    is_dropped: bool,
    /// The stream waits for room: it is woken for that, and else only if the connection is gone.
    wants_room: bool,
    stream: Option<Waker>,
    connection: Option<Waker>,
}

/// The end of a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum End {
    /// More chunks may come.
    #[default]
    Open,
    /// No more chunks come.
    Said,
    /// The connection has seen that.
    Seen,
}

type Shared = Arc<Mutex<Slot>>;

fn lock(slot: &Shared) -> MutexGuard<'_, Slot> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// The stream's side.
#[derive(Debug)]
pub(super) struct ChunkSender(Shared);

/// The connection's side: the body of a response.
#[derive(Debug)]
pub(crate) struct ChunkBody(Shared);

/// The connection is gone, or sends no more of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gone;

/// Both sides of a body.
pub(super) fn channel() -> (ChunkSender, ChunkBody) {
    let slot = Shared::default();
    (ChunkSender(slot.clone()), ChunkBody(slot))
}

impl ChunkSender {
    /// Waits until the connection has taken the last chunk; with `passed_on`, until it has passed on what it took, too.
    pub(super) fn poll_room(
        &self,
        passed_on: bool,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Gone>> {
        let mut slot = lock(&self.0);
        if slot.is_dropped {
            return Poll::Ready(Err(Gone));
        }
        if slot.chunk.is_none() && !(passed_on && slot.held > 0) {
            return Poll::Ready(Ok(()));
        }
        slot.wants_room = true;
        register(&mut slot, cx);
        Poll::Pending
    }

    /// Waits until the connection is gone.
    pub(super) fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<Gone> {
        let mut slot = lock(&self.0);
        if slot.is_dropped {
            return Poll::Ready(Gone);
        }
        register(&mut slot, cx);
        Poll::Pending
    }

    /// Waits until the connection has seen the end of the body, or is gone.
    pub(super) fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut slot = lock(&self.0);
        if slot.end == End::Seen || slot.is_dropped {
            return Poll::Ready(());
        }
        slot.wants_room = true;
        register(&mut slot, cx);
        Poll::Pending
    }

    /// Gives a chunk to a connection that has taken the one before.
    pub(super) fn send(&self, chunk: Bytes) {
        let mut slot = lock(&self.0);
        slot.chunk = Some(chunk);
        let waker = slot.connection.take();
        drop(slot);
        wake(waker);
    }

    /// Says that no more comes.
    pub(super) fn complete(&self) {
        let mut slot = lock(&self.0);
        slot.end = End::Said;
        let waker = slot.connection.take();
        drop(slot);
        wake(waker);
    }

    /// Bytes that the connection has passed on.
    pub(super) fn passed(&self) -> u64 {
        lock(&self.0).passed
    }
}

fn register(slot: &mut Slot, cx: &Context<'_>) {
    match &mut slot.stream {
        Some(waker) => waker.clone_from(cx.waker()),
        none => *none = Some(cx.waker().clone()),
    }
}

impl Body for ChunkBody {
    type Data = Bytes;
    type Error = Infallible;

    /// The next chunk. Being asked for it, the connection has room again, and has passed on most of the one before.
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let mut slot = lock(&self.0);
        let held = std::mem::take(&mut slot.held);
        slot.passed += held as u64;
        let answer = match slot.chunk.take() {
            Some(chunk) => {
                slot.held = chunk.len();
                Poll::Ready(Some(Ok(Frame::data(chunk))))
            }
            None if slot.end != End::Open => {
                slot.end = End::Seen;
                Poll::Ready(None)
            }
            None => {
                slot.connection = Some(cx.waker().clone());
                Poll::Pending
            }
        };
        let wanted = std::mem::take(&mut slot.wants_room);
        let waker = wanted.then(|| slot.stream.take()).flatten();
        drop(slot);
        wake(waker);
        answer
    }
}

/// A stream that is given up has an end, too.
impl Drop for ChunkSender {
    fn drop(&mut self) {
        self.complete();
    }
}

impl Drop for ChunkBody {
    fn drop(&mut self) {
        let mut slot = lock(&self.0);
        slot.is_dropped = true;
        slot.chunk = None;
        let waker = slot.stream.take();
        drop(slot);
        wake(waker);
    }
}

//! The hand-over of a response's body, from the task of a stream to the connection that sends it: one chunk at a time, so that a client
//! that does not read holds up its own stream and nothing else.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hyper::body::{Body, Frame};

use crate::guarded_bytes::guarded;

/// The place that both sides share.
#[derive(Debug, Default)]
struct Slot {
    /// The chunk that the connection has not taken.
    chunk: Option<Bytes>,
    /// Bytes of the chunks that it has taken and still holds.
    held: usize,
    /// Bytes that it has written.
    written: u64,
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

/// Bytes of a chunk that the connection has taken, until it drops the chunk, because it is written.
struct Held {
    bytes: usize,
    slot: Shared,
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
    /// Waits until the connection has taken the last chunk; with `written`, until it has written what it took, too.
    pub(super) fn poll_room(&self, written: bool, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        let mut slot = lock(&self.0);
        if slot.is_dropped {
            return Poll::Ready(Err(Gone));
        }
        if slot.chunk.is_none() && !(written && slot.held > 0) {
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

    /// Returns whether the connection has chunks that it has not written.
    pub(super) fn is_out(&self) -> bool {
        let slot = lock(&self.0);
        slot.chunk.is_some() || slot.held > 0
    }

    /// Bytes that the connection has written.
    pub(super) fn written(&self) -> u64 {
        lock(&self.0).written
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

    /// The next chunk.
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let mut slot = lock(&self.0);
        let chunk = match slot.chunk.take() {
            Some(chunk) => chunk,
            None if slot.end != End::Open => {
                slot.end = End::Seen;
                wake_stream(slot);
                return Poll::Ready(None);
            }
            None => {
                slot.connection = Some(cx.waker().clone());
                return Poll::Pending;
            }
        };
        let bytes = chunk.len();
        slot.held += bytes;
        wake_stream(slot);
        let slot = self.0.clone();
        let chunk = guarded(chunk, Held { bytes, slot });
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }
}

/// Wakes a stream that waits for room.
fn wake_stream(mut slot: MutexGuard<'_, Slot>) {
    let wanted = std::mem::take(&mut slot.wants_room);
    let waker = wanted.then(|| slot.stream.take()).flatten();
    drop(slot);
    wake(waker);
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut slot = lock(&self.slot);
        slot.held -= self.bytes;
        slot.written += self.bytes as u64;
        wake_stream(slot);
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

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use http_body_util::BodyExt as _;

    use super::*;

    #[test]
    fn a_chunk_is_written_when_the_connection_has_dropped_it() {
        let (sender, mut body) = channel();
        let has_room = |written| {
            let room = std::future::poll_fn(|cx| sender.poll_room(written, cx));
            room.now_or_never().is_some()
        };
        let take = |body: &mut ChunkBody| {
            let frame = body.frame().now_or_never().unwrap().unwrap();
            frame.unwrap().into_data().unwrap()
        };
        sender.send(Bytes::from_static(b"first"));
        assert!(!has_room(false));
        let mut first = take(&mut body);
        assert!(has_room(false) && !has_room(true));
        drop(first.split_to(4));
        sender.send(Bytes::from_static(b"second"));
        let second = take(&mut body);
        drop(first);
        assert!(has_room(false) && !has_room(true));
        assert_eq!(sender.written(), 5);
        drop(second);
        assert!(has_room(true));
        assert_eq!(sender.written(), 11);
    }
}

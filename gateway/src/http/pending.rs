//! Bounds on the requests of one connection that are under way, and on those of all that wait for their turn.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::Request;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::guarded_bytes::guarded;

/// Requests of a connection that may be under way at once, those included whose answers are not taken; streams do not count.
pub(super) const MOST: usize = 8;
/// Bytes that a request which waits takes beside its head, by what a gateway full of them took, and that a field of its head takes beside
/// name and value.
const EACH: usize = 4 << 10;
const FIELD: usize = 256;

/// The room for requests that wait, which the connections of a listener share. Who is refused because others take all of it may ask
/// again.
#[derive(Clone, Debug)]
pub(super) struct WaitingRoom {
    limit: usize,
    taken: Arc<AtomicUsize>,
}

/// The requests of a connection that are under way or wait.
#[derive(Clone, Debug)]
pub(super) struct PendingAnswers {
    turns: Arc<Semaphore>,
    room: WaitingRoom,
}

/// The turn of a request, which has come or will.
#[derive(Debug)]
pub(super) enum Turn {
    Now(OwnedSemaphorePermit),
    Later(Arc<Semaphore>, Waiting),
}

/// The bytes of a request that waits, until it is dropped.
#[derive(Debug)]
pub(super) struct Waiting {
    room: WaitingRoom,
    bytes: usize,
}

/// A body that counts as under way until all of it is written.
#[derive(Debug)]
pub(super) struct Counted<B> {
    body: B,
    pending: Option<Arc<OwnedSemaphorePermit>>,
}

impl WaitingRoom {
    /// A room of so many bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            taken: Arc::default(),
        }
    }

    /// Lets a request of so many bytes wait, if there is room.
    fn enter(&self, bytes: usize) -> Option<Waiting> {
        let added = |before: usize| (before + bytes <= self.limit).then_some(before + bytes);
        let entered = self
            .taken
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, added);
        let room = self.clone();
        entered.ok().map(|_| Waiting { room, bytes })
    }
}

impl PendingAnswers {
    /// The requests of a new connection.
    pub(super) fn new(room: WaitingRoom) -> Self {
        Self {
            turns: Arc::new(Semaphore::new(MOST)),
            room,
        }
    }

    /// A turn for one more; none if as many wait as may.
    pub(super) fn enter<B>(&self, request: &Request<B>) -> Option<Turn> {
        if let Ok(turn) = self.turns.clone().try_acquire_owned() {
            return Some(Turn::Now(turn));
        }
        let waiting = self.room.enter(bytes(request))?;
        Some(Turn::Later(self.turns.clone(), waiting))
    }
}

impl Turn {
    /// Waits until it has come.
    pub(super) async fn come(self) -> Option<OwnedSemaphorePermit> {
        match self {
            Self::Now(turn) => Some(turn),
            // The turns are never closed.
            Self::Later(turns, _waiting) => turns.acquire_owned().await.ok(),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

/// Bytes that a request takes while it waits, as an upper bound.
fn bytes<B>(request: &Request<B>) -> usize {
    let uri = request.uri();
    let authority = uri
        .authority()
        .map_or(0, |authority| authority.as_str().len());
    let path = uri.path_and_query().map_or(0, |path| path.as_str().len());
    let fields = request.headers().iter();
    let fields = fields.map(|(name, value)| FIELD + name.as_str().len() + value.len());
    EACH + request.method().as_str().len() + authority + path + fields.sum::<usize>()
}

impl<B> Counted<B> {
    /// A body that counts as this one, if it is to count.
    pub(super) fn new(body: B, pending: Option<OwnedSemaphorePermit>) -> Self {
        Self {
            body,
            pending: pending.map(Arc::new),
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Counted<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let Some(pending) = &self.pending else {
            return Poll::Ready(frame);
        };
        // The connection may hold it long after it has asked for the next one.
        let counted = |chunk| guarded(chunk, pending.clone());
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(counted))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use http_body_util::{BodyExt as _, Full};

    use super::*;

    /// Bytes of requests that may wait.
    const ROOM: usize = 16 << 20;

    fn request(method: &str, authority: usize, field: usize) -> Request<()> {
        let uri = format!("http://{}/stream", "x".repeat(authority));
        let request = Request::builder().method(method).uri(uri);
        request.header("x", "x".repeat(field)).body(()).unwrap()
    }

    #[test]
    fn what_is_under_way_is_bounded_for_each_connection_and_what_waits_for_all() {
        let room = WaitingRoom::new(ROOM);
        let ordinary = request("GET", 10, 100);
        let (one, other) = (PendingAnswers::new(room.clone()), PendingAnswers::new(room));
        let turns = |answers: &PendingAnswers| {
            let turns = (0..MOST).map(|_| answers.enter(&ordinary).unwrap());
            let turns = turns.collect::<Vec<_>>();
            assert!(turns.iter().all(|turn| matches!(turn, Turn::Now(_))));
            turns
        };
        let (mut pending, others) = (turns(&one), turns(&other));
        let mut waiting: Vec<_> = std::iter::from_fn(|| one.enter(&ordinary)).collect();
        assert!((3_000..=ROOM / EACH).contains(&waiting.len()));
        assert!(other.enter(&ordinary).is_none());
        // Whatever part of it is large.
        let method = "X".repeat(10_000);
        for large in [
            request(&method, 10, 0),
            request("GET", 10_000, 0),
            request("GET", 10, 10_000),
        ] {
            waiting.truncate(waiting.len() - 2);
            assert!(other.enter(&large).is_none());
            waiting.truncate(waiting.len() - 2);
            waiting.insert(0, other.enter(&large).unwrap());
            waiting.extend(std::iter::from_fn(|| one.enter(&ordinary)));
        }
        // The large ones are first, and of the other connection.
        let first = waiting.swap_remove(3).come();
        tokio::pin!(first);
        assert!(first.as_mut().now_or_never().is_none());
        pending.pop();
        assert!(first.now_or_never().unwrap().is_some());
        drop((pending, others, waiting));
        assert_eq!(one.room.taken.load(Ordering::Acquire), 0);
        assert!(matches!(one.enter(&ordinary), Some(Turn::Now(_))));
    }

    #[tokio::test]
    async fn an_answer_is_under_way_until_its_bytes_are_written() {
        let answers = PendingAnswers::new(WaitingRoom::new(0));
        let Some(Turn::Now(permit)) = answers.enter(&request("GET", 1, 1)) else {
            panic!("the first one");
        };
        let mut body = Counted::new(Full::new(Bytes::from_static(b"answer")), Some(permit));
        let mut chunk = body.frame().await.unwrap().unwrap().into_data().unwrap();
        let written = chunk.split_to(2);
        drop((body, written));
        assert_eq!(answers.turns.available_permits(), MOST - 1);
        assert_eq!(chunk, "swer");
        drop(chunk);
        assert_eq!(answers.turns.available_permits(), MOST);
    }
}

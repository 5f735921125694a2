//! A bound on the requests of one connection that are under way, and on those that wait for their turn.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use hyper::Request;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Requests of a connection that may be under way at once, those included whose answers are not taken; streams do not count.
const MOST: usize = 8;
/// Bytes of further requests that may wait for one of these to be done with.
const WAITING: usize = 48 << 10;
/// Bytes that a request which waits takes beside its head, and that a field of its head takes beside name and value.
const EACH: usize = 1 << 10;
const FIELD: usize = 128;

/// The requests of a connection that are under way or wait.
#[derive(Clone, Debug)]
pub(super) struct PendingAnswers {
    turns: Arc<Semaphore>,
    /// Bytes of those that wait.
    waiting: Arc<AtomicUsize>,
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
    all: Arc<AtomicUsize>,
    bytes: usize,
}

/// A body that counts as under way until the connection drops it.
#[derive(Debug)]
pub(super) struct Counted<B> {
    body: B,
    _pending: Option<OwnedSemaphorePermit>,
}

impl Default for PendingAnswers {
    fn default() -> Self {
        Self {
            turns: Arc::new(Semaphore::new(MOST)),
            waiting: Arc::default(),
        }
    }
}

impl PendingAnswers {
    /// A turn for one more; none if as many wait as may.
    pub(super) fn enter<B>(&self, request: &Request<B>) -> Option<Turn> {
        if let Ok(turn) = self.turns.clone().try_acquire_owned() {
            return Some(Turn::Now(turn));
        }
        let bytes = bytes(request);
        let all = self.waiting.clone();
        let added = |before: usize| (before + bytes <= WAITING).then_some(before + bytes);
        all.fetch_update(Ordering::AcqRel, Ordering::Acquire, added)
            .ok()?;
        Some(Turn::Later(self.turns.clone(), Waiting { all, bytes }))
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
        self.all.fetch_sub(self.bytes, Ordering::AcqRel);
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
    pub(super) const fn new(body: B, pending: Option<OwnedSemaphorePermit>) -> Self {
        Self {
            body,
            _pending: pending,
        }
    }
}

impl<B: Body + Unpin> Body for Counted<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
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

    use super::*;

    fn request(method: &str, authority: usize, field: usize) -> Request<()> {
        let uri = format!("http://{}/stream", "x".repeat(authority));
        let request = Request::builder().method(method).uri(uri);
        request.header("x", "x".repeat(field)).body(()).unwrap()
    }

    #[test]
    fn what_is_under_way_is_bounded_by_number_and_what_waits_by_bytes() {
        let answers = PendingAnswers::default();
        let ordinary = request("GET", 10, 100);
        let enter = |request: &Request<()>| answers.enter(request);
        let mut pending: Vec<_> = (0..MOST).map(|_| enter(&ordinary).unwrap()).collect();
        assert!(pending.iter().all(|turn| matches!(turn, Turn::Now(_))));
        let mut waiting: Vec<_> = std::iter::from_fn(|| enter(&ordinary)).collect();
        assert!((30..WAITING / EACH).contains(&waiting.len()));
        // Whatever part of it is large.
        let method = "X".repeat(2_000);
        for large in [
            request(&method, 10, 0),
            request("GET", 2_000, 0),
            request("GET", 10, 2_000),
        ] {
            assert!(enter(&large).is_none());
            let room = waiting.drain(..3).collect::<Vec<_>>();
            drop(room);
            waiting.push(enter(&large).unwrap());
        }
        let first = waiting.remove(0).come();
        tokio::pin!(first);
        assert!(first.as_mut().now_or_never().is_none());
        pending.pop();
        assert!(first.now_or_never().unwrap().is_some());
        drop((pending, waiting));
        assert_eq!(answers.waiting.load(Ordering::Acquire), 0);
        assert!(matches!(enter(&ordinary), Some(Turn::Now(_))));
    }
}

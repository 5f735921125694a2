//! A bound on the requests of one connection whose answers its client has not taken.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use hyper::Request;
use hyper::body::{Body, Frame, SizeHint};

use super::connection::MAX_HEAD;

/// Bytes of the requests of a connection that may be under way at once, those included whose answers are not taken; streams do not
/// count. As many as HTTP/2 lets a client have open fit, if they are of ordinary size.
const MOST: usize = 8 * MAX_HEAD;
/// Bytes of a request and its answer beside the names and values in its head.
const EACH: usize = 512;

/// The bytes of a connection's requests that are under way.
#[derive(Clone, Debug, Default)]
pub(super) struct PendingAnswers(Arc<AtomicUsize>);

/// One request that is under way, with its bytes, until it is dropped.
#[derive(Debug)]
pub(super) struct Pending(PendingAnswers, usize);

/// A body that counts as pending until the connection drops it.
#[derive(Debug)]
pub(super) struct Counted<B> {
    body: B,
    _pending: Option<Pending>,
}

impl PendingAnswers {
    /// Counts one more; none if there are as many as there may be.
    pub(super) fn enter<B>(&self, request: &Request<B>) -> Option<Pending> {
        let headers = request.headers().iter();
        let headers = headers.map(|(name, value)| name.as_str().len() + value.len());
        let uri = request.uri().path_and_query();
        let bytes = EACH + uri.map_or(0, |uri| uri.as_str().len()) + headers.sum::<usize>();
        let entered = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |before| {
                (before + bytes <= MOST).then_some(before + bytes)
            });
        entered.ok().map(|_| Pending(self.clone(), bytes))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.0.fetch_sub(self.1, Ordering::AcqRel);
    }
}

impl<B> Counted<B> {
    /// A body that counts as this one, if it is to count.
    pub(super) const fn new(body: B, pending: Option<Pending>) -> Self {
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
    use super::super::connection::MAX_STREAMS;
    use super::*;

    #[test]
    fn there_are_never_more_than_may_be_and_those_that_are_done_make_room() {
        let answers = PendingAnswers::default();
        let request = |bytes: usize| {
            let request = Request::get("/stream").header("authorization", "x".repeat(bytes));
            request.body(()).unwrap()
        };
        let ordinary = (0..MAX_STREAMS).map(|_| answers.enter(&request(700)).unwrap());
        drop(ordinary.collect::<Vec<_>>());
        let large = std::iter::from_fn(|| answers.enter(&request(MAX_HEAD)));
        let mut pending: Vec<_> = large.collect();
        assert_eq!(pending.len(), 7);
        pending.pop();
        assert!(answers.enter(&request(MAX_HEAD)).is_some());
        drop(pending);
        assert_eq!(answers.0.load(Ordering::Acquire), 0);
    }
}

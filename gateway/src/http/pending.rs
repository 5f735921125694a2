//! A bound on the answers of one connection that its client has not taken.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use hyper::body::{Body, Frame, SizeHint};

/// Requests of a connection that may be under way at once, those included whose answers are not taken; streams do not count.
const MOST: usize = 8;

/// The requests of a connection that are under way.
#[derive(Clone, Debug, Default)]
pub(super) struct PendingAnswers(Arc<AtomicUsize>);

/// One request that is under way, until it is dropped.
#[derive(Debug)]
pub(super) struct Pending(PendingAnswers);

/// A body that counts as pending until the connection drops it.
#[derive(Debug)]
pub(super) struct Counted<B> {
    body: B,
    _pending: Option<Pending>,
}

impl PendingAnswers {
    /// Counts one more; none if there are as many as there may be.
    pub(super) fn enter(&self) -> Option<Pending> {
        let entered = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| {
                (count < MOST).then_some(count + 1)
            });
        entered.ok().map(|_| Pending(self.clone()))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
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
    use super::*;

    #[test]
    fn there_are_never_more_than_may_be_and_those_that_are_done_make_room() {
        let answers = PendingAnswers::default();
        let mut pending: Vec<_> = (0..MOST).map(|_| answers.enter().unwrap()).collect();
        assert!(answers.enter().is_none());
        pending.pop();
        assert!(answers.enter().is_some());
    }
}

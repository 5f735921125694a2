//! The hand-over between the loop of a stream and whoever asks for what it brings: one update at a time, each when it is asked for.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use super::event::Event;
use super::update::Update;

/// The place where the loop of a stream and its owner meet. The owner polls the loop, so that nobody has to be woken.
#[derive(Clone, Debug, Default)]
pub(super) struct Handover(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    update: Option<Update>,
    position: Option<String>,
    acknowledged: u64,
    is_closing: bool,
}

impl Handover {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing is left half done under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands over an update. Returns when the next one is asked for: this one has been handled then.
    pub(super) async fn give(&self, update: Update) {
        self.state().update = Some(update);
        poll_fn(|_| match self.state().update {
            Some(_) => Poll::Pending,
            None => Poll::Ready(()),
        })
        .await;
    }

    /// Takes the update that was handed over.
    pub(super) fn take(&self) -> Option<Update> {
        self.state().update.take()
    }

    /// Waits until the stream is to be closed.
    pub(super) async fn closing(&self) {
        poll_fn(|_| {
            if self.state().is_closing {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    pub(super) fn close(&self) {
        self.state().is_closing = true;
    }

    /// The number to start with to get what has not been handled.
    pub(super) fn position(&self) -> Option<String> {
        self.state().position.clone()
    }

    pub(super) fn set_position(&self, position: &str) {
        self.state().position = Some(position.to_owned());
    }

    /// Notes that this event and all before it have been handled.
    pub(super) fn acknowledge(&self, event: &Event) {
        let mut state = self.state();
        if event.ordinal > state.acknowledged {
            state.acknowledged = event.ordinal;
            state.position = Some(event.next_seq());
        }
    }

    /// The ordinal of the last event that has been acknowledged.
    pub(super) fn acknowledged(&self) -> u64 {
        self.state().acknowledged
    }

    /// Waits until the event with this ordinal has been acknowledged.
    pub(super) async fn acknowledgement(&self, ordinal: u64) {
        poll_fn(|_| {
            if self.acknowledged() >= ordinal {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}

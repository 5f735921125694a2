//! The position of a dispatcher.

use std::sync::{Mutex, PoisonError};

use datastream_protocol::position::Position;

/// The position up to which a dispatcher has put events into the queues of its streams. Written by the dispatcher, read by its streams.
#[derive(Debug)]
pub(crate) struct DispatchedHead(Mutex<Position>);

impl DispatchedHead {
    /// A dispatcher that begins here.
    pub(super) const fn new(position: Position) -> Self {
        Self(Mutex::new(position))
    }

    /// The position. What comes before it and is for a live stream is in its queue, or was.
    pub(super) fn get(&self) -> Position {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn set(&self, position: Position) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = position;
    }
}

//! A connection, as the streams see it that are bodies of its responses.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio_util::sync::CancellationToken;

use super::connections::ConnectionSlot;
use crate::transport::http::Carrier;

/// A connection on which responses are sent, which every request carries as an extension.
#[derive(Debug)]
pub(crate) struct ConnectionHandle {
    place: ConnectionSlot,
    /// Streams that it carries.
    streams: AtomicUsize,
    /// It carries streams: how long their clients may take nothing is for the streams to say.
    is_patient: Arc<AtomicBool>,
    /// Several responses are sent at once.
    is_multiplexed: bool,
    given_up: CancellationToken,
}

/// A stream's hold on its connection.
#[derive(Debug)]
pub(super) struct StreamHold(Arc<ConnectionHandle>);

impl ConnectionHandle {
    /// A connection with this place among the others, on which several responses are sent at once, or one after the other.
    pub(super) fn new(place: ConnectionSlot, is_multiplexed: bool) -> Self {
        Self {
            place,
            streams: AtomicUsize::new(0),
            is_patient: Arc::default(),
            is_multiplexed,
            given_up: CancellationToken::new(),
        }
    }

    /// Says whether a write may wait without an end.
    pub(super) fn patience(&self) -> Arc<AtomicBool> {
        self.is_patient.clone()
    }

    /// Waits until the connection is to be closed, for another one or because its stream is.
    pub(super) async fn over(&self) {
        tokio::select! {
            () = self.place.evicted() => (),
            () = self.given_up.cancelled() => (),
        }
    }

    /// Keeps the connection for one more stream.
    pub(super) fn hold(self: &Arc<Self>) -> StreamHold {
        self.streams.fetch_add(1, Ordering::AcqRel);
        self.is_patient.store(true, Ordering::Relaxed);
        self.place.leave();
        StreamHold(self.clone())
    }
}

impl Carrier for StreamHold {
    fn give_up(&self) {
        if !self.0.is_multiplexed {
            self.0.given_up.cancel();
        }
    }
}

impl Drop for StreamHold {
    fn drop(&mut self) {
        if self.0.streams.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.is_patient.store(false, Ordering::Relaxed);
            self.0.place.come_back();
        }
    }
}

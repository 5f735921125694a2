//! A connection, as the streams see it that are bodies of its responses.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio_util::sync::CancellationToken;

use super::connections::ConnectionSlot;
use super::write_limit::WriteRules;
use crate::transport::http::Carrier;

/// A connection on which responses are sent, which every request carries as an extension.
#[derive(Debug)]
pub(crate) struct ConnectionHandle {
    place: ConnectionSlot,
    /// Streams that it carries.
    streams: AtomicUsize,
    writes: Arc<WriteRules>,
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
            writes: Arc::default(),
            is_multiplexed,
            given_up: CancellationToken::new(),
        }
    }

    /// The rules of what is written.
    pub(super) fn writes(&self) -> Arc<WriteRules> {
        self.writes.clone()
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
        // How long their clients may take nothing is for the streams to say.
        self.writes.set_patient(true);
        self.place.leave();
        StreamHold(self.clone())
    }
}

impl Carrier for StreamHold {
    fn probe(&self) {
        self.0.writes.probe();
    }

    fn give_up(&self) {
        if !self.0.is_multiplexed {
            self.0.given_up.cancel();
        }
    }
}

impl Drop for StreamHold {
    fn drop(&mut self) {
        if self.0.streams.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.writes.set_patient(false);
            self.0.place.come_back();
        }
    }
}

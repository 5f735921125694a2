//! A connection, as the streams see it that are bodies of its responses, or take its socket.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::connections::ConnectionSlot;
use super::socket::Socket;
use super::write_limit::WriteRules;
use crate::transport::http::{Carrier, Resumed};

/// Serves a stream on the socket of a connection, of which some bytes may have been read that belong to no request yet. In the end, it may
/// give the socket back.
pub(super) type TakeOver = Box<dyn FnOnce(Socket, bool, Resumed<Socket>) + Send>;

/// A connection on which responses are sent, which every request carries as an extension.
#[derive(Debug)]
pub(crate) struct ConnectionHandle {
    place: ConnectionSlot,
    /// Streams that it carries.
    streams: AtomicUsize,
    writes: Arc<WriteRules>,
    /// The stream that is to have the socket.
    taker: Mutex<Option<Taker>>,
}

/// A stream that is to have a connection's socket.
struct Taker(TakeOver);

impl std::fmt::Debug for Taker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Taker")
    }
}

/// A stream's hold on its connection.
#[derive(Debug)]
pub(super) struct StreamHold(Arc<ConnectionHandle>);

impl ConnectionHandle {
    /// A connection with this place among the others.
    pub(super) fn new(place: ConnectionSlot) -> Self {
        Self {
            place,
            streams: AtomicUsize::new(0),
            writes: Arc::default(),
            taker: Mutex::default(),
        }
    }

    /// The rules of what is written.
    pub(super) fn writes(&self) -> Arc<WriteRules> {
        self.writes.clone()
    }

    /// Waits until the connection's place is wanted for another one.
    pub(super) async fn evicted(&self) {
        self.place.evicted().await;
    }

    /// Has the connection end, and a stream take its socket. False if it still has to send something else, which a client has asked for
    /// before it had the answer to the request before.
    pub(super) fn give_up_socket(&self, taker: TakeOver) -> bool {
        if self.writes.is_behind() {
            return false;
        }
        *self.taker.lock().unwrap_or_else(PoisonError::into_inner) = Some(Taker(taker));
        true
    }

    /// Returns whether a stream is to have the socket.
    pub(super) fn is_given_up(&self) -> bool {
        let taker = self.taker.lock().unwrap_or_else(PoisonError::into_inner);
        taker.is_some()
    }

    /// The stream that is to have the socket.
    pub(super) fn taker(&self) -> Option<TakeOver> {
        let mut taker = self.taker.lock().unwrap_or_else(PoisonError::into_inner);
        taker.take().map(|taker| taker.0)
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
}

impl Drop for StreamHold {
    fn drop(&mut self) {
        if self.0.streams.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.writes.set_patient(false);
            self.0.place.come_back();
        }
    }
}

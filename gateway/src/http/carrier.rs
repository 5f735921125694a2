//! A connection, as the streams see it that are bodies of its responses, or take its socket.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::connections::{ConnectionSlot, Need};
use super::pending::MOST;
use super::response_tasks::ResponseCut;
use super::socket::Socket;
use super::write_limit::WriteRules;
use crate::memory::HTTP2_STREAMS;
use crate::transport::http::{Carrier, Resumed};

/// Serves a stream on the socket of a connection, of which some bytes may have been read that belong to no request yet. In the end, it may
/// give the socket back.
pub(super) type TakeOver = Box<dyn FnOnce(Socket, bool, Resumed<Socket>) + Send>;

/// A connection on which responses are sent, which every request carries as an extension.
#[derive(Debug)]
pub(crate) struct ConnectionHandle {
    /// Its place among the connections that carry no streams.
    place: ConnectionSlot,
    /// Its place among those of HTTP/2, if it is one.
    http2: Option<ConnectionSlot>,
    load: Mutex<Load>,
    writes: Arc<WriteRules>,
    /// The stream that is to have the socket.
    taker: Mutex<Option<Taker>>,
}

/// The load of a connection.
#[derive(Clone, Copy, Debug)]
struct Load {
    /// Streams that it carries.
    streams: usize,
    /// Time of the last change: of a request, or the start or end of a stream.
    changed: Instant,
    /// Requests that have come in a row while what was written before was not taken.
    unread: usize,
    /// So much has been asked for at once that HTTP/2 keeps the memory of it, or ends of streams were not taken.
    is_wide: bool,
    /// Nothing is read or written any more.
    is_over: bool,
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
pub(super) struct StreamHold {
    connection: Arc<ConnectionHandle>,
    response: Option<ResponseCut>,
}

impl Load {
    /// A connection of which nothing has been asked.
    fn new() -> Self {
        Self {
            streams: 0,
            changed: Instant::now(),
            unread: 0,
            is_wide: false,
            is_over: false,
        }
    }

    /// Adds a request that has to wait, or comes while what was written before is not taken.
    const fn ask(&mut self, has_to_wait: bool, is_unread: bool) {
        self.unread = if is_unread { self.unread + 1 } else { 0 };
        self.is_wide |= has_to_wait || self.unread > MOST;
    }

    /// The need of a place among the connections of HTTP/2.
    const fn http2(self) -> Need {
        match self.streams {
            0 => Need::Requests,
            ..HTTP2_STREAMS if self.is_wide => Need::Beside,
            _ => Need::Nothing,
        }
    }
}

impl ConnectionHandle {
    /// A connection with these places among the others.
    pub(super) fn new(place: ConnectionSlot, http2: Option<ConnectionSlot>) -> Self {
        Self {
            place,
            http2,
            load: Mutex::new(Load::new()),
            writes: Arc::default(),
            taker: Mutex::default(),
        }
    }

    /// The rules of what is written.
    pub(super) fn writes(&self) -> Arc<WriteRules> {
        self.writes.clone()
    }

    /// Waits until a place of the connection is wanted for another one.
    pub(super) async fn evicted(&self) {
        match &self.http2 {
            None => self.place.evicted().await,
            Some(http2) => tokio::select! {
                () = self.place.evicted() => {}
                () = http2.evicted() => {}
            },
        }
    }

    /// Waits until the connection has carried no stream, and nothing has been asked of it, for so long.
    pub(super) async fn idle(&self, time: Duration) {
        loop {
            let now = Instant::now();
            let load = *self.load();
            let since = if load.streams > 0 { now } else { load.changed };
            if since + time <= now {
                return;
            }
            sleep_until(since + time).await;
        }
    }

    /// Waits until nothing has been written for so long, and there is no stream.
    pub(super) async fn stuck(&self, time: Duration) {
        loop {
            let before = self.writes.written();
            sleep(time).await;
            if self.load().streams == 0 && self.writes.written() == before {
                return;
            }
        }
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

    /// Keeps the connection for one more stream, which is the body of this response.
    pub(super) fn hold(self: &Arc<Self>, response: Option<ResponseCut>) -> StreamHold {
        self.change(|load| load.streams += 1);
        StreamHold {
            connection: self.clone(),
            response,
        }
    }

    /// Notes a request, which has to wait for others or has not.
    pub(super) fn asked(&self, has_to_wait: bool) {
        let is_unread = self.writes.is_behind();
        self.change(|load| load.ask(has_to_wait, is_unread));
    }

    /// Notes the end of the connection, which needs no other place from then on.
    pub(super) fn end(&self) {
        self.change(|load| load.is_over = true);
    }

    fn load(&self) -> MutexGuard<'_, Load> {
        self.load.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what it has to do, and which places it has for that.
    fn change(&self, change: impl FnOnce(&mut Load)) {
        let mut load = self.load();
        change(&mut load);
        load.changed = Instant::now();
        if load.is_over {
            return;
        }
        // How long clients of streams may take nothing is for the streams to say.
        self.writes.set_patient(load.streams > 0);
        self.place.set(if load.streams > 0 {
            Need::Nothing
        } else {
            Need::Requests
        });
        if let Some(http2) = &self.http2 {
            http2.set(load.http2());
        }
    }
}

impl Carrier for StreamHold {
    fn probe(&self) {
        self.connection.writes.probe();
    }

    fn set_patience(&self, time: Duration) {
        self.connection.writes.set_patience(time);
    }

    fn cut(&self) {
        if let Some(response) = &self.response {
            response.cut();
        }
    }

    fn leave_end(&self) {
        self.connection.change(|load| load.is_wide = true);
    }
}

impl Drop for StreamHold {
    fn drop(&mut self) {
        self.connection.change(|load| load.streams -= 1);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::http::connections::Connections;

    fn is_evicted(handle: &ConnectionHandle) -> bool {
        handle.evicted().now_or_never().is_some()
    }

    #[tokio::test]
    async fn a_connection_of_http2_has_a_place_until_its_streams_stand_for_it() {
        let all = Arc::new(Connections::new(100));
        let http2 = Arc::new(Connections::new(2));
        let new = async || {
            let http2 = http2.enter_in_turn().await;
            Arc::new(ConnectionHandle::new(all.enter(), Some(http2)))
        };
        let (one, wide) = (new().await, new().await);
        one.asked(false);
        let mut streams = vec![one.hold(None), wide.hold(None)];
        let others = [new().await, new().await];
        assert!(!is_evicted(&one) && !is_evicted(&wide));
        wide.asked(true);
        assert!(is_evicted(&others[0]) && !is_evicted(&others[1]) && !is_evicted(&wide));
        drop(others);
        // As many streams as take what a wide one does.
        streams.extend((1..HTTP2_STREAMS).map(|_| wide.hold(None)));
        let others = [new().await, new().await];
        assert!(!is_evicted(&wide));
        streams.pop();
        assert!(is_evicted(&others[0]) && !is_evicted(&others[1]) && !is_evicted(&wide));
        assert!(!is_evicted(&one));
    }

    #[tokio::test]
    async fn a_connection_that_is_over_drives_no_other_one_out() {
        let (all, http2) = (Arc::new(Connections::new(1)), Arc::new(Connections::new(1)));
        let over = ConnectionHandle::new(all.enter(), Some(http2.enter_in_turn().await));
        let over = Arc::new(over);
        let stream = over.hold(None);
        let other = ConnectionHandle::new(all.enter(), Some(http2.enter_in_turn().await));
        over.end();
        drop(stream);
        assert!(!is_evicted(&other) && !is_evicted(&over));
    }

    #[test]
    fn a_connection_is_wide_when_requests_wait_or_many_answers_are_not_taken() {
        let mut load = Load::new();
        (0..100).for_each(|_| load.ask(false, false));
        (0..MOST).for_each(|_| load.ask(false, true));
        load.ask(false, false);
        (0..MOST).for_each(|_| load.ask(false, true));
        assert!(!load.is_wide);
        load.ask(false, true);
        assert!(load.is_wide);
        let mut load = Load::new();
        load.ask(true, false);
        load.ask(false, false);
        assert!(load.is_wide);
    }
}

//! The one hand-over to a stream's socket: a queue bounded in frames and bytes, and word of what changes for it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use datastream_routing::Route;
use tokio::sync::{Notify, oneshot};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::event::{Event, Marker, Times, marker};
use crate::position::{Position, Seq};
use crate::stream::CloseCause;

/// Frames that may wait in one mailbox.
const MAX_LETTERS: usize = 1024;
/// Others that may wait for an answer of one client at once.
const MAX_PROBES: usize = 8;
/// Bytes that may wait in one mailbox; a single larger frame is let in when it is alone.
const MAX_BYTES: usize = 256 << 10;

/// One frame on its way.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    pub frame: Utf8Bytes,
    /// When the event was taken and happened. None: not an event.
    pub times: Option<Times>,
}

impl Letter {
    /// An event, in this frame.
    pub(crate) fn event(frame: Utf8Bytes, event: &Event) -> Self {
        Self {
            frame,
            times: Some(event.times()),
        }
    }

    /// The sequence number, if it is an event's.
    pub(crate) fn seq(&self) -> Option<&str> {
        self.times?;
        let (_, rest) = self.frame.split_once(r#"{"seq":""#)?;
        rest.split_once('"').map(|(seq, _)| seq)
    }

    /// A frame that is no event: a heartbeat or a marker.
    pub(crate) const fn control(frame: Utf8Bytes) -> Self {
        Self { frame, times: None }
    }
}

/// What a stream finds in its mailbox.
#[derive(Debug, Default)]
pub(crate) struct Mail {
    pub letters: VecDeque<Letter>,
    /// The stream has joined the live fan-out.
    pub joined: bool,
    /// The mailbox ran full: the stream is out of the live fan-out and reads on by itself from here.
    pub fell_behind_at: Option<Position>,
    /// The stream is to be closed once `letters` are sent.
    pub close: Option<CloseCause>,
}

/// The queue between whoever finds events for a stream (dispatcher or catch-up, one at a time) and its socket.
#[derive(Debug)]
pub(crate) struct Mailbox {
    inner: Mutex<Inner>,
    mail: Notify,
    space: Notify,
}

#[derive(Debug)]
struct Inner {
    mail: Mail,
    bytes: usize,
    route: Arc<Route>,
    /// The client wants to be told when it is live, and has not been yet.
    live_marker: bool,
    /// The dispatcher fills it.
    live: bool,
    /// The `seq` of the last event handed to the socket.
    last_seq: Option<Box<str>>,
    /// What the session has not yet seen: the stream is to be closed at once.
    abort: Option<CloseCause>,
    /// Those who want to know whether the client is still there; and whether it was asked for them.
    probes: Vec<oneshot::Sender<()>>,
    asked: bool,
}

impl Mailbox {
    /// An empty mailbox; with `markers`, a marker is put in when the stream first becomes live.
    pub(crate) fn new(route: Arc<Route>, markers: bool) -> Self {
        let inner = Inner {
            mail: Mail::default(),
            bytes: 0,
            route,
            live_marker: markers,
            live: false,
            last_seq: None,
            abort: None,
            probes: vec![],
            asked: false,
        };
        Self {
            inner: Mutex::new(inner),
            mail: Notify::new(),
            space: Notify::new(),
        }
    }

    /// Puts a frame in without waking the stream ([`Mailbox::wake`] does, once for many). Gives it back if full.
    pub(crate) fn push(&self, letter: Letter) -> Result<(), Letter> {
        let mut inner = self.lock();
        let length = letter.frame.len();
        let letters = inner.mail.letters.len();
        if letters >= MAX_LETTERS || (letters > 0 && inner.bytes + length > MAX_BYTES) {
            return Err(letter);
        }
        inner.bytes += length;
        inner.mail.letters.push_back(letter);
        Ok(())
    }

    /// Puts a frame in as soon as there is space.
    pub(crate) async fn push_when_space(&self, mut letter: Letter) {
        loop {
            let space = self.space.notified();
            match self.push(letter) {
                Ok(()) => return,
                Err(back) => letter = back,
            }
            self.wake();
            space.await;
        }
    }

    /// Tells the stream that it is in the live fan-out from `position` on.
    pub(crate) fn joined(&self, position: &Position) {
        let mut inner = self.lock();
        inner.mail.joined = true;
        inner.live = true;
        if std::mem::take(&mut inner.live_marker) {
            let marker = marker(Marker::Live, &Seq::starting_at(position));
            inner.mail.letters.push_back(Letter::control(marker));
        }
        drop(inner);
        self.wake();
    }

    /// Tells the stream to read on by itself from `position` once it has sent what is here.
    pub(crate) fn fall_behind(&self, position: Position) {
        let mut inner = self.lock();
        inner.mail.fell_behind_at = Some(position);
        inner.live = false;
    }

    /// Tells the stream to close once it has sent what is here. The first cause stands.
    pub(crate) fn close(&self, cause: CloseCause) {
        self.lock().mail.close.get_or_insert(cause);
        self.wake();
    }

    /// Tells the stream to close at once, whatever it still has to send.
    pub(crate) fn abort(&self, cause: CloseCause) {
        self.lock().abort.get_or_insert(cause);
        self.wake();
    }

    /// Why the stream is to close at once, if so.
    pub(crate) fn aborted(&self) -> Option<CloseCause> {
        self.lock().abort.clone()
    }

    /// Asks for a sign of life of the client; none if too many ask already. What comes back resolves when there is one, and
    /// fails when the stream ends before.
    pub(crate) fn probe(&self) -> Option<oneshot::Receiver<()>> {
        let (probe, answer) = oneshot::channel();
        let mut inner = self.lock();
        inner.probes.retain(|probe| !probe.is_closed());
        if inner.probes.len() >= MAX_PROBES {
            return None;
        }
        inner.probes.push(probe);
        inner.asked = false;
        drop(inner);
        self.wake();
        Some(answer)
    }

    /// Whether the client is to be asked for a sign of life now.
    pub(crate) fn take_probe(&self) -> bool {
        let mut inner = self.lock();
        !inner.probes.is_empty() && !std::mem::replace(&mut inner.asked, true)
    }

    /// The client gave a sign of life.
    pub(crate) fn alive(&self) {
        let probes = std::mem::take(&mut self.lock().probes);
        for probe in probes {
            let _ = probe.send(());
        }
    }

    /// Whether the dispatcher fills it.
    pub(crate) fn is_live(&self) -> bool {
        self.lock().live
    }

    /// Takes down the last event handed to the socket.
    pub(crate) fn sent(&self, seq: &str) {
        self.lock().last_seq = Some(seq.into());
    }

    /// The `seq` of the last event handed to the socket.
    pub(crate) fn last_seq(&self) -> Option<Box<str>> {
        self.lock().last_seq.clone()
    }

    /// The stream's route as last told.
    pub(crate) fn route(&self) -> Arc<Route> {
        self.lock().route.clone()
    }

    /// Tells the stream that its route has changed.
    pub(crate) fn set_route(&self, route: Arc<Route>) {
        self.lock().route = route;
        self.wake();
    }

    /// Wakes the stream.
    pub(crate) fn wake(&self) {
        self.mail.notify_one();
    }

    /// Waits until somebody calls [`Mailbox::wake`] (at once if somebody has since the last time). Cancel-safe.
    pub(crate) async fn woken(&self) {
        self.mail.notified().await;
    }

    /// Empties the mailbox.
    pub(crate) fn take(&self) -> Mail {
        let mail = {
            let mut inner = self.lock();
            inner.bytes = 0;
            std::mem::take(&mut inner.mail)
        };
        self.space.notify_one();
        mail
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

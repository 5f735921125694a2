//! The one hand-over to a stream's socket: a queue bounded in frames and bytes, and word of what changes for it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use datastream_protocol::close::CloseCause;
use datastream_protocol::frame::Marker;
use datastream_protocol::position::{EventPosition, Position, Seq};
use datastream_routing::Route;
use tokio::sync::{Notify, oneshot};

use super::head::DispatchedHead;
use super::outlet::{Outlet, WRITE_BYTES};
use super::queued_frame::{MarkerFrame, QueuedFrame};
use super::send_memory::SendMemory;
use super::shared_message::SharedMessage;
use super::tally::Tally;
use crate::access::{Admission, Principal};
use crate::event::EventFrame;

/// Frames that may wait in one queue.
const MAX_FRAMES: usize = 1024;
/// Others that may wait for an answer of one client at once.
const MAX_PROBES: usize = 8;
/// Bytes that may wait in one queue; a single larger frame is let in when it is alone.
const MAX_BYTES: usize = 256 << 10;
/// Bytes of frames that each stream may have waiting and on their way to the socket without borrowing.
pub(crate) const OWN_BYTES: usize = WRITE_BYTES / 2;
/// Unit in which bytes are borrowed, so that most frames need no look at what all streams share.
const STEP: usize = 16 << 10;

/// Content of a queue, as its stream finds it.
#[derive(Debug, Default)]
pub(crate) struct Drained {
    pub frames: VecDeque<QueuedFrame>,
    /// The stream has joined the live fan-out.
    pub joined: bool,
    /// The queue ran full: the stream is out of the live fan-out and reads on by itself from here.
    pub fell_behind_at: Option<Position>,
    /// The stream is to be closed once `frames` are sent.
    pub close: Option<CloseCause>,
    /// The position that a live stream has come to with `frames`, if that was asked for.
    pub head: Option<Position>,
}

/// The queue between whoever finds events for a stream (dispatcher or catch-up, one at a time) and its socket.
///
/// A dispatcher comes to more queues than a core's caches hold: what it looks at where an event passes a queue comes first, and lies
/// together.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct SendQueue {
    /// There once the stream is served.
    outlet: OnceLock<Arc<dyn Outlet>>,
    inner: Mutex<Inner>,
    changed: Notify,
    space: Notify,
    memory: Arc<SendMemory>,
}

#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, set and read at different places"
)]
#[derive(Debug)]
#[repr(C)]
struct Inner {
    bytes: usize,
    /// Bytes that were taken out last and may still be on their way to the socket.
    in_flight: usize,
    /// Bytes borrowed for both.
    borrowed: usize,
    /// There is something else than frames for the stream's task to see to, as [`Inner::finds_more`] finds it.
    has_more: bool,
    /// The stream has ended: nothing is let in any more.
    ended: bool,
    /// The stream is to be closed: nothing is let in behind what was here then.
    closing: bool,
    /// Nothing is taken out for a while: what waits borrows nothing meanwhile.
    paced: bool,
    /// The client has asked for a marker when it is live, and has not had it yet.
    live_marker: bool,
    /// The client was asked for a sign of life, for those who want to know.
    asked: bool,
    content: Drained,
    /// Bytes that could not be borrowed for the last frame, which was not let in for that.
    starved_of: usize,
    route: Arc<Route>,
    principal: Arc<Principal>,
    /// The position of the dispatcher that fills it, if one does.
    live: Option<Arc<DispatchedHead>>,
    /// The last event handed to the socket.
    last_sent: Option<EventPosition>,
    /// Cause for which the stream is to be closed at once.
    abort: Option<CloseCause>,
    /// Those who want to know whether the client is still there.
    probes: Vec<oneshot::Sender<()>>,
}

impl SendQueue {
    /// An empty queue; with `markers`, a marker is put in when the stream first becomes live.
    pub(crate) fn new(
        Admission { route, principal }: Admission,
        markers: bool,
        memory: Arc<SendMemory>,
    ) -> Self {
        let inner = Inner {
            bytes: 0,
            in_flight: 0,
            borrowed: 0,
            has_more: false,
            ended: false,
            closing: false,
            paced: false,
            live_marker: markers,
            asked: false,
            content: Drained::default(),
            starved_of: 0,
            route,
            principal,
            live: None,
            last_sent: None,
            abort: None,
            probes: vec![],
        };
        Self {
            inner: Mutex::new(inner),
            changed: Notify::new(),
            space: Notify::new(),
            memory,
            outlet: OnceLock::new(),
        }
    }

    /// Lets what is put in be sent by this outlet. The first one stands.
    pub(crate) fn attach(&self, outlet: Arc<dyn Outlet>) {
        let _ = self.outlet.set(outlet);
    }

    /// Puts a frame in without waking the stream ([`SendQueue::wake`] and [`SendQueue::send`] do, once for many). Returns the bytes that
    /// wait now. Gives it back if full.
    pub(crate) fn push(&self, frame: QueuedFrame) -> Result<usize, QueuedFrame> {
        let mut inner = self.lock();
        let length = frame.memory();
        let frames = inner.content.frames.len();
        if inner.ended
            || inner.closing
            || frames >= MAX_FRAMES
            || (frames > 0 && inner.bytes + length > MAX_BYTES)
            || !inner.borrow_for(length, &self.memory)
        {
            return Err(frame);
        }
        inner.bytes += length;
        inner.content.frames.push_back(frame);
        Ok(inner.bytes)
    }

    /// Puts a frame in as soon as there is space.
    pub(crate) async fn push_when_space(&self, mut frame: QueuedFrame) {
        let mut memory = None;
        loop {
            let Err(back) = self.push(frame) else {
                return;
            };
            frame = back;
            self.wake();
            let starved_of = self.lock().starved_of;
            if starved_of == 0 {
                self.space.notified().await;
                continue;
            }
            let memory = memory.get_or_insert_with(|| self.memory.waiter());
            memory.ask(starved_of);
            // What was given back before that woke nobody here.
            let Err(back) = self.push(frame) else {
                return;
            };
            frame = back;
            tokio::select! {
                () = self.space.notified() => (),
                () = memory.woken() => (),
            }
        }
    }

    /// Marks the stream as part of the live fan-out from `position` on, by a dispatcher that has come to `head`.
    pub(super) fn joined(&self, position: &Position, head: Arc<DispatchedHead>) {
        self.change(|inner| {
            inner.content.joined = true;
            inner.live = Some(head);
            if std::mem::take(&mut inner.live_marker) {
                let marker = MarkerFrame::new(Marker::Live, &Seq::starting_at(position));
                let frames = &mut inner.content.frames;
                frames.push_back(QueuedFrame::Marker(marker));
            }
        });
        self.wake();
    }

    /// Takes the stream out of the live fan-out: it reads on by itself from `position` once it has sent what is here.
    pub(crate) fn fall_behind(&self, position: Position) {
        self.change(|inner| {
            inner.content.fell_behind_at = Some(position);
            inner.live = None;
        });
    }

    /// Closes the stream once it has sent what is here. The first cause stands.
    pub(crate) fn close(&self, cause: CloseCause) {
        self.change(|inner| {
            inner.closing = true;
            inner.content.close.get_or_insert(cause);
        });
        self.wake();
    }

    /// Closes a stream that is in the live fan-out no more, where its dispatcher has come to this position: what that goes on to is not
    /// for it, and it does not count as sent.
    pub(super) fn close_at(&self, position: Position, cause: CloseCause) {
        self.change(|inner| inner.live = Some(Arc::new(DispatchedHead::new(position))));
        self.close(cause);
    }

    /// Cause for which the stream is to be closed once it has sent what is here.
    pub(crate) fn closing(&self) -> Option<CloseCause> {
        self.lock().content.close.clone()
    }

    /// Closes the stream at once, whatever it still has to send.
    pub(crate) fn abort(&self, cause: CloseCause) {
        self.change(|inner| {
            inner.abort.get_or_insert(cause);
        });
        self.wake();
    }

    /// Cause for which the stream is to close at once, if there is one.
    pub(crate) fn aborted(&self) -> Option<CloseCause> {
        self.lock().abort.clone()
    }

    /// Asks for a sign of life of the client; none if too many ask already. What comes back resolves when there is one, and
    /// fails when the stream ends before.
    pub(crate) fn probe(&self) -> Option<oneshot::Receiver<()>> {
        let (probe, answer) = oneshot::channel();
        let is_full = self.change(|inner| {
            inner.probes.retain(|probe| !probe.is_closed());
            let is_full = inner.probes.len() >= MAX_PROBES;
            // Where the stream has ended, there are none, and the sender is dropped: the answer is that there is no client.
            if !inner.ended && !is_full {
                inner.probes.push(probe);
                inner.asked = false;
            }
            is_full
        });
        if is_full {
            return None;
        }
        self.wake();
        Some(answer)
    }

    /// Returns whether the client is to be asked for a sign of life now; it counts as asked from then on.
    pub(crate) fn take_probe(&self) -> bool {
        self.change(|inner| !inner.probes.is_empty() && !std::mem::replace(&mut inner.asked, true))
    }

    /// The client gave a sign of life.
    pub(crate) fn alive(&self) {
        let probes = self.change(|inner| std::mem::take(&mut inner.probes));
        for probe in probes {
            let _ = probe.send(());
        }
    }

    /// Returns whether the dispatcher fills it.
    pub(crate) fn is_live(&self) -> bool {
        self.lock().live.is_some()
    }

    /// Takes down the last event handed to the socket.
    pub(crate) fn sent(&self, at: &EventPosition) {
        let at = at.clone();
        self.lock().last_sent = Some(at);
    }

    /// The last event handed to the socket.
    pub(crate) fn last_sent(&self) -> Option<EventPosition> {
        self.lock().last_sent.clone()
    }

    /// The principal of the stream.
    pub(crate) fn principal(&self) -> Arc<Principal> {
        self.lock().principal.clone()
    }

    /// Replaces the principal of the stream.
    pub(crate) fn set_principal(&self, principal: Principal) {
        self.lock().principal = Arc::new(principal);
    }

    /// The time, in seconds since 1970, at which what opened the stream expires; none if it does not.
    pub(crate) fn end_of_principal(&self) -> Option<i64> {
        let inner = self.lock();
        inner.principal.end(&inner.route)
    }

    /// Returns whether the stream has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.lock().ended
    }

    /// The stream's current route.
    pub(crate) fn route(&self) -> Arc<Route> {
        self.lock().route.clone()
    }

    /// Replaces the stream's route.
    pub(crate) fn set_route(&self, route: Arc<Route>) {
        self.lock().route = route;
        self.wake();
    }

    /// Wakes the stream.
    pub(crate) fn wake(&self) {
        self.changed.notify_one();
    }

    /// Waits until somebody calls [`SendQueue::wake`] (at once if somebody has since the last time). Cancel-safe.
    pub(crate) async fn woken(&self) {
        self.changed.notified().await;
    }

    /// Sends a frame at once, past the queue, if nothing waits in it and the stream is at rest. Gives it back if it is to be put in.
    pub(super) fn pass(
        &self,
        frame: QueuedFrame,
        tally: &mut Tally,
        message: &mut SharedMessage,
    ) -> Result<(), QueuedFrame> {
        let Some(outlet) = self.outlet.get() else {
            return Err(frame);
        };
        let is_sent = outlet.pass_at_once(self, frame, tally, message)?;
        if !is_sent {
            self.wake();
        }
        Ok(())
    }

    /// Returns whether a frame may go past the queue: it would be the only one in it, and borrow nothing. With `notes`, an event is taken
    /// down as sent.
    pub(crate) fn lets_pass(&self, frame: &QueuedFrame, notes: bool) -> bool {
        let mut inner = self.lock();
        let is_empty = (inner.bytes, inner.in_flight, inner.borrowed) == (0, 0, 0);
        let is_open = !inner.has_more && !inner.ended && !inner.closing;
        if !is_empty || !is_open || frame.memory() > OWN_BYTES {
            return false;
        }
        if notes && let Some(event) = frame.event() {
            inner.last_sent = Some(event.at.clone());
        }
        true
    }

    /// Notes that a frame which went past the queue is not all with the socket.
    pub(crate) fn passed_in_part(&self, bytes: usize) {
        self.lock().in_flight = bytes;
    }

    /// Sends what waits at once, or wakes the stream for it.
    pub(super) fn send(&self, tally: &mut Tally) {
        let is_sent = self
            .outlet
            .get()
            .is_some_and(|o| o.send_at_once(self, tally));
        if !is_sent {
            self.wake();
        }
    }

    /// Empties the queue. What was taken out before is with the socket by now. With the position of a live stream, if that is wanted.
    pub(crate) fn take(&self, wants_head: bool) -> Drained {
        let (content, excess, has_space) = self.change(|inner| {
            let head = inner.live.as_ref().filter(|_| wants_head);
            // Before the frames are taken: what the dispatcher has passed by now is among them.
            let head = head.map(|head| head.get());
            // Who waits for memory and finds nothing more wakes the stream each time.
            let has_space = inner.bytes + inner.in_flight > 0
                || !inner.content.frames.is_empty()
                || inner.paced;
            inner.in_flight = std::mem::take(&mut inner.bytes);
            inner.paced = false;
            let content = std::mem::take(&mut inner.content);
            (Drained { head, ..content }, inner.excess(), has_space)
        });
        self.memory.give_back(excess);
        if has_space {
            self.space.notify_one();
        }
        content
    }

    /// Moves what waits into `frames`, which are empty, to be sent at once; with `notes`, the last event is taken down as sent. Returns
    /// false if there is something else for the stream's task to see to.
    pub(crate) fn take_at_once(&self, frames: &mut VecDeque<QueuedFrame>, notes: bool) -> bool {
        let mut inner = self.lock();
        if inner.has_more {
            return false;
        }
        std::mem::swap(&mut inner.content.frames, frames);
        inner.in_flight = std::mem::take(&mut inner.bytes);
        if notes && let Some(last) = frames.iter().rev().find_map(QueuedFrame::event) {
            inner.last_sent = Some(last.at.clone());
        }
        true
    }

    /// Gives back the memory of what was taken out last, which is all with the socket by now.
    pub(crate) fn sent_at_once(&self) {
        let excess = {
            let mut inner = self.lock();
            inner.in_flight = 0;
            inner.excess()
        };
        self.memory.give_back(excess);
    }

    /// The first event that waits.
    pub(crate) fn next_event(&self) -> Option<Arc<EventFrame>> {
        let inner = self.lock();
        inner
            .content
            .frames
            .iter()
            .find_map(QueuedFrame::event)
            .cloned()
    }

    /// Bytes that were taken out last and may still be on their way to the socket.
    pub(crate) fn in_flight(&self) -> usize {
        self.lock().in_flight
    }

    /// Gives back the memory of what was taken out last, which is all with the socket by now. Until more is taken out, what waits borrows
    /// nothing: a stream that is over its rate holds no memory that others want.
    pub(crate) fn settle(&self) {
        let excess = {
            let mut inner = self.lock();
            inner.in_flight = 0;
            inner.paced = true;
            inner.excess()
        };
        self.memory.give_back(excess);
    }

    /// Returns whether more than the stream's own share of memory is on its way to the socket while memory for others is short.
    pub(crate) fn is_in_the_way(&self) -> bool {
        self.memory.is_short() && self.lock().in_flight > OWN_BYTES
    }

    /// Ends the stream: what waits is dropped, nothing is let in any more, and those who ask for its client learn that it is gone.
    pub(crate) fn end(&self) {
        let (content, probes, excess) = self.change(|inner| {
            inner.ended = true;
            (inner.bytes, inner.in_flight) = (0, 0);
            (
                std::mem::take(&mut inner.content),
                std::mem::take(&mut inner.probes),
                inner.excess(),
            )
        });
        drop((content, probes));
        self.memory.give_back(excess);
    }

    /// Changes what the stream's task may have to see to.
    fn change<R>(&self, change: impl FnOnce(&mut Inner) -> R) -> R {
        let mut inner = self.lock();
        let result = change(&mut inner);
        inner.has_more = inner.finds_more();
        result
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Looks for anything but frames that the stream's task has to see to.
    fn finds_more(&self) -> bool {
        let Drained {
            frames: _,
            joined,
            fell_behind_at,
            close,
            head: _,
        } = &self.content;
        let is_to_ask = !self.probes.is_empty() && !self.asked;
        *joined || fell_behind_at.is_some() || close.is_some() || self.abort.is_some() || is_to_ask
    }

    /// Makes room for a frame of this length, with borrowed memory where the stream's own share is used up.
    fn borrow_for(&mut self, length: usize, memory: &SendMemory) -> bool {
        let wanted = self.bytes + self.in_flight + length;
        let missing = wanted
            .saturating_sub(OWN_BYTES)
            .saturating_sub(self.borrowed)
            .next_multiple_of(STEP);
        self.starved_of = 0;
        if self.paced && missing > 0 {
            return false;
        }
        if missing > 0 && !memory.borrow(missing) {
            self.starved_of = missing;
            return false;
        }
        self.borrowed += missing;
        true
    }

    /// Takes off what is borrowed and no longer needed.
    fn excess(&mut self) -> usize {
        let needed = (self.bytes + self.in_flight)
            .saturating_sub(OWN_BYTES)
            .next_multiple_of(STEP);
        let excess = self.borrowed.saturating_sub(needed);
        self.borrowed -= excess;
        excess
    }
}

impl Drop for SendQueue {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;
    use std::time::Duration;

    use datastream_routing::{KeyHash, SubscriptionId};
    use proptest::prelude::*;
    use tokio::time::{sleep, timeout};

    use super::*;

    fn admission() -> Admission {
        let (id, key) = (SubscriptionId::new("default", "a"), KeyHash::of("a"));
        Admission {
            route: Arc::new(Route::new(id, key)),
            principal: Arc::new(Principal::of_key(key)),
        }
    }

    fn frame(bytes: usize) -> QueuedFrame {
        QueuedFrame::Marker(MarkerFrame::raw(&"x".repeat(bytes)))
    }

    fn queue(memory: &Arc<SendMemory>) -> SendQueue {
        SendQueue::new(admission(), false, memory.clone())
    }

    #[test]
    fn small_frames_borrow_nothing_and_large_ones_what_they_need_until_they_are_sent() {
        let memory = Arc::new(SendMemory::new(1 << 20));
        let queue = queue(&memory);
        queue.push(frame(OWN_BYTES)).unwrap();
        assert_eq!(memory.borrowed(), 0);
        queue.push(frame(1)).unwrap();
        assert_eq!(memory.borrowed(), STEP);
        queue.take(false);
        assert_eq!(memory.borrowed(), STEP, "it is on its way");
        queue.take(false);
        assert_eq!(memory.borrowed(), 0);
    }

    #[test]
    fn without_memory_a_stream_has_its_own_share_and_no_more() {
        let memory = Arc::new(SendMemory::new(0));
        let queue = queue(&memory);
        queue.push(frame(OWN_BYTES)).unwrap();
        assert!(queue.push(frame(1)).is_err());
        queue.take(false);
        assert!(queue.push(frame(1)).is_err(), "on its way");
        queue.take(false);
        queue.push(frame(1)).unwrap();
    }

    #[test]
    fn what_is_looked_at_in_passing_takes_no_more_than_a_line_of_the_cache() {
        let lock = size_of::<Mutex<()>>();
        let looked_at = offset_of!(SendQueue, inner) + lock + offset_of!(Inner, content);
        assert!(looked_at <= 64, "{looked_at}");
    }

    #[test]
    fn a_frame_passes_a_queue_that_is_empty_and_open_and_none_else() {
        let memory = Arc::new(SendMemory::new(1 << 20));
        let passes = |change: &dyn Fn(&SendQueue)| {
            let queue = queue(&memory);
            change(&queue);
            queue.lets_pass(&frame(1), false)
        };
        assert!(passes(&|_| ()));
        assert!(!passes(&|queue| drop(queue.push(frame(1)))));
        assert!(!passes(&|queue| queue.passed_in_part(1)));
        assert!(!passes(&|queue| queue.close(CloseCause::Revoked)));
        assert!(!passes(&|queue| queue.abort(CloseCause::Revoked)));
        assert!(!passes(&|queue| queue.fall_behind(Position::start(1))));
        assert!(!passes(&SendQueue::end));
        assert!(!passes(&|queue| drop(queue.probe())));
        // Whoever asked has not waited for an answer, or the client is asked already.
        assert!(passes(&|queue| {
            let _waits = queue.probe();
            queue.take_probe();
        }));
        assert!(passes(&|queue| {
            let _waits = queue.probe();
            queue.alive();
        }));
        // What closes it stays until its task has closed it, and the rest goes with what is taken.
        assert!(!passes(&|queue| {
            queue.close(CloseCause::Revoked);
            queue.take(false);
        }));
        assert!(passes(&|queue| {
            queue.fall_behind(Position::start(1));
            queue.take(false);
        }));
        assert!(!queue(&memory).lets_pass(&frame(OWN_BYTES + 1), false));
    }

    #[test]
    fn a_stream_that_ends_gives_back_what_it_borrowed_and_takes_nothing_more() {
        let memory = Arc::new(SendMemory::new(1 << 20));
        let queue = queue(&memory);
        queue.push(frame(100 << 10)).unwrap();
        assert!(memory.borrowed() > 0);
        queue.end();
        assert_eq!(memory.borrowed(), 0);
        assert!(queue.push(frame(1)).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_ask_for_a_client_that_is_gone_learn_it_at_once() {
        let queue = queue(&Arc::new(SendMemory::new(0)));
        let before = queue.probe().unwrap();
        queue.end();
        let after = queue.probe().unwrap();
        for answer in [before, after] {
            let answer = timeout(Duration::from_millis(1), answer).await.unwrap();
            assert!(answer.is_err());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_memory_gets_it_when_another_stream_is_done() {
        let memory = Arc::new(SendMemory::new(64 << 10));
        let (greedy, waiting) = (queue(&memory), queue(&memory));
        greedy.push(frame(70 << 10)).unwrap();
        let push = waiting.push_when_space(frame(70 << 10));
        tokio::pin!(push);
        assert!(timeout(Duration::from_hours(1), &mut push).await.is_err());
        greedy.take(false);
        greedy.take(false);
        timeout(Duration::from_millis(1), push).await.unwrap();
    }

    /// The stream's task empties its queue each time it is woken.
    #[tokio::test]
    async fn who_waits_for_memory_does_not_keep_the_stream_busy() {
        let memory = Arc::new(SendMemory::new(0));
        let queue = queue(&memory);
        let push = queue.push_when_space(frame(70 << 10));
        let mut turns = 0;
        let serve = async {
            while turns < 1_000 {
                queue.woken().await;
                queue.take(false);
                turns += 1;
            }
        };
        tokio::select! {
            () = push => panic!("there is no memory"),
            () = serve => (),
            () = sleep(Duration::from_millis(50)) => (),
        }
        assert!(turns <= 2, "{turns}");
    }

    proptest! {
        #[test]
        fn all_streams_together_never_hold_more_than_their_shares_and_the_common_memory(
            steps in proptest::collection::vec((0..4_usize, 0..3_u8, 0..200_000_usize), 0..200),
        ) {
            let limit = 300 << 10;
            let memory = Arc::new(SendMemory::new(limit));
            let mut queues: Vec<_> = (0..4).map(|_| queue(&memory)).collect();
            for (at, step, bytes) in steps {
                match step {
                    0 => { let _ = queues[at].push(frame(bytes)); }
                    1 => { queues[at].take(false); }
                    _ => queues[at] = queue(&memory),
                }
                let held: usize = queues.iter().map(|m| { let i = m.lock(); i.bytes + i.in_flight }).sum();
                prop_assert!(held <= limit + 4 * OWN_BYTES);
                let borrowed: usize = queues.iter().map(|m| m.lock().borrowed).sum();
                prop_assert_eq!(borrowed, memory.borrowed());
            }
            drop(queues);
            prop_assert_eq!(memory.borrowed(), 0);
        }
    }
}

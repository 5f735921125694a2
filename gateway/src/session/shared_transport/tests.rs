//! Turns of a stream's task and of its dispatcher, in every order, on a transport that takes little at a time.

use datastream_protocol::close::Close;
use datastream_routing::{KeyHash, Route, SubscriptionId};
use proptest::prelude::*;

use super::*;
use crate::access::{Admission, Principal};
use crate::fanout::{MarkerFrame, SendMemory};
use crate::metrics::Metrics;

/// A transport that has room for so many frames, and remembers what it was given.
#[derive(Default)]
struct Narrow {
    room: usize,
    sent: Vec<String>,
}

impl Transport for Narrow {
    const TELLS_POSITION: bool = false;
    const SENDS_AT_ONCE: bool = true;

    fn dialect(&self) -> &'static str {
        "dss"
    }

    fn probed(&mut self) {}

    fn set_patience(&mut self, _: Duration) {}

    fn poll(&mut self, unsent: &mut VecDeque<QueuedFrame>, cx: &mut Context<'_>) -> Poll<Happened> {
        if unsent.is_empty() {
            return Poll::Pending;
        }
        self.send(unsent, cx).map(|_| Happened::Sent)
    }

    fn send(
        &mut self,
        unsent: &mut VecDeque<QueuedFrame>,
        _: &mut Context<'_>,
    ) -> Poll<Result<(), CloseCause>> {
        while let Some(frame) = unsent.front() {
            if self.room == 0 {
                return Poll::Pending;
            }
            self.room -= 1;
            self.sent.extend(frame.body().map(str::to_owned));
            unsent.pop_front();
        }
        Poll::Ready(Ok(()))
    }

    fn is_idle(&self) -> bool {
        true
    }

    fn heartbeats(&self) -> u64 {
        0
    }

    fn written(&self) -> u64 {
        0
    }

    async fn close(&mut self, _: Option<Close>, _: &Position) -> bool {
        true
    }
}

fn queue() -> SendQueue {
    let (id, key) = (SubscriptionId::new("default", "a"), KeyHash::of("a"));
    let admission = Admission {
        route: Arc::new(Route::new(id, key)),
        principal: Arc::new(Principal::of_key(key)),
    };
    SendQueue::new(admission, false, Arc::new(SendMemory::new(1 << 20)))
}

fn shared(metrics: &Arc<Metrics>) -> SharedTransport<Narrow> {
    let meter = Meter::new(metrics.clone(), None);
    SharedTransport::new(Narrow::default(), Position::start(1), meter, false, false)
}

/// The turn of a stream's task, as serving takes it: everything in the queue, once all before is sent.
fn take_turn(shared: &SharedTransport<Narrow>, queue: &SendQueue) {
    let mut cx = Context::from_waker(Waker::noop());
    assert_eq!(shared.turn().begin(), None);
    loop {
        if shared.turn().is_all_sent() {
            shared.turn().unsent = queue.take(false).frames;
        }
        shared.turn().rest();
        if shared.poll(&mut cx).is_pending() {
            return;
        }
        assert_eq!(shared.turn().begin(), None);
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A dispatcher sends a frame past the queue, or puts it in and sends if it cannot.
    Pass,
    /// It puts a frame in and sends.
    Push,
    /// It puts a frame in and sends later.
    PushOnly,
    /// The socket takes so many frames more.
    Room(usize),
    /// The stream's task runs, whether it was woken or not.
    Task,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Pass),
        2 => Just(Step::Push),
        2 => Just(Step::PushOnly),
        3 => (1..4_usize).prop_map(Step::Room),
        2 => Just(Step::Task),
    ];
    proptest::collection::vec(step, 1..80)
}

proptest! {
    #[test]
    fn every_frame_is_sent_once_and_in_order_whoever_sends(steps in steps()) {
        let metrics = Arc::new(Metrics::new().unwrap());
        let (queue, mut tally) = (queue(), Tally::new(&metrics));
        let mut message = SharedMessage::default();
        let shared = Arc::new(shared(&metrics));
        queue.attach(shared.clone());
        let (mut pushed, mut woken) = (vec![], false);
        take_turn(&shared, &queue);
        for step in steps {
            match step {
                Step::Pass | Step::Push | Step::PushOnly => {
                    let text = pushed.len().to_string();
                    let frame = QueuedFrame::Marker(MarkerFrame::raw(&text));
                    pushed.push(text);
                    let passed = match step {
                        Step::Pass => shared.pass_at_once(&queue, frame, &mut tally, &mut message),
                        _ => Err(frame),
                    };
                    woken |= match passed {
                        Ok(is_sent) => !is_sent,
                        Err(frame) => {
                            queue.push(frame).unwrap();
                            // What is put in is sent later in the round, in any case.
                            !matches!(step, Step::PushOnly) && !shared.send_at_once(&queue, &mut tally)
                        }
                    };
                }
                Step::Room(frames) => {
                    if let Some(transport) = &mut shared.turn().transport {
                        transport.room += frames;
                    }
                }
                Step::Task => {
                    take_turn(&shared, &queue);
                    woken = false;
                }
            }
        }
        let is_sent = shared.send_at_once(&queue, &mut tally);
        if let Some(transport) = &mut shared.turn().transport {
            transport.room = usize::MAX;
        }
        // Nobody runs the task that was not woken.
        if woken || !is_sent {
            take_turn(&shared, &queue);
        }
        let sent = shared.take().unwrap().sent;
        prop_assert_eq!(sent, pushed);
    }
}

#[test]
fn what_comes_at_rest_goes_out_without_the_task() {
    let metrics = Arc::new(Metrics::new().unwrap());
    let (queue, shared, mut tally) = (queue(), shared(&metrics), Tally::new(&metrics));
    let frame = || QueuedFrame::Marker(MarkerFrame::raw("frame"));
    queue.push(frame()).unwrap();
    assert!(
        !shared.send_at_once(&queue, &mut tally),
        "it is the task's turn"
    );
    take_turn(&shared, &queue);
    shared.turn().transport.as_mut().unwrap().room = 2;
    assert!(
        !shared.send_at_once(&queue, &mut tally),
        "the task has a frame to send"
    );
    take_turn(&shared, &queue);
    queue.push(frame()).unwrap();
    assert!(shared.send_at_once(&queue, &mut tally));
    queue.push(frame()).unwrap();
    assert!(
        !shared.send_at_once(&queue, &mut tally),
        "the socket takes no more"
    );
    assert!(queue.in_flight() > 0);
    queue.close(CloseCause::Revoked);
    take_turn(&shared, &queue);
    assert!(
        !shared.send_at_once(&queue, &mut tally),
        "the task has to close"
    );
}

#[test]
fn a_frame_goes_past_the_queue_of_a_stream_at_rest_and_no_other() {
    let metrics = Arc::new(Metrics::new().unwrap());
    let (queue, shared, mut tally) = (queue(), shared(&metrics), Tally::new(&metrics));
    let mut pass = |room: usize| {
        if let Some(transport) = &mut shared.turn().transport {
            transport.room = room;
        }
        let frame = QueuedFrame::Marker(MarkerFrame::raw("frame"));
        let mut message = SharedMessage::default();
        let passed = shared.pass_at_once(&queue, frame, &mut tally, &mut message);
        passed.map_err(drop)
    };
    assert_eq!(pass(1), Err(()), "it is the task's turn");
    take_turn(&shared, &queue);
    assert_eq!(pass(1), Ok(true));
    queue.push(QueuedFrame::Heartbeat).unwrap();
    assert_eq!(pass(2), Err(()), "a frame waits before it");
    take_turn(&shared, &queue);
    assert_eq!(pass(0), Ok(false), "the socket takes no more");
    assert!(queue.in_flight() > 0);
    assert_eq!(pass(1), Err(()), "the one before is not sent");
    take_turn(&shared, &queue);
    assert_eq!(pass(1), Ok(true));
    queue.close(CloseCause::Revoked);
    assert_eq!(pass(1), Err(()), "the task has to close");
}

//! The task of one stream: queue to socket, heartbeats, and what the client says.

use std::collections::VecDeque;
use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use datastream_protocol::close::{Close, CloseCause};
use datastream_protocol::frame::{HEARTBEAT, Marker};
use datastream_protocol::position::{Position, Seq};
use futures_util::{Sink, Stream};
use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::task::AbortHandle;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, interval_at, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::flood::{Flood, Flooded};
use super::outgoing::{Outgoing, Shared};
use super::registry::Registration;
use crate::cursor::Acks;
use crate::metrics::Metrics;
use crate::pipeline::{CatchUp, CatchUpContext, Drained, OWN_BYTES, QueuedFrame};
use crate::settings::LagLimit;

/// The largest message a client may send: it has nothing to say but `Z`.
const MAX_INCOMING: usize = 4 << 10;
/// Bytes of pongs and of a close frame that the WebSocket library may hold: two of the largest. Of pings that come faster than
/// pongs can be sent, the last one is answered (RFC 6455, section 5.5.3).
const CONTROL_BUFFER: usize = 256;
/// Longest time for which a client may take nothing while others wait for the memory that it holds.
const STALLED: Duration = Duration::from_secs(2);
/// The most that is read of a client to which a close frame has been sent, so that the frame is not lost by a reset.
const MAX_DRAINED: u64 = 1 << 20;
/// Interval at which the lag of a stream that fell behind is checked.
const LAG_CHECK: Duration = Duration::from_secs(1);
/// Time within which a client must answer a close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Configuration of the server side of a stream's WebSocket: small buffers, because there are many streams and most are idle.
pub(crate) fn websocket_config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(1 << 10)
        .write_buffer_size(0)
        .max_write_buffer_size(CONTROL_BUFFER)
        .max_message_size(Some(MAX_INCOMING))
        .max_frame_size(Some(MAX_INCOMING))
}

/// One stream.
pub(crate) struct Session<S> {
    pub socket: WebSocketStream<Shared<S>>,
    pub registration: Registration,
    pub context: Arc<CatchUpContext>,
    pub metrics: Arc<Metrics>,
    /// Everything before has been handed to the socket; at first, where the stream starts.
    pub position: Position,
    pub end: Option<Position>,
    /// Tell the client first that events before the start have expired.
    pub gap_marker: bool,
    /// The client said where to start: until it is live it replays, and does not catch up.
    pub replays: bool,
    pub max_lag: LagLimit,
    /// For a subscription with committed resume.
    pub acks: Option<Acks>,
    /// The stream is opened only to say why it cannot go on.
    pub refused: Option<CloseCause>,
}

enum Happened {
    Sent,
    Received(Message),
    Failed(Error),
    Ended,
}

/// Stops the catching up when the stream ends.
#[derive(Default)]
struct Helper(Option<AbortHandle>);

impl Drop for Helper {
    fn drop(&mut self) {
        if let Some(handle) = &self.0 {
            handle.abort();
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    /// Serves the stream to its end.
    pub(crate) async fn run(mut self) {
        self.metrics.opened.inc();
        let mut outgoing = Outgoing::default();
        let cause = match self.refused.take() {
            Some(cause) => cause,
            None => self.serve(&mut outgoing).await,
        };
        if let Some(held_back) = self.registration.log_admits() {
            tracing::info!(stream = %self.registration.id(), cause = cause.name(), held_back, "stream closed");
        }
        self.metrics.closed.with_label_values(&[cause.name()]).inc();
        let Self {
            socket,
            registration,
            acks,
            position,
            ..
        } = self;
        // The next client need not wait for this one's goodbye.
        drop(registration);
        if cause != CloseCause::ConnectionLost {
            let goodbye = goodbye(socket, &mut outgoing, cause.frame());
            let goodbye = timeout(CLOSE_TIMEOUT, goodbye).await;
            if let (CloseCause::CommittedGap { .. }, Some(acks), Ok(Ok(true))) =
                (&cause, acks, goodbye)
            {
                acks.gap_confirmed(&position);
            }
        }
    }

    async fn serve(&mut self, outgoing: &mut Outgoing) -> CloseCause {
        let queue = self.registration.queue().clone();
        // Held for its drop: it stops the catching up when the stream ends.
        let mut _catching_up = self.catch_up(self.position.clone());
        if self.gap_marker {
            let marker = Marker::Gap.frame(&Seq::starting_at(&self.position)).into();
            outgoing.frames.push_back(QueuedFrame::control(marker));
        }
        // Only while there is a lag to look at: most streams never have one.
        let mut lag_ticks = None;
        let metrics = self.metrics.clone();
        let behind = if self.replays {
            "replaying"
        } else {
            "catching_up"
        };
        let mut state = StateGauge::new(&metrics, behind);
        let mut closing = None;
        let mut heartbeat = queue.route().heartbeat;
        let mut ticks = ticks(heartbeat.interval_seconds);
        let mut unanswered = 0;
        // Letters that waited at the last heartbeat.
        let mut waiting = 0;
        let mut events = 0;
        // Whether there was something to send when the client was last probed.
        let mut blocked = false;
        let mut heartbeats = Heartbeats::default();
        let mut flood = Flood::of_messages();
        let mut stall: Option<Stall> = None;
        loop {
            if outgoing.is_empty() {
                if let Some(cause) = closing {
                    return cause;
                }
                // Before the queue is emptied: what the head has passed by now is in there, if the stream is live.
                let head = self.acks.is_some().then(|| self.context.ring.head());
                let mail = queue.take();
                if let Some(head) = head {
                    self.covered(&mail, &head, state.is_live());
                }
                if let Some(position) = mail.fell_behind_at {
                    _catching_up = self.catch_up(position);
                    if self.max_lag != LagLimit::default() {
                        lag_ticks.get_or_insert_with(|| interval(LAG_CHECK));
                    }
                    state.set("catching_up");
                } else if mail.joined {
                    _catching_up = Helper::default();
                    lag_ticks = None;
                    state.set(LIVE);
                }
                closing = mail.close;
                outgoing.frames = mail.frames;
                stall = Stall::of(outgoing);
                let route = queue.route();
                if route.heartbeat != heartbeat {
                    heartbeat = route.heartbeat;
                    ticks = self::ticks(heartbeat.interval_seconds);
                }
                events += self.count(&outgoing.frames);
                if closing.is_some() && outgoing.is_empty() {
                    continue;
                }
            }
            if let Some(cause) = queue.aborted() {
                return cause;
            }
            if queue.take_probe() {
                // If it is waiting for space, that it gets some will be a sign of life, too.
                blocked = !outgoing.is_empty();
                self.heartbeat(outgoing, events);
                heartbeats.queued += 1;
            }
            let happened = tokio::select! {
                biased;
                _ = ticks.tick() => {
                    // One that is still on its way cannot have been answered; but the client takes what comes before it.
                    let before = std::mem::replace(&mut waiting, outgoing.frames.len());
                    if outgoing.heartbeats() > 0 && waiting < before {
                        continue;
                    }
                    if unanswered >= heartbeat.missed_limit {
                        return CloseCause::HeartbeatsMissed { missed: unanswered };
                    }
                    unanswered += 1;
                    self.heartbeat(outgoing, events);
                    heartbeats.queued += 1;
                    waiting = outgoing.frames.len();
                    continue;
                }
                () = next_tick(&mut lag_ticks) => {
                    if let Some(cause) = self.too_far_behind(&outgoing.frames) {
                        return cause;
                    }
                    continue;
                }
                () = next_stall(&mut stall) => {
                    if stall.as_mut().is_some_and(|stall| stall.is_over(outgoing)) && queue.is_in_the_way() {
                        return CloseCause::Stalled;
                    }
                    continue;
                }
                happened = poll_fn(|cx| poll(outgoing, &mut self.socket, cx)) => happened,
                () = queue.woken() => continue,
            };
            match happened {
                Happened::Sent if blocked => {
                    blocked = false;
                    queue.alive();
                }
                Happened::Received(_) => {
                    queue.alive();
                    if flood.is_reached_by(1) {
                        return CloseCause::Flooded;
                    }
                }
                _ => (),
            }
            match happened {
                Happened::Sent => (),
                Happened::Received(Message::Text(text)) => {
                    if !is_answer(&text) {
                        return CloseCause::UnexpectedText;
                    }
                    // A client that has not been sent a heartbeat cannot answer it.
                    if heartbeats.answer(outgoing) {
                        unanswered = 0;
                        if let Some(acks) = &mut self.acks {
                            acks.answered();
                        }
                        self.metrics.heartbeats_answered.inc();
                    }
                }
                Happened::Received(Message::Binary(_)) => return CloseCause::UnexpectedBinary,
                Happened::Received(Message::Close(_)) | Happened::Ended => {
                    return CloseCause::ClientLeft;
                }
                // The next poll sends the pong.
                Happened::Received(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => (),
                Happened::Failed(error) => return cause_of(&error),
            }
        }
    }

    fn heartbeat(&mut self, outgoing: &mut Outgoing, events: u64) {
        self.metrics.heartbeats_sent.inc();
        if let Some(acks) = &mut self.acks {
            acks.heartbeat(&self.position, events);
        }
        outgoing
            .frames
            .push_back(QueuedFrame::control(Utf8Bytes::from_static(HEARTBEAT)));
    }

    fn catch_up(&self, position: Position) -> Helper {
        let catch_up = CatchUp {
            context: self.context.clone(),
            id: self.registration.id().clone(),
            queue: self.registration.queue().clone(),
            position,
            end: self.end.clone(),
        };
        Helper(Some(tokio::spawn(catch_up.run()).abort_handle()))
    }

    /// Moves the stream's position on to what it will have been sent with this mail.
    fn covered(&mut self, mail: &Drained, head: &Position, is_live: bool) {
        if let Some(position) = &mail.fell_behind_at {
            self.position.merge(position);
        } else if is_live || mail.joined {
            self.position.merge(head);
        }
        // The head moves a moment after the queues are filled: the last event may be beyond it.
        if let Some(seq) = mail.frames.iter().rev().find_map(QueuedFrame::seq)
            && let Ok(position) = Seq::parse_end(seq, head.partitions())
        {
            self.position.merge(&position);
        }
    }

    /// Returns the cause to close with, if the next event to send is older, or further from the head, than `max_lag` allows.
    fn too_far_behind(&self, unsent: &VecDeque<QueuedFrame>) -> Option<CloseCause> {
        let (frame, taken_ms) = unsent
            .iter()
            .find_map(|frame| Some((frame, frame.times?.taken_ms)))?;
        let seq = frame.seq()?;
        let old = self.max_lag.age.is_some_and(|age| {
            taken_ms > 0 && now_ms() - taken_ms > i64::try_from(age.as_millis()).unwrap_or(i64::MAX)
        });
        let far = self.max_lag.bytes.is_some_and(|bytes| {
            let ring = &self.context.ring;
            Seq::parse_start(seq, ring.head().partitions())
                .is_ok_and(|position| ring.bytes_behind(&position) > bytes)
        });
        (old || far).then(|| CloseCause::TooFarBehind {
            seq_start: seq.into(),
        })
    }

    /// Counts the events among what goes out, tells how many there are, and takes down the last one.
    fn count(&self, frames: &VecDeque<QueuedFrame>) -> u64 {
        if self.registration.is_told()
            && let Some(seq) = frames.iter().rev().find_map(QueuedFrame::seq)
        {
            self.registration.queue().sent(seq);
        }
        let (mut events, mut bytes, mut now) = (0, 0, None);
        for frame in frames {
            let Some(times) = frame.times else {
                continue;
            };
            events += 1;
            bytes += frame.frame.len() as u64;
            for (since_ms, histogram) in [
                (times.taken_ms, &self.metrics.latency),
                (times.happened_ms, &self.metrics.event_age),
            ] {
                if since_ms > 0 {
                    let age_ms = *now.get_or_insert_with(now_ms) - since_ms;
                    histogram.observe(age_ms.max(0) as f64 / 1e3);
                }
            }
        }
        self.metrics.sent.inc_by(events);
        self.metrics.sent_bytes.inc_by(bytes);
        events
    }
}

/// Moves frames to the socket, and listens meanwhile: a client that is slow to read can still speak.
fn poll<S>(
    outgoing: &mut Outgoing,
    socket: &mut WebSocketStream<Shared<S>>,
    cx: &mut Context<'_>,
) -> Poll<Happened>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match outgoing.poll_send(socket, cx) {
        Poll::Ready(Ok(true)) => return Poll::Ready(Happened::Sent),
        Poll::Ready(Err(error)) => return Poll::Ready(Happened::Failed(error)),
        Poll::Ready(Ok(false)) | Poll::Pending => (),
    }
    Poll::Ready(match ready!(Pin::new(socket).poll_next(cx)) {
        Some(Ok(message)) => Happened::Received(message),
        Some(Err(error)) => Happened::Failed(error),
        None => Happened::Ended,
    })
}

/// Says why the stream ends. Returns whether the client has answered that; where it has not, it may know or not.
///
/// # Errors
/// The connection is lost.
async fn goodbye<S>(
    mut socket: WebSocketStream<Shared<S>>,
    outgoing: &mut Outgoing,
    frame: Option<Close>,
) -> Result<bool, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    poll_fn(|cx| outgoing.poll_finish(&mut socket, cx)).await?;
    // Pongs first: behind them there may be no room for the close frame.
    poll_fn(|cx| Pin::new(&mut socket).poll_flush(cx)).await?;
    let code = frame.as_ref().map(|frame| frame.code);
    if let Some(Close { code, reason }) = frame {
        let frame = CloseFrame {
            code: code.into(),
            reason: reason.into(),
        };
        socket.close(Some(frame)).await?;
    }
    let mut answered = false;
    loop {
        match poll_fn(|cx| Pin::new(&mut socket).poll_next(cx)).await {
            // An answer repeats the code (RFC 6455, section 5.5.1); a client that closes by itself has another one.
            Some(Ok(Message::Close(reply))) => {
                answered = reply.map(|reply| u16::from(reply.code)) == code;
            }
            Some(Ok(_)) => (),
            // Both have said goodbye.
            None => return Ok(answered),
            // There is nobody any more.
            Some(Err(Error::Io(error))) => return Err(Error::Io(error)),
            Some(Err(_)) => break,
        }
    }
    // The kernel resets a connection that is closed with bytes unread, and the client may lose the close frame by that.
    let mut io = socket.into_inner().into_inner();
    io.shutdown().await?;
    tokio::io::copy(&mut io.take(MAX_DRAINED), &mut tokio::io::sink()).await?;
    Ok(answered)
}

/// Counts of heartbeats queued for the client, and answered.
#[derive(Default)]
struct Heartbeats {
    queued: u64,
    answered: u64,
}

impl Heartbeats {
    /// Counts an answer, if the client has been sent a heartbeat that it has not answered.
    fn answer(&mut self, outgoing: &Outgoing) -> bool {
        let sent = self.queued - outgoing.heartbeats();
        let is_one = self.answered < sent;
        self.answered += u64::from(is_one);
        is_one
    }
}

/// Watches whether the client takes anything, while it has more to take than its share of memory.
struct Stall {
    ticks: Interval,
    /// Bytes that it had taken when it last took any, and when that was seen.
    taken: (u64, Instant),
}

impl Stall {
    fn of(outgoing: &Outgoing) -> Option<Self> {
        let bytes: usize = outgoing.frames.iter().map(|frame| frame.frame.len()).sum();
        (bytes > OWN_BYTES).then(|| Self {
            ticks: ticks(1),
            taken: (outgoing.written, Instant::now()),
        })
    }

    fn is_over(&mut self, outgoing: &Outgoing) -> bool {
        if self.taken.0 != outgoing.written {
            self.taken = (outgoing.written, Instant::now());
        }
        self.taken.1.elapsed() >= STALLED
    }
}

/// The next look at whether the client takes anything, or never.
async fn next_stall(stall: &mut Option<Stall>) {
    match stall {
        Some(stall) => drop(stall.ticks.tick().await),
        None => pending().await,
    }
}

/// Both example clients answer `Z`, the mobile SDK in its own style; `X` is its keep-alive.
fn is_answer(text: &Utf8Bytes) -> bool {
    matches!(text.trim(), "Z" | "1|Z" | "X" | "1|X")
}

fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

/// The next tick, or never.
async fn next_tick(ticks: &mut Option<Interval>) {
    match ticks {
        Some(ticks) => drop(ticks.tick().await),
        None => pending().await,
    }
}

fn ticks(seconds: u32) -> Interval {
    let period = Duration::from_secs(u64::from(seconds.max(1)));
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

fn cause_of(error: &Error) -> CloseCause {
    match error {
        Error::Capacity(CapacityError::MessageTooLong { .. }) => CloseCause::TooLarge,
        Error::Utf8(_) => CloseCause::NotUtf8,
        Error::Io(error) if Flooded::is(error) => CloseCause::Flooded,
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) | Error::Io(_) => {
            CloseCause::ConnectionLost
        }
        Error::Protocol(_) => CloseCause::Protocol,
        Error::ConnectionClosed | Error::AlreadyClosed => CloseCause::ClientLeft,
        _ => CloseCause::ConnectionLost,
    }
}

/// The state of a stream that the dispatcher fills.
const LIVE: &str = "live";

/// Counts the stream under its state for as long as it lives.
struct StateGauge<'a> {
    metrics: &'a Metrics,
    state: &'static str,
}

impl<'a> StateGauge<'a> {
    fn new(metrics: &'a Metrics, state: &'static str) -> Self {
        let gauge = Self { metrics, state };
        gauge.add(1);
        gauge
    }

    fn is_live(&self) -> bool {
        self.state == LIVE
    }

    fn set(&mut self, state: &'static str) {
        self.add(-1);
        self.state = state;
        self.add(1);
    }

    fn add(&self, by: i64) {
        self.metrics
            .streams
            .with_label_values(&[self.state])
            .add(by);
    }
}

impl Drop for StateGauge<'_> {
    fn drop(&mut self) {
        self.add(-1);
    }
}

//! Follows one stream: connects, answers heartbeats, and comes back where it was when the connection is lost.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::http::Response;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use super::frame::{Frame, HEARTBEAT_ANSWER};
use super::seq;
use super::target::Target;
use crate::backoff::Backoff;

/// What happens on a stream.
#[derive(Debug)]
pub(super) enum Report {
    /// The stream is open.
    Connected,
    /// An event: the whole frame; its JSON starts at the given byte.
    Event(Utf8Bytes, usize),
    /// A heartbeat was answered.
    Heartbeat,
    /// A frame that makes no sense was skipped.
    Junk(String),
    /// The connection is gone, or could not be made; the stream tries again after the delay.
    Lost {
        /// What happened.
        reason: String,
        /// The time until the next attempt.
        retry_in: Duration,
    },
    /// The stream is over: its `seq_end` was reached.
    Ended,
    /// The server refuses the stream, and trying again would not change that.
    Refused(String),
}

/// How a stream is followed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Follow {
    /// Silence after which a connection counts as dead. Unset: three times the interval of its heartbeats.
    pub silence: Option<Duration>,
    /// Waiting times between attempts.
    pub first_delay: Duration,
    /// The longest waiting time between attempts.
    pub longest_delay: Duration,
}

/// Silence that is endured before the interval of the heartbeats is known: a subscription may ask for up to 300 s.
const LONGEST_SILENCE: Duration = Duration::from_secs(310);
/// Silence that is always endured.
const SHORTEST_SILENCE: Duration = Duration::from_secs(20);
/// How long the close frame of a stream that is no longer wanted may take.
const FAREWELL: Duration = Duration::from_millis(500);
/// A connection may take this long to be established.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

type Socket = WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>;

/// Why a connection ended.
enum End {
    Lost(String),
    Refused(String),
    Done,
    /// Nobody wants to hear more.
    Stopped,
}

#[derive(Deserialize)]
struct Position {
    seq: Option<String>,
}

impl Follow {
    /// Follows the stream until it ends, is refused, or nobody takes its reports, which carry `number`.
    pub(super) async fn run(
        self,
        number: usize,
        mut target: Target,
        reports: mpsc::Sender<(usize, Report)>,
    ) {
        let mut backoff = Backoff::new(self.first_delay, self.longest_delay);
        loop {
            let mut progress = false;
            let end = self
                .connection(number, &mut target, &reports, &mut progress)
                .await;
            if progress {
                backoff.reset();
            }
            let (report, delay) = match end {
                End::Stopped => return,
                End::Done => (Report::Ended, None),
                End::Refused(reason) => (Report::Refused(reason), None),
                End::Lost(reason) => {
                    let retry_in = backoff.next_delay();
                    (Report::Lost { reason, retry_in }, Some(retry_in))
                }
            };
            if reports.send((number, report)).await.is_err() {
                return;
            }
            let Some(delay) = delay else { return };
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = reports.closed() => return,
            }
        }
    }

    /// One connection, from the handshake to its end. Moves the target's `seq_start` along with what arrives.
    async fn connection(
        self,
        number: usize,
        target: &mut Target,
        reports: &mpsc::Sender<(usize, Report)>,
        progress: &mut bool,
    ) -> End {
        let connected = tokio::select! {
            connected = connect(target) => connected,
            () = reports.closed() => return End::Stopped,
        };
        let mut socket = match connected {
            Ok(socket) => socket,
            Err(end) => return end,
        };
        let mut report = Report::Connected;
        let mut silence = self.silence.unwrap_or(LONGEST_SILENCE);
        let mut heartbeat = Instant::now();
        loop {
            if matches!(report, Report::Heartbeat) && self.silence.is_none() {
                silence = SHORTEST_SILENCE.max(3 * heartbeat.elapsed());
                heartbeat = Instant::now();
            }
            // A failure means the same as a closed channel, which is handled below.
            let _ = reports.send((number, report)).await;
            let next = tokio::select! {
                biased;
                () = reports.closed() => {
                    // So that the server need not find out by itself.
                    let _ = timeout(FAREWELL, socket.close(None)).await;
                    return End::Stopped;
                }
                next = next(&mut socket, target, silence) => next,
            };
            report = match next {
                Ok(report) => report,
                Err(end) => return end,
            };
            // A server that accepts and drops at once must not be flooded: only what arrives counts.
            *progress = true;
        }
    }
}

async fn next(socket: &mut Socket, target: &mut Target, silence: Duration) -> Result<Report, End> {
    loop {
        let message = timeout(silence, socket.next())
            .await
            .map_err(|_| End::Lost(format!("no heartbeat within {} s", silence.as_secs())))?;
        match message {
            None => return Err(End::Lost("the connection was closed".to_owned())),
            Some(Err(error)) => return Err(End::Lost(error.to_string())),
            Some(Ok(Message::Text(text))) => return understand(socket, target, text).await,
            Some(Ok(Message::Close(frame))) => {
                let Some(frame) = frame else {
                    return Err(End::Lost("closed by the server".to_owned()));
                };
                let done = frame.code == CloseCode::Normal && target.get("seq_end").is_some();
                return Err(if done {
                    End::Done
                } else {
                    End::Lost(format!(
                        "closed by the server: {} {}",
                        frame.code, frame.reason
                    ))
                });
            }
            Some(Ok(Message::Binary(data))) => {
                return Ok(Report::Junk(format!(
                    "a binary message of {} bytes",
                    data.len()
                )));
            }
            // Pings are answered by the WebSocket library.
            Some(Ok(_)) => {}
        }
    }
}

async fn understand(
    socket: &mut Socket,
    target: &mut Target,
    text: Utf8Bytes,
) -> Result<Report, End> {
    match Frame::parse(&text) {
        Ok(Frame::Heartbeat) => {
            let answer = Message::Text(Utf8Bytes::from_static(HEARTBEAT_ANSWER));
            let sent = socket.send(answer).await;
            sent.map_err(|e| End::Lost(e.to_string()))?;
            Ok(Report::Heartbeat)
        }
        Ok(Frame::KeepAlive) => Ok(Report::Heartbeat),
        Ok(Frame::Event(json)) => {
            match serde_json::from_str::<Position>(json) {
                Ok(Position { seq }) => {
                    if let Some(next) = seq.as_deref().and_then(seq::after) {
                        target.set("seq_start", &next);
                    }
                }
                Err(error) => {
                    return Ok(Report::Junk(format!("an event that is no JSON: {error}")));
                }
            }
            let start = text.len() - json.len();
            Ok(Report::Event(text, start))
        }
        Err(error) => Ok(Report::Junk(error.to_string())),
    }
}

async fn connect(target: &Target) -> Result<Socket, End> {
    // The defaults allocate 128 KiB a connection at once; events are small.
    let config = WebSocketConfig::default()
        .read_buffer_size(16 << 10)
        .max_message_size(Some(8 << 20))
        .max_frame_size(Some(8 << 20));
    let attempt = connect_async_with_config(target.url(), Some(config), true);
    match timeout(CONNECT_TIMEOUT, attempt).await {
        Ok(Ok((socket, _))) => Ok(socket),
        Ok(Err(Error::Http(response))) => Err(refusal(&response)),
        // A URL that cannot be read will not be readable later.
        Ok(Err(error @ (Error::Url(_) | Error::HttpFormat(_)))) => {
            Err(End::Refused(error.to_string()))
        }
        Ok(Err(error)) => Err(End::Lost(format!("cannot connect: {error}"))),
        Err(_) => Err(End::Lost(format!(
            "no answer within {} s",
            CONNECT_TIMEOUT.as_secs()
        ))),
    }
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
    message: String,
}

fn refusal(response: &Response<Option<Vec<u8>>>) -> End {
    let status = response.status();
    let body = response.body().as_deref().unwrap_or_default();
    let reason = match serde_json::from_slice::<Refusal>(body) {
        Ok(Refusal { error, message }) => format!("{status}: {message} ({error})"),
        Err(_) => status.to_string(),
    };
    // In use, too many, or not now: that passes. Unknown key, suspended, bad position: that does not.
    let passes = matches!(status.as_u16(), 408 | 409 | 425 | 429) || status.is_server_error();
    if passes {
        End::Lost(reason)
    } else {
        End::Refused(reason)
    }
}

//! Follows one stream: answers heartbeats, and comes back where it was when the connection is lost.

use std::time::Duration;

use serde::Deserialize;
use tokio::sync::mpsc;

use crate::backoff::Backoff;
use crate::client::{self, Body, Connection, Failure, Incoming, Target};

/// What happens on a stream.
#[derive(Debug)]
pub(super) enum Report {
    /// The stream is open.
    Connected,
    /// An event, as JSON.
    Event(Body),
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

/// Why a connection ended.
enum End {
    Failed(Failure),
    /// Nobody wants to hear more.
    Stopped,
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// The close code of a stream whose `seq_end` was reached.
const NORMAL: u16 = 1000;

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
            let Err(end) = self
                .connection(number, &mut target, &reports, &mut progress)
                .await;
            if progress {
                backoff.reset();
            }
            let End::Failed(failure) = end else { return };
            let (report, delay) = match &failure {
                Failure::Closed { code: NORMAL, .. } if target.get("seq_end").is_some() => {
                    (Report::Ended, None)
                }
                Failure::BadUrl(reason) => (Report::Refused(reason.clone()), None),
                Failure::Refused(refusal) if !refusal.passes() => {
                    (Report::Refused(refusal.to_string()), None)
                }
                failure => {
                    let retry_in = backoff.next_delay().max(failure.retry_after());
                    let reason = failure.to_string();
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
    ) -> Result<std::convert::Infallible, End> {
        let mut connection = tokio::select! {
            connected = Connection::open(target, self.silence) => connected?,
            () = reports.closed() => return Err(End::Stopped),
        };
        let mut report = Report::Connected;
        loop {
            // A failure means the same as a closed channel, which is handled below.
            let _ = reports.send((number, report)).await;
            let incoming = tokio::select! {
                biased;
                () = reports.closed() => {
                    connection.close().await;
                    return Err(End::Stopped);
                }
                incoming = connection.next() => incoming?,
            };
            report = match incoming {
                Incoming::Json(body) => follow(target, body),
                Incoming::Heartbeat => {
                    connection.answer().await?;
                    Report::Heartbeat
                }
                Incoming::KeepAlive => Report::Heartbeat,
                Incoming::Junk(reason) => Report::Junk(reason),
            };
            // A server that accepts and drops at once must not be flooded: only what arrives counts.
            *progress = true;
        }
    }
}

/// Moves the target's `seq_start` behind an event.
fn follow(target: &mut Target, body: Body) -> Report {
    match serde_json::from_str::<Position>(body.as_str()) {
        Ok(Position { seq }) => {
            if let Some(next) = seq.as_deref().and_then(client::after) {
                target.set("seq_start", &next);
            }
            Report::Event(body)
        }
        Err(error) => Report::Junk(format!("an event that is no JSON: {error}")),
    }
}

//! Follows one stream: answers heartbeats, and comes back where it was when the connection is lost.

use std::time::Duration;

use datastream_client::{Body, Connection, Credentials, Failure, Incoming, Unreadable};
use datastream_protocol::StreamUrl;
use datastream_protocol::close::code;
use datastream_protocol::event::View;
use datastream_protocol::position::after;
use datastream_service::backoff::Backoff;
use tokio::sync::mpsc;

/// A report of what happens on a stream.
#[derive(Debug)]
pub(super) enum Report {
    /// The stream is open.
    Connected,
    /// An event, as JSON.
    Event(Body),
    /// A heartbeat was answered.
    Heartbeat,
    /// The server said where the stream stands.
    Marker,
    /// The server said that events have expired before they could be sent.
    Expired {
        /// The sequence number to start with to get what is left.
        before: String,
    },
    /// A frame that makes no sense was skipped.
    Junk(String),
    /// The connection is gone, or could not be made; the stream tries again after the delay.
    Lost {
        /// The reason.
        reason: String,
        /// The time until the next attempt.
        retry_in: Duration,
    },
    /// The stream is over: its `seq_end` was reached.
    Ended,
    /// The server refuses the stream, and trying again would not change that.
    Refused(String),
    /// The same frame cannot be received, again and again.
    Unreadable(String),
}

/// Settings for following a stream.
#[derive(Clone, Debug)]
pub(super) struct Follow {
    /// The credentials, and the authorities that are trusted.
    pub credentials: Credentials,
    /// Silence after which a connection counts as dead. Unset: three times the interval of its heartbeats.
    pub silence: Option<Duration>,
    /// Waiting times between attempts.
    pub first_delay: Duration,
    /// The longest waiting time between attempts.
    pub longest_delay: Duration,
}

/// The reason for which a connection ended.
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

impl Follow {
    /// Follows the stream until it ends, is refused or cannot be read, or nobody takes its reports, which carry `number`.
    pub(super) async fn run(
        self,
        number: usize,
        mut url: StreamUrl,
        reports: mpsc::Sender<(usize, Report)>,
    ) {
        let mut backoff = Backoff::new(self.first_delay, self.longest_delay);
        let mut unreadable = Unreadable::default();
        loop {
            let mut progress = false;
            let Err(end) = self
                .connection(number, &mut url, &reports, &mut progress)
                .await;
            if progress {
                backoff.reset();
            }
            let End::Failed(failure) = end else { return };
            let (report, delay) = match &failure {
                Failure::Closed {
                    code: code::NORMAL, ..
                } if url.get("seq_end").is_some() => (Report::Ended, None),
                Failure::BadUrl(reason) => (Report::Refused(reason.clone()), None),
                Failure::Refused(refusal) if !refusal.passes() => {
                    (Report::Refused(refusal.to_string()), None)
                }
                Failure::Unreadable(reason) if unreadable.again(place(&url)) => {
                    (Report::Unreadable(behind(&url, reason)), None)
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

    /// One connection, from the handshake to its end. Moves the url's `seq_start` along with what arrives.
    async fn connection(
        &self,
        number: usize,
        url: &mut StreamUrl,
        reports: &mpsc::Sender<(usize, Report)>,
        progress: &mut bool,
    ) -> Result<std::convert::Infallible, End> {
        let mut connection = tokio::select! {
            connected = Connection::open(url, &self.credentials, self.silence) => connected?,
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
                Incoming::Json(body) => follow(url, body),
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

/// Returns the position from which the stream resumes; none if it has no known start and nothing has come.
fn place(url: &StreamUrl) -> Option<String> {
    url.get("seq_start").map(str::to_owned)
}

/// Says what cannot be received, and where it stands.
fn behind(url: &StreamUrl, reason: &str) -> String {
    let what = match url.get("seq_start") {
        Some(seq_start) => format!("what follows seq_start {seq_start}"),
        None => "the first event".to_owned(),
    };
    format!(
        "cannot receive {what}, and it came again: {reason}; --since shows what came after a later time"
    )
}

/// Moves the url's `seq_start` behind an event, or to where a control frame says that the stream resumes.
fn follow(url: &mut StreamUrl, body: Body) -> Report {
    let view = match View::parse(body.as_str()) {
        Ok(view) => view,
        Err(error) => return Report::Junk(format!("an event that is no JSON object: {error}")),
    };
    let (seq, control) = (view.text("seq"), view.text("control"));
    if seq.is_none() && control.is_some() {
        let next = view.text("seq_start").filter(|n| after(n).is_some());
        if let Some(next) = &next {
            resume_at(url, next);
        }
        return match (control.as_deref(), next) {
            (Some("gap"), Some(next)) => Report::Expired {
                before: next.into_owned(),
            },
            _ => Report::Marker,
        };
    }
    if let Some(next) = seq.as_deref().and_then(after) {
        resume_at(url, &next);
    }
    Report::Event(body)
}

/// The next connection starts with this sequence number, whatever the first one was asked for.
fn resume_at(url: &mut StreamUrl, seq_start: &str) {
    url.unset("time_start");
    url.set("seq_start", seq_start);
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "ws://h/stream?stream_key=0123456789abcdef";

    fn followed(url: &str, json: &str) -> (Report, Option<String>) {
        let mut url: StreamUrl = url.parse().unwrap();
        let report = follow(&mut url, Body::from(json));
        assert!(url.get("time_start").is_none() || url.get("seq_start").is_none());
        (report, url.get("seq_start").map(str::to_owned))
    }

    #[test]
    fn a_stream_resumes_after_the_last_event_or_at_the_marker() {
        let next = |json: &str| followed(&format!("{URL}&time_start=1970-01-01T00:00:00Z"), json).1;
        assert_eq!(
            next(r#"{"seq":"99","x":1e400,"y":"\ud800"}"#).as_deref(),
            Some("100")
        );
        let live = r#"{"control":"live","seq_start":"8"}"#;
        assert_eq!(next(live).as_deref(), Some("8"));
        assert_eq!(next(r#"{"control":"live","seq_start":"x"}"#), None);
        assert_eq!(next(r#"{"metadata":{}}"#), None);
    }

    #[test]
    fn control_frames_are_not_counted_as_events() {
        let report = |json: &str| followed(URL, json).0;
        assert!(matches!(
            report(r#"{"control":"live","seq_start":"8"}"#),
            Report::Marker
        ));
        assert!(matches!(report(r#"{"control":"new"}"#), Report::Marker));
        assert!(
            matches!(report(r#"{"control":"gap","seq_start":"8"}"#), Report::Expired { before } if before == "8")
        );
        assert!(matches!(
            report(r#"{"control":"x","seq":"1"}"#),
            Report::Event(_)
        ));
        assert!(matches!(report("[]"), Report::Junk(_)));
    }
}

//! `POST /events`: JSON lines from anywhere go into the topic. And what the console asks.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use datastream_gateway::AdminExtension;
use datastream_source::fluvio::producer::{Producer, Record, SendError};
use futures_util::future::BoxFuture;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::invitation::{Invitation, PATH};
use crate::event_line::{self, Check};

/// The largest body that is accepted, in bytes.
const MAX_BODY: usize = 16 << 20;
/// Requests that may wait for the one before.
const QUEUE: usize = 16;
/// Time for which a request waits for its turn and for Fluvio.
const PATIENCE: Duration = Duration::from_secs(25);

/// Takes `POST /events` and hands the records to the one task that owns the producer.
pub(super) struct Ingest {
    queue: mpsc::Sender<Batch>,
    invitation: Arc<Invitation>,
}

/// One request's records, and where the outcome goes.
struct Batch {
    records: Vec<Record>,
    done: oneshot::Sender<Result<(), SendError>>,
}

/// A line of the body that is not accepted.
#[derive(Debug, PartialEq, Eq)]
struct BadLine {
    /// Line, counted from 1.
    line: usize,
    reason: String,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

impl Ingest {
    /// Starts the task that produces; it ends with the last clone of this.
    pub(super) fn start(mut producer: Producer, invitation: Arc<Invitation>) -> Self {
        let (queue, mut requests) = mpsc::channel::<Batch>(QUEUE);
        tokio::spawn(async move {
            while let Some(Batch { records, done }) = requests.recv().await {
                // Whoever asked may have left; the records are stored all the same.
                let _ = done.send(producer.send_twice(&records).await);
            }
        });
        Self { queue, invitation }
    }

    async fn post(&self, body: Incoming, check: Check) -> Response<Full<Bytes>> {
        let body = match Limited::new(body, MAX_BODY).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => {
                let message = format!(
                    "the body is larger than {} MiB: send less at once",
                    MAX_BODY >> 20
                );
                return problem(StatusCode::PAYLOAD_TOO_LARGE, "too_large", &message);
            }
            Err(error) => {
                let message = format!("the body cannot be read: {error}");
                return problem(StatusCode::BAD_REQUEST, "bad_request", &message);
            }
        };
        let records = match records(&body, check) {
            Ok(records) => records,
            Err(bad) => {
                let message = format!("{bad}; nothing was accepted");
                return problem(StatusCode::BAD_REQUEST, "bad_event", &message);
            }
        };
        let accepted = records.len();
        match timeout(PATIENCE, self.produce(records)).await {
            Ok(Some(Ok(()))) => respond(StatusCode::OK, &json!({ "accepted": accepted })),
            Ok(Some(Err(SendError { confirmed, reason }))) => {
                let message =
                    format!("{reason}; {confirmed} of {accepted} events are stored for certain");
                problem(StatusCode::SERVICE_UNAVAILABLE, "fluvio", &message)
            }
            Ok(None) => problem(
                StatusCode::SERVICE_UNAVAILABLE,
                "stopping",
                "the process is stopping",
            ),
            Err(_) => {
                let message = format!(
                    "Fluvio did not take the events within {PATIENCE:?}; they may be stored later"
                );
                problem(StatusCode::SERVICE_UNAVAILABLE, "fluvio", &message)
            }
        }
    }

    /// `None` if the producing task is gone.
    async fn produce(&self, records: Vec<Record>) -> Option<Result<(), SendError>> {
        let (done, outcome) = oneshot::channel();
        self.queue.send(Batch { records, done }).await.ok()?;
        outcome.await.ok()
    }
}

impl AdminExtension for Ingest {
    fn paths(&self) -> &'static str {
        "/events"
    }

    fn handle(&self, request: Request<Incoming>) -> BoxFuture<'_, Option<Response<Full<Bytes>>>> {
        Box::pin(async move {
            if request.uri().path() == PATH && request.method() == Method::GET {
                return Some(self.invitation.answer(request.uri().query()));
            }
            if request.uri().path() != "/events" {
                return None;
            }
            if request.method() != Method::POST {
                let mut response = problem(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "method_not_allowed",
                    "POST JSON lines here, one event per line",
                );
                let headers = response.headers_mut();
                headers.insert(ALLOW, HeaderValue::from_static("POST"));
                return Some(response);
            }
            let check = match request.uri().query() {
                Some("force=1") => Check::Off,
                None | Some("") => Check::AsGateways,
                Some(other) => {
                    let message = format!("{other:?} is unknown; the only parameter is force=1");
                    return Some(problem(StatusCode::BAD_REQUEST, "bad_request", &message));
                }
            };
            Some(self.post(request.into_body(), check).await)
        })
    }
}

/// One record per line that is not blank; all or nothing.
fn records(body: &[u8], check: Check) -> Result<Vec<Record>, BadLine> {
    let mut records = Vec::new();
    for (line, text) in (1..).zip(body.split(|b| *b == b'\n')) {
        let record = event_line::record(text, check).map_err(|reason| BadLine { line, reason })?;
        records.extend(record);
    }
    if records.is_empty() {
        return Err(BadLine {
            line: 1,
            reason: "the body has no events: POST one JSON object per line".to_owned(),
        });
    }
    Ok(records)
}

pub(super) fn respond(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    let media_type = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    response
}

pub(super) fn problem(status: StatusCode, error: &str, message: &str) -> Response<Full<Bytes>> {
    respond(status, &json!({ "error": error, "message": message }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{"metadata":{"event_type":"location","dsn":"AC1"},"location_event":{}}"#;

    #[test]
    fn every_nonblank_line_becomes_a_record() {
        let other = EVENT.replace("AC1", "AC2");
        let body = format!("\u{feff}{EVENT}\r\n\n  {other}\n");
        let records = records(body.as_bytes(), Check::AsGateways).unwrap();
        let keys: Vec<_> = records.iter().map(|r| r.key.as_str()).collect();
        assert_eq!(keys, ["AC1", "AC2"]);
    }

    #[test]
    fn one_bad_line_rejects_the_whole_request_and_is_named() {
        for (body, line, reason) in [
            (format!("{EVENT}\n{{\"a\":\n{EVENT}"), 2, "not JSON"),
            (format!("{EVENT}\n\n[]"), 3, "not a JSON object"),
            (
                format!("{EVENT}\n{}", EVENT.replace("location", "reboot")),
                2,
                "reboot",
            ),
            (String::new(), 1, "no events"),
            ("\n \n".to_owned(), 1, "no events"),
        ] {
            let bad = records(body.as_bytes(), Check::AsGateways).unwrap_err();
            assert!(
                bad.line == line && bad.reason.contains(reason),
                "{body:?}: {bad}"
            );
        }
    }

    #[test]
    fn without_the_check_every_line_becomes_a_record() {
        assert_eq!(records(b"{}\nhello\n", Check::Off).unwrap().len(), 2);
    }
}

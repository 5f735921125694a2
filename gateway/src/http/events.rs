//! `/events`: streams as bodies of responses, for clients that speak HTTP and no WebSockets.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use datastream_protocol::dialect::BodyDialect;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, CACHE_CONTROL, CONTENT_ENCODING,
    CONTENT_TYPE, HeaderName, HeaderValue, VARY,
};
use hyper::{Method, Request, Response, StatusCode, Version};
use serde::Serialize;

use super::carrier::ConnectionHandle;
use super::format::of_body;
use super::respond::{Answer, no_content, respond, whole};
use super::response_tasks::ResponseCut;
use super::stream::{StreamServer, refused, remote};
use crate::access::{Admission, Purpose, Refusal, StreamRequest};
use crate::transport::dialect::SSE_RETRY_MS;
use crate::transport::http::{BodyEncoder, BodyStream, Coding, Compressor, SocketStream};

/// The path.
pub(super) const EVENTS: &str = "/events";
/// The header by which a browser says which event it has had last (HTML Living Standard, section 9.2.4).
const LAST_EVENT_ID: &str = "last-event-id";

/// A refusal as a browser's `EventSource` gets it, which would give up on its status.
#[derive(Serialize)]
struct Refused<'a> {
    control: &'static str,
    status: u16,
    error: &'a str,
    message: &'a str,
}

impl StreamServer {
    /// Answers with a stream.
    pub(super) async fn events(&self, request: &Request<Incoming>) -> Answer {
        let remote = remote(request);
        let (mut wanted, admission) = match self.admit(request).await {
            Ok(admitted) => admitted,
            Err(refusal) => {
                let refusal = self.slowed(refusal, remote).await;
                return self.refuse_events(request, &refusal, None, remote);
            }
        };
        wanted.last_event_id = last_event_id(request);
        match self.stream_body(request, wanted, &admission, remote).await {
            Ok(answer) => for_everybody(answer),
            Err(refusal) => self.refuse_events(request, &refusal, Some(&admission), remote),
        }
    }

    async fn stream_body(
        &self,
        request: &Request<Incoming>,
        wanted: StreamRequest,
        admission: &Admission,
        remote: Option<SocketAddr>,
    ) -> Result<Answer, Refusal> {
        admission.check()?;
        let dialect = of_body(wanted.format.as_deref(), request.headers())?;
        if request.method() == Method::HEAD {
            // Nobody would read a stream.
            let _permit = self.throttle.acquire(&admission.route, Purpose::Report)?;
            let empty = whole(Response::new(Full::new(Bytes::new())));
            return Ok(with_headers(empty, dialect, None));
        }
        let is_resumed = wanted.last_event_id.is_some();
        // An `EventSource` shows its page no events that it has not asked for by name; lines are taken as they come.
        let tells_end = wanted.markers || dialect == BodyDialect::Sse;
        let handle = request.extensions().get::<Arc<ConnectionHandle>>();
        let handle = handle.cloned().ok_or(Refusal::Unavailable(
            "the connection cannot carry a stream: connect again",
        ))?;
        // Before it is opened, which may take seconds: the connection is there for that.
        let response = request.extensions().get::<ResponseCut>().cloned();
        let hold = (request.version() == Version::HTTP_2).then(|| handle.hold(response));
        let opening = self.open(wanted, admission, remote).await?;
        let range = opening.range();
        if is_resumed
            && range
                .end
                .as_ref()
                .is_some_and(|end| range.start.covers(end))
        {
            // A browser that has had everything comes again, until it is told that there is no more.
            return Ok(no_content());
        }
        // Browsers ask for compression of everything, and events of theirs are few.
        let coding = match dialect {
            BodyDialect::Ndjson => Coding::wanted(request.headers()),
            BodyDialect::Sse => None,
        };
        let compressor = coding.and_then(|coding| Compressor::new(coding, &self.compressions));
        let coding = coding.filter(|_| compressor.is_some());
        let encoder = BodyEncoder {
            dialect,
            tells_end,
            compressor,
        };
        if let Some(hold) = hold {
            let (stream, body) = BodyStream::new(encoder, hold);
            self.streams.spawn(opening.session(stream).run());
            let answer = Response::new(Either::Right(body));
            return Ok(with_headers(answer, dialect, coding));
        }
        let response = for_everybody(with_headers(Response::new(()), dialect, coding));
        let (version, streams) = (request.version(), self.streams.clone());
        let taker = move |socket, has_spoken, resumed| {
            let stream =
                SocketStream::new(socket, &response, version, encoder, has_spoken, resumed);
            streams.spawn(opening.session(stream).run());
        };
        if !handle.give_up_socket(Box::new(taker)) {
            return Err(Refusal::wrong(
                "the answer to the request before has not been read: ask on another connection",
            ));
        }
        // Nobody gets it: the stream answers.
        Ok(no_content())
    }

    /// Refuses a stream. What passes by itself is no error to an `EventSource`, which would never come again: it gets a stream that ends.
    pub(super) fn refuse_events(
        &self,
        request: &Request<Incoming>,
        refusal: &Refusal,
        admission: Option<&Admission>,
        remote: Option<SocketAddr>,
    ) -> Answer {
        self.note_refusal(refusal, admission, remote);
        let is_passing = matches!(refusal.status(), 409 | 503);
        for_everybody(if is_passing && wants_sse(request) {
            refused_stream(refusal)
        } else {
            refused(refusal)
        })
    }
}

/// Returns whether a request is one of an `EventSource`.
fn wants_sse(request: &Request<Incoming>) -> bool {
    let wanted = StreamRequest::parse(request.uri().query().unwrap_or_default());
    let format = wanted.ok().and_then(|wanted| wanted.format);
    of_body(format.as_deref(), request.headers()) == Ok(BodyDialect::Sse)
}

fn last_event_id(request: &Request<Incoming>) -> Option<String> {
    let value = request.headers().get(LAST_EVENT_ID)?;
    let text = String::from_utf8_lossy(value.as_bytes()).trim().to_owned();
    (!text.is_empty()).then_some(text)
}

fn refused_stream(refusal: &Refusal) -> Answer {
    let retry = refusal
        .retry_after()
        .map_or(SSE_RETRY_MS, |seconds| seconds.saturating_mul(1_000));
    let refused = Refused {
        control: "refused",
        status: refusal.status(),
        error: refusal.name(),
        message: &refusal.to_string(),
    };
    // A struct of texts and numbers can be written.
    let refused = serde_json::to_string(&refused).unwrap_or_default();
    let text = format!("retry: {retry}\nevent: control\ndata: {refused}\n\n");
    let answer = respond(StatusCode::OK, BodyDialect::Sse.media_type(), text);
    with_headers(answer, BodyDialect::Sse, None)
}

/// The headers of a stream: nobody on the way is to keep it, change it, or wait for its end.
fn with_headers<B>(
    mut answer: Response<B>,
    dialect: BodyDialect,
    coding: Option<Coding>,
) -> Response<B> {
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(dialect.media_type()));
    headers.insert(
        CACHE_CONTROL,
        HeaderValue::from_static("no-store, no-transform"),
    );
    headers.insert(
        HeaderName::from_static("x-content-type-options"),
        HeaderValue::from_static("nosniff"),
    );
    // For nginx, which collects answers before it passes them on.
    headers.insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    headers.insert(
        VARY,
        HeaderValue::from_static("accept, accept-encoding, authorization"),
    );
    if let Some(coding) = coding {
        headers.insert(CONTENT_ENCODING, coding.header());
    }
    answer
}

/// Lets pages from everywhere read the answer: who may have a stream is decided by the key that they show, and by nothing that a browser
/// adds of its own.
pub(super) fn for_everybody<B>(mut answer: Response<B>) -> Response<B> {
    let headers = answer.headers_mut();
    for (name, value) in [
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (ACCESS_CONTROL_EXPOSE_HEADERS, "retry-after"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// Says what pages from elsewhere may ask for, when a browser asks on their behalf.
pub(super) fn preflight(mut answer: Answer) -> Answer {
    let headers = answer.headers_mut();
    for (name, value) in [
        (ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD"),
        (ACCESS_CONTROL_ALLOW_HEADERS, "authorization, last-event-id"),
        (ACCESS_CONTROL_MAX_AGE, "86400"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}

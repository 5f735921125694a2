//! The listener for clients: `/stream` and the console.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use datastream_routing::{Resume, Route, RouteTable};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::upgrade::{OnUpgrade, Parts, Upgraded};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_util::task::TaskTracker;

use super::admission::Admission;
use super::connection::Handler;
use super::range::{Range, after, bounds, earliest, newest, resolve};
use super::respond::{Answer, json, method_not_allowed, not_found, problem};
use crate::config::ConfigStore;
use crate::cursor::{Acks, CursorKey, Cursors, CursorsUnavailable};
use crate::fleet::{KubeFleet, Probed, Taken};
use crate::metrics::Metrics;
use crate::pipeline::CatchUpContext;
use crate::position::Seq;
use crate::settings::LagLimit;
use crate::stream::{Claim, Refusal, Registry, Session, StreamRequest, websocket_config};

/// How long a stream may take to close whose client did not answer.
const CLOSING: Duration = Duration::from_secs(1);

/// Serves clients.
pub(crate) struct Front {
    pub config: Arc<ConfigStore>,
    pub registry: Arc<Registry>,
    pub context: Arc<CatchUpContext>,
    pub cursors: Arc<Cursors>,
    /// The other gateways, if there are any.
    pub fleet: Option<Arc<KubeFleet>>,
    pub metrics: Arc<Metrics>,
    pub draining: Arc<AtomicBool>,
    pub admission: Admission,
    /// How many streams may be open at once.
    pub max_streams: usize,
    pub max_lag: LagLimit,
    /// Where the streams run.
    pub streams: TaskTracker,
}

/// What a plain GET on `/stream` tells about a key.
#[derive(Serialize)]
struct KeyReport<'a> {
    namespace: &'a str,
    name: &'a str,
    event_types: datastream_routing::EventTypes,
    /// Whether a stream is open on this gateway.
    connected: bool,
    replay: ReplayRange,
}

/// The sequence numbers that a replay may start with.
#[derive(Serialize)]
struct ReplayRange {
    /// The earliest.
    first: String,
    /// The next one to come: a replay from here gets no stored event.
    next: String,
}

impl Handler for Front {
    async fn handle(self: Arc<Self>, mut request: Request<Incoming>) -> Answer {
        if request.method() != Method::GET {
            return method_not_allowed();
        }
        match request.uri().path() {
            "/stream" => match self.stream(&mut request).await {
                Ok(answer) => answer,
                Err(refusal) => self.refuse(&refusal),
            },
            path => super::console::file(path)
                .unwrap_or_else(|| not_found(path, "/stream for streams and / for the console")),
        }
    }
}

impl Front {
    async fn stream(&self, request: &mut Request<Incoming>) -> Result<Answer, Refusal> {
        let wanted = StreamRequest::parse(request.uri().query().unwrap_or_default());
        let table = self.config.table();
        let route = self.admit(&wanted, &table)?.clone();
        self.admission.admit()?;
        let mut range = resolve(&self.context, &wanted).await?;
        if !asks_for_upgrade(request.headers()) {
            return self.report(&route).await;
        }
        let accept = websocket_accept(request.headers())?;
        let claim = self.claim(&route, wanted.markers).await?;
        claim.check(&self.config.table());
        // After the claim: no other stream of the subscription moves its cursor any more.
        let acks = match route.resume {
            Resume::Latest => None,
            Resume::Committed => Some(self.go_on(&route, &mut range).await?),
        };
        // Another gateway asked for it while it was being opened, had no answer in time, and has it now.
        if claim.mailbox().aborted().is_some() {
            return Err(Refusal::InUse { pod: None });
        }
        tracing::info!(stream = %claim.id(), from = %Seq::starting_at(&range.start), "stream opened");
        self.spawn(
            hyper::upgrade::on(request),
            claim,
            range,
            wanted.markers,
            acks,
        );
        Ok(switching_protocols(accept))
    }

    /// Whether this key may have a stream at all.
    fn admit<'a>(
        &self,
        wanted: &StreamRequest,
        table: &'a RouteTable,
    ) -> Result<&'a Arc<Route>, Refusal> {
        if self.draining.load(Ordering::Relaxed) {
            return Err(Refusal::Unavailable(
                "this gateway is shutting down: connect again",
            ));
        }
        let state = self.config.state();
        if !state.synced {
            return Err(Refusal::Unavailable(
                "this gateway does not know its routes yet: try again shortly",
            ));
        }
        if self.config.is_stale() {
            return Err(Refusal::Unavailable(
                "this gateway cannot follow its routes, and does not open streams by old ones: try again shortly",
            ));
        }
        let key = wanted.key.ok_or(Refusal::Unauthorized)?;
        let route = table.by_key(&key).ok_or(if state.incomplete {
            // It may be a good one: a client that is told 401 would give up.
            Refusal::Unavailable("this gateway cannot read some of its routes: try again shortly")
        } else {
            Refusal::Unauthorized
        })?;
        if route.suspended {
            Err(Refusal::Suspended)
        } else {
            Ok(route)
        }
    }

    /// Claims the stream: here, and then among all gateways. A client that has it and is gone without a word loses it.
    async fn claim(&self, route: &Arc<Route>, markers: bool) -> Result<Claim, Refusal> {
        let claim = || {
            let pipeline = &self.context.pipeline;
            self.registry
                .claim(route, pipeline, markers, self.max_streams)
        };
        let mut claimed = claim();
        if matches!(claimed, Err(Refusal::InUse { .. }))
            && self.registry.probe(&route.id).await != Probed::Answers
        {
            // It closes at once, but in a task of its own.
            let since = Instant::now();
            claimed = claim();
            while matches!(claimed, Err(Refusal::InUse { .. })) && since.elapsed() < CLOSING {
                sleep(CLOSING / 100).await;
                claimed = claim();
            }
        }
        let mut claim = claimed?;
        if let Some(fleet) = &self.fleet {
            let held = fleet.claim(&route.id, &route.uid).await;
            claim.keep(held.map_err(taken)?);
        }
        Ok(claim)
    }

    /// Lets a stream that does not say where it starts go on from its committed position; one that has none gets it here,
    /// so that a crash before its first acknowledgement loses nothing.
    async fn go_on(&self, route: &Route, range: &mut Range) -> Result<Acks, Refusal> {
        let key = CursorKey::of(route);
        let unavailable = |_: CursorsUnavailable| {
            Refusal::Unavailable(
                "the committed position cannot be read: try again shortly, or connect with seq_start",
            )
        };
        let committed = self.cursors.resume(&key).await.map_err(unavailable)?;
        match committed {
            None => self
                .cursors
                .start(&key, &range.start)
                .await
                .map_err(unavailable)?,
            Some(_) if range.chosen => (),
            Some(committed) => {
                *range = after(&self.context, committed).await?;
                self.metrics.committed_gaps.inc_by(u64::from(range.gap));
            }
        }
        Ok(Acks::new(self.cursors.clone(), key))
    }

    async fn report(&self, route: &Route) -> Result<Answer, Refusal> {
        let bounds = bounds(&self.context).await?;
        let head = self.context.ring.head();
        let first = earliest(&bounds);
        let next = newest(&bounds, &head);
        let report = KeyReport {
            namespace: &route.id.namespace,
            name: &route.id.name,
            event_types: route.event_types,
            connected: self.registry.has(&route.id),
            replay: ReplayRange {
                first: Seq::starting_at(&first).to_string(),
                next: Seq::starting_at(&next).to_string(),
            },
        };
        Ok(json(StatusCode::OK, &report))
    }

    fn spawn(
        &self,
        upgrade: OnUpgrade,
        claim: Claim,
        range: Range,
        markers: bool,
        acks: Option<Acks>,
    ) {
        let (context, metrics) = (self.context.clone(), self.metrics.clone());
        let max_lag = self.max_lag;
        self.streams.spawn(async move {
            let socket = match upgrade.await.map(take_socket) {
                Ok(Some(Parts { io, read_buf, .. })) => {
                    let config = Some(websocket_config());
                    WebSocketStream::from_partially_read(
                        io.into_inner(),
                        read_buf.to_vec(),
                        Role::Server,
                        config,
                    )
                    .await
                }
                Ok(None) => return tracing::error!("the upgraded connection is no TCP socket"),
                Err(error) => return tracing::debug!(%error, "client left during the handshake"),
            };
            Session {
                socket,
                claim,
                context,
                metrics,
                position: range.start,
                end: range.end,
                gap_marker: range.gap && markers,
                replays: range.chosen,
                max_lag,
                acks,
            }
            .run()
            .await;
        });
    }

    fn refuse(&self, refusal: &Refusal) -> Answer {
        let status =
            StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        self.metrics
            .refused
            .with_label_values(&[status.as_str()])
            .inc();
        let mut answer = problem(status, refusal.name(), &refusal.to_string());
        if let Some(seconds) = refusal.retry_after() {
            answer
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        answer
    }
}

fn taken(taken: Taken) -> Refusal {
    match taken {
        Taken::Elsewhere { pod } => Refusal::InUse { pod: Some(pod) },
        Taken::Unreachable { pod, seconds } => Refusal::HolderUnreachable { pod, seconds },
        Taken::Contended => Refusal::busy("several clients want this stream at once"),
        Taken::Unknown => Refusal::Unavailable(
            "this gateway can neither claim the stream nor ask the others, which it does not know yet: try again shortly",
        ),
    }
}

/// The bare socket: hyper's own buffers go, which an idle stream has no use for.
fn take_socket(upgraded: Upgraded) -> Option<Parts<TokioIo<TcpStream>>> {
    upgraded.downcast().ok()
}

fn asks_for_upgrade(headers: &HeaderMap) -> bool {
    has_token(headers, &UPGRADE, "websocket")
}

/// Checks the opening handshake (RFC 6455, section 4.2.1) and gives the `Sec-WebSocket-Accept` for it.
fn websocket_accept(headers: &HeaderMap) -> Result<String, Refusal> {
    if !has_token(headers, &CONNECTION, "upgrade") {
        return Err(Refusal::BadHandshake(
            "Connection: Upgrade is missing (a proxy may have removed it)",
        ));
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|v| v != "13") {
        return Err(Refusal::BadHandshake("Sec-WebSocket-Version must be 13"));
    }
    let key = headers
        .get(SEC_WEBSOCKET_KEY)
        .ok_or(Refusal::BadHandshake("Sec-WebSocket-Key is missing"))?;
    Ok(derive_accept_key(key.as_bytes()))
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers
        .get_all(name)
        .into_iter()
        .filter_map(|v| v.to_str().ok());
    values
        .flat_map(|v| v.split(','))
        .any(|t| t.trim().eq_ignore_ascii_case(token))
}

fn switching_protocols(accept: String) -> Answer {
    let mut response = Response::new(Full::new(Bytes::new()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Ok(accept) = HeaderValue::try_from(accept) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    response
}

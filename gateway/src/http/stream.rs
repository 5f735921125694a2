//! The listener for clients: `/stream` and the console.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use datastream_protocol::close::CloseCause;
use datastream_protocol::position::Seq;
use datastream_routing::{Resume, Route};
use datastream_service::tls::PeerCertificate;
use hyper::body::Incoming;
use hyper::header::{HOST, HeaderValue, RETRY_AFTER, SEC_WEBSOCKET_VERSION, WWW_AUTHENTICATE};
use hyper::upgrade::{OnUpgrade, Parts, Upgraded};
use hyper::{Request, StatusCode, Version};
use serde::Serialize;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};
use tokio_util::task::TaskTracker;

use super::connection::{Handler, HttpSocket, RemoteAddress};
use super::range::{Range, after, bounds, earliest, newest, resolve};
use super::respond::{Answer, READ_ONLY, json, method_not_allowed, not_found, problem, reads};
use super::socket::tcp;
use crate::access::{
    Access, Admission, Credential, Purpose, QueryKeys, Refusal, Shown, StreamRequest, Throttle,
};
use crate::audit::{Audit, AuditedStream};
use crate::config::ConfigStore;
use crate::cursor::{Acks, CursorKey, Cursors, CursorsUnavailable};
use crate::fanout::{CatchUpContext, SendQueue};
use crate::limits::{FailedKeys, Paces, Rates, Slowed};
use crate::metrics::Metrics;
use crate::ownership::{ClaimError, KubeClaims};
use crate::session::{Probed, Registration, Registry, Session, StreamLimits};
use crate::settings::LagLimit;
use crate::transport::websocket::{Handshake, VERSION, WebSocket, asks_for_upgrade};

/// Bytes that the kernel may hold for a stream, those included that were sent and are not acknowledged.
const SEND_BUFFER: usize = 256 << 10;
/// Bytes that the kernel may hold for a stream and has not sent.
const UNSENT: u32 = 16 << 10;
/// Time for which sent bytes may stay unacknowledged before the connection is given up.
const UNACKNOWLEDGED: Duration = Duration::from_mins(2);
/// Time that closing a stream may take if its client did not answer.
const CLOSING: Duration = Duration::from_secs(1);

/// Serves clients.
pub(crate) struct StreamServer {
    pub access: Arc<Access>,
    pub audit: Arc<Audit>,
    pub query_keys: QueryKeys,
    pub config: Arc<ConfigStore>,
    pub registry: Arc<Registry>,
    pub context: Arc<CatchUpContext>,
    pub cursors: Arc<Cursors>,
    /// The other gateways, if there are any.
    pub claims: Option<Arc<KubeClaims>>,
    pub metrics: Arc<Metrics>,
    pub throttle: Arc<Throttle>,
    pub failed_keys: FailedKeys,
    pub rates: Rates,
    /// Limits on open streams.
    pub stream_limits: StreamLimits,
    pub max_lag: LagLimit,
    /// Tasks of the streams.
    pub streams: TaskTracker,
}

/// Report about a key: the answer to a plain GET on `/stream`.
#[derive(Serialize)]
struct KeyReport<'a> {
    namespace: &'a str,
    name: &'a str,
    event_types: datastream_protocol::event::EventTypes,
    /// A stream is open on this gateway.
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

/// Start of a stream.
struct Start {
    range: Range,
    /// The client is first to be sent a marker that events before the start have expired.
    gap_marker: bool,
    /// For a subscription with committed resume.
    acks: Option<Acks>,
    /// The cause for which it is opened only to say why it cannot go on.
    refused: Option<CloseCause>,
}

impl Handler for StreamServer {
    async fn handle(self: Arc<Self>, mut request: Request<Incoming>) -> Answer {
        let remote = remote(&request);
        let admitted = self.throttle.admit(remote.map(|remote| remote.ip()));
        if admitted.is_ok() && !reads(request.method()) {
            return method_not_allowed(request.method(), READ_ONLY);
        }
        if let Err(refusal) = admitted.and_then(|()| check_host(&request)) {
            return self.refuse(&refusal, None, remote);
        }
        match request.uri().path() {
            "/stream" => self.stream(&mut request).await,
            path => super::console::file(path)
                .unwrap_or_else(|| not_found(path, "/stream for streams and / for the console")),
        }
    }
}

impl StreamServer {
    async fn stream(&self, request: &mut Request<Incoming>) -> Answer {
        let remote = remote(request);
        let (wanted, admission) = match self.admit(request).await {
            Ok(admitted) => admitted,
            Err(refusal) => {
                let refusal = self.slowed(refusal, remote).await;
                return self.refuse(&refusal, None, remote);
            }
        };
        match self.answer(request, wanted, &admission, remote).await {
            Ok(answer) => answer,
            Err(refusal) => self.refuse(&refusal, Some(&admission), remote),
        }
    }

    /// Holds back the answer to a request without a good key, if there are too many from its address, and gives another one if too many
    /// are held back already.
    async fn slowed(&self, refusal: Refusal, remote: Option<SocketAddr>) -> Refusal {
        let (401, Some(remote)) = (refusal.status(), remote) else {
            return refusal;
        };
        match self.failed_keys.note(remote.ip()).await {
            Slowed::No => refusal,
            Slowed::HeldBack => {
                self.metrics.limited("failed_keys/address");
                refusal
            }
            Slowed::TooMany => {
                let reason = "too many requests without a good key";
                Refusal::busy("failed_keys/gateway", reason)
            }
        }
    }

    /// Finds out what a request wants, and whether it may have it.
    async fn admit(
        &self,
        request: &Request<Incoming>,
    ) -> Result<(StreamRequest, Admission), Refusal> {
        let mut wanted = StreamRequest::parse(request.uri().query().unwrap_or_default())?;
        let in_query = wanted.key.take();
        let shown = Shown {
            credential: Credential::of(in_query, request.headers(), self.query_keys)?,
            certificate: request.extensions().get::<Arc<PeerCertificate>>().cloned(),
            subscription: wanted.subscription.take(),
        };
        if matches!(shown.credential, Some(Credential::Token(_))) {
            let address = remote(request).map(|remote| remote.ip());
            self.throttle.admit_signature(address)?;
        }
        let admission = self.access.authorize(shown).await?;
        Ok((wanted, admission))
    }

    async fn answer(
        &self,
        request: &mut Request<Incoming>,
        wanted: StreamRequest,
        admission: &Admission,
        remote: Option<SocketAddr>,
    ) -> Result<Answer, Refusal> {
        admission.check()?;
        let route = &admission.route;
        if !asks_for_upgrade(request.headers()) {
            let _permit = self.throttle.acquire(route, Purpose::Report)?;
            resolve(&self.context, &wanted).await?;
            return self.report(route).await;
        }
        let handshake = Handshake::of(request)?;
        let _permit = self.throttle.acquire(route, Purpose::Stream)?;
        let mut range = resolve(&self.context, &wanted).await?;
        let registration = self.claim(admission, wanted.markers, remote).await?;
        registration.check(&self.config.table());
        // After the claim: no other stream of the subscription moves its cursor any more.
        let acks = match route.resume {
            Resume::Latest => None,
            Resume::Committed => Some(self.resume(route, &mut range).await?),
        };
        // Another gateway asked for it while it was being opened, had no answer in time, and has it now.
        if registration.queue().aborted().is_some() {
            return Err(Refusal::InUse { pod: None });
        }
        let seq_start = Seq::starting_at(&range.start);
        if let Some(held_back) = registration.log_admits() {
            let by = &admission.principal;
            tracing::info!(stream = %registration.id(), %by, from = %seq_start, held_back, "stream opened");
        }
        let principal = &admission.principal;
        let audited = self
            .audit
            .opened(&route.id, principal, remote, seq_start.as_str());
        // A client that gets no marker for the gap, and has not asked for whatever is left, gets a close frame.
        let knows_of_gap = wanted.markers || range.chosen || wanted.on_gap.is_some();
        let refused = (range.gap && !knows_of_gap).then(|| CloseCause::CommittedGap {
            seq_start: seq_start.as_str().into(),
        });
        let start = Start {
            gap_marker: range.gap && wanted.markers,
            range,
            acks,
            refused,
        };
        let address = remote.map(|remote| remote.ip());
        let paces = self.rates.of(&route.id, address);
        let upgrade = hyper::upgrade::on(request);
        self.spawn(upgrade, registration, audited, (start, paces));
        Ok(handshake.answer())
    }

    /// Registers the stream here, and claims it among all gateways. A client that has it and is gone without a word loses it.
    async fn claim(
        &self,
        admission: &Admission,
        markers: bool,
        remote: Option<SocketAddr>,
    ) -> Result<Registration, Refusal> {
        let route = &admission.route;
        let register = || {
            let dispatcher = &self.context.dispatcher;
            let memory = self.context.memory.clone();
            let queue = || SendQueue::new(admission.clone(), markers, memory);
            let address = remote.map(|remote| remote.ip());
            self.registry
                .register(admission, dispatcher, queue, self.stream_limits, address)
        };
        let mut registered = register();
        if matches!(registered, Err(Refusal::InUse { .. }))
            && self.registry.probe(&route.id).await != Probed::Answers
        {
            // It closes at once, but in a task of its own.
            let since = Instant::now();
            registered = register();
            while matches!(registered, Err(Refusal::InUse { .. })) && since.elapsed() < CLOSING {
                sleep(CLOSING / 100).await;
                registered = register();
            }
        }
        let mut registration = registered?;
        if let Some(claims) = &self.claims {
            let held = claims.claim(&route.id, &route.uid).await;
            registration.keep(held.map_err(taken)?);
        }
        Ok(registration)
    }

    /// Lets a stream that does not say where it starts go on from its committed position; one that has none gets it here,
    /// so that a crash before its first acknowledgement loses nothing.
    async fn resume(&self, route: &Route, range: &mut Range) -> Result<Acks, Refusal> {
        let key = CursorKey::of(route);
        let unavailable = |_: CursorsUnavailable| {
            Refusal::Unavailable(
                "the committed position cannot be read: try again shortly, or connect with seq_start",
            )
        };
        let committed = self.cursors.resume(&key).await.map_err(unavailable)?;
        let acks = Acks::new(self.cursors.clone(), key.clone());
        match committed {
            None => {
                let started = self.cursors.start(&key, &range.start).await;
                started.map_err(unavailable)?;
            }
            Some(_) if range.chosen => (),
            Some(committed) => {
                *range = after(&self.context, committed).await?;
                if range.gap {
                    self.metrics.committed_gaps.inc();
                    // The position moves only when the client has confirmed the gap: a handshake may be lost.
                    return Ok(acks.behind_gap());
                }
            }
        }
        Ok(acks)
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
        registration: Registration,
        audited: Option<Box<AuditedStream>>,
        (start, paces): (Start, Option<Arc<Paces>>),
    ) {
        let (context, metrics) = (self.context.clone(), self.metrics.clone());
        let access = self.access.clone();
        let max_lag = self.max_lag;
        self.streams.spawn(async move {
            let transport = match upgrade.await.map(take_socket) {
                Ok(Some(Parts { io, read_buf, .. })) => {
                    let socket = io.into_inner().into_inner();
                    if let Err(error) = set_buffers(tcp(&socket)) {
                        tracing::debug!(%error, "the socket keeps the buffers that it has");
                    }
                    WebSocket::new(socket, read_buf.to_vec()).await
                }
                Ok(None) => return tracing::error!("the upgraded connection is no TCP socket"),
                Err(error) => return tracing::debug!(%error, "client left during the handshake"),
            };
            Session {
                transport,
                registration,
                audited,
                access,
                context,
                metrics,
                position: start.range.start,
                end: start.range.end,
                gap_marker: start.gap_marker,
                replays: start.range.chosen,
                max_lag,
                paces,
                acks: start.acks,
                refused: start.refused,
            }
            .run()
            .await;
        });
    }

    fn refuse(
        &self,
        refusal: &Refusal,
        admission: Option<&Admission>,
        remote: Option<SocketAddr>,
    ) -> Answer {
        let admitted = admission.map(|admission| (&admission.route.id, &*admission.principal));
        self.audit.refused(admitted, remote, refusal);
        let status =
            StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if let Refusal::Busy { limit, .. } = refusal {
            self.metrics.limited(limit);
        }
        self.metrics
            .refused
            .with_label_values(&[status.as_str()])
            .inc();
        let mut answer = problem(status, refusal.name(), &refusal.to_string());
        let headers = answer.headers_mut();
        if let Some(seconds) = refusal.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        // RFC 9110, section 11.6.1, and RFC 6750, section 3: what would be taken.
        let challenge = match refusal {
            Refusal::Unauthorized => Some("Bearer realm=\"datastream\""),
            Refusal::TokenRefused(_) => {
                Some("Bearer realm=\"datastream\", error=\"invalid_token\"")
            }
            _ => None,
        };
        if let Some(challenge) = challenge {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if matches!(refusal, Refusal::BadHandshake(_)) {
            // RFC 6455, section 4.4: what the client may try instead.
            headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
        }
        answer
    }
}

/// The address that a request comes from.
fn remote<B>(request: &Request<B>) -> Option<SocketAddr> {
    let remote = request.extensions().get::<RemoteAddress>();
    remote.map(|remote| remote.0)
}

/// Checks that a request names one host.
fn check_host<B>(request: &Request<B>) -> Result<(), Refusal> {
    let hosts = request.headers().get_all(HOST).iter().count();
    match (hosts, request.version()) {
        (1, _) | (0, Version::HTTP_10) => Ok(()),
        (0, _) => Err(Refusal::BadRequest("the Host header is missing")),
        _ => Err(Refusal::BadRequest(
            "the Host header is there more than once",
        )),
    }
}

fn taken(taken: ClaimError) -> Refusal {
    match taken {
        ClaimError::Elsewhere { pod } => Refusal::InUse { pod: Some(pod) },
        ClaimError::Unreachable { pod, seconds } => Refusal::HolderUnreachable { pod, seconds },
        ClaimError::Contended => Refusal::busy(
            "streams/subscription",
            "several clients want this stream at once",
        ),
        ClaimError::Unknown => Refusal::Unavailable(
            "this gateway can neither claim the stream nor ask the others, which it does not know yet: try again shortly",
        ),
    }
}

/// The bare socket: hyper's own buffers go, which an idle stream has no use for.
fn take_socket(upgraded: Upgraded) -> Option<Parts<HttpSocket>> {
    upgraded.downcast().ok()
}

/// Bounds what the kernel holds of a stream: little that it has not sent, but as much of what it has sent as the network has
/// room for. So a client that does not read costs little, and one that is far away is not slowed down.
fn set_buffers(tcp: &TcpStream) -> std::io::Result<()> {
    let socket = SockRef::from(tcp);
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.set_tcp_notsent_lowat(UNSENT)?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))
}

//! The listener for clients: `/stream`, `/events` and the console.

use std::net::SocketAddr;
use std::sync::Arc;

use datastream_protocol::position::Seq;
use datastream_routing::Route;
use datastream_service::tls::PeerCertificate;
use hyper::body::Incoming;
use hyper::header::{HOST, HeaderValue, RETRY_AFTER, SEC_WEBSOCKET_VERSION, WWW_AUTHENTICATE};
use hyper::upgrade::{OnUpgrade, Parts, Upgraded};
use hyper::{Request, StatusCode, Version};
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::connection::{Handler, HttpSocket, RemoteAddress};
use super::events::{EVENTS, for_everybody, preflight};
use super::format::of_messages;
use super::opening::Opening;
use super::range::{bounds, earliest, newest, resolve};
use super::respond::{
    Answer, READ_ONLY, json, method_not_allowed, not_found, problem, reads, whole,
};
use crate::access::{
    Access, Admission, Credential, Purpose, QueryKeys, Refusal, Shown, StreamRequest, Throttle,
};
use crate::audit::Audit;
use crate::config::ConfigStore;
use crate::cursor::Cursors;
use crate::event::CloudHeads;
use crate::fanout::CatchUpContext;
use crate::limits::{FailedKeys, Rates, Slowed};
use crate::metrics::Metrics;
use crate::ownership::KubeClaims;
use crate::session::{Registry, StreamLimits};
use crate::settings::LagLimit;
use crate::transport::dialect::MessageEncoder;
use crate::transport::websocket::{Handshake, VERSION, WebSocket, asks_for_upgrade};

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
    /// The envelopes of CloudEvents.
    pub heads: Arc<CloudHeads>,
    /// Bodies that may be compressed at once.
    pub compressions: Arc<Semaphore>,
}

/// The paths that there are, for whoever asks for another one.
const PATHS: &str = "/stream for WebSockets, /events for events over HTTP, / for the console, and /openapi.json, /asyncapi.json and \
    /schemas/ for their contracts";

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

impl Handler for StreamServer {
    async fn handle(self: Arc<Self>, mut request: Request<Incoming>) -> Answer {
        let remote = remote(&request);
        let is_events = request.uri().path() == EVENTS;
        let admitted = self.throttle.admit(remote.map(|remote| remote.ip()));
        if admitted.is_ok() && !reads(request.method()) {
            let answer = method_not_allowed(request.method(), READ_ONLY);
            return if is_events {
                for_everybody(preflight(answer))
            } else {
                answer
            };
        }
        if let Err(refusal) = admitted.and_then(|()| check_host(&request)) {
            return if is_events {
                self.refuse_events(&request, &refusal, None, remote)
            } else {
                self.refuse(&refusal, None, remote)
            };
        }
        match request.uri().path() {
            "/stream" => self.stream(&mut request).await,
            EVENTS => self.events(&request).await,
            path => super::console::file(path)
                .or_else(|| super::contracts::document(path))
                .unwrap_or_else(|| not_found(path, PATHS)),
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
    pub(super) async fn slowed(&self, refusal: Refusal, remote: Option<SocketAddr>) -> Refusal {
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
    pub(super) async fn admit(
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
        let dialect = of_messages(wanted.format.as_deref(), request.headers())?;
        let handshake = Handshake::of(request)?;
        let opening = self.open(wanted, admission, remote).await?;
        let encoder = MessageEncoder {
            dialect,
            heads: self.heads.clone(),
        };
        self.upgrade(hyper::upgrade::on(request), opening, encoder);
        Ok(whole(handshake.answer()))
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

    /// Serves a stream on a connection once it is a WebSocket.
    fn upgrade(&self, upgrade: OnUpgrade, opening: Opening, encoder: MessageEncoder) {
        let streams = self.streams.clone();
        self.streams.spawn(async move {
            let transport = match upgrade.await.map(take_socket) {
                Ok(Some(Parts { io, read_buf, .. })) => {
                    let socket = io.into_inner().into_inner();
                    WebSocket::new(socket, read_buf.to_vec(), encoder).await
                }
                Ok(None) => return tracing::error!("the upgraded connection is no TCP socket"),
                Err(error) => return tracing::debug!(%error, "client left during the handshake"),
            };
            // In a task of its own, which has not the size of this one.
            streams.spawn(opening.session(transport).run());
        });
    }

    fn refuse(
        &self,
        refusal: &Refusal,
        admission: Option<&Admission>,
        remote: Option<SocketAddr>,
    ) -> Answer {
        self.note_refusal(refusal, admission, remote);
        refused(refusal)
    }

    /// Notes a refusal in the audit log and the metrics.
    pub(super) fn note_refusal(
        &self,
        refusal: &Refusal,
        admission: Option<&Admission>,
        remote: Option<SocketAddr>,
    ) {
        let admitted = admission.map(|admission| (&admission.route.id, &*admission.principal));
        self.audit.refused(admitted, remote, refusal);
        if let Refusal::Busy { limit, .. } = refusal {
            self.metrics.limited(limit);
        }
        self.metrics
            .refused
            .with_label_values(&[&refusal.status().to_string()])
            .inc();
    }
}

/// The answer that a refusal is.
pub(super) fn refused(refusal: &Refusal) -> Answer {
    let status =
        StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = problem(status, refusal.name(), &refusal.to_string());
    let headers = answer.headers_mut();
    if let Some(seconds) = refusal.retry_after() {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    // RFC 9110, section 11.6.1, and RFC 6750, section 3: what would be taken.
    let challenge = match refusal {
        Refusal::NoCredential | Refusal::Unauthorized => Some("Bearer realm=\"datastream\""),
        Refusal::TokenRefused(_) => Some("Bearer realm=\"datastream\", error=\"invalid_token\""),
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

/// The address that a request comes from.
pub(super) fn remote<B>(request: &Request<B>) -> Option<SocketAddr> {
    let remote = request.extensions().get::<RemoteAddress>();
    remote.map(|remote| remote.0)
}

/// Checks that a request names one host.
fn check_host<B>(request: &Request<B>) -> Result<(), Refusal> {
    let hosts = request.headers().get_all(HOST).iter().count();
    match (hosts, request.version()) {
        // It has its own place for that (RFC 9113, section 8.3.1).
        (0, Version::HTTP_2) if request.uri().authority().is_some() => Ok(()),
        (1, _) | (0, Version::HTTP_10) => Ok(()),
        (0, _) => Err(Refusal::wrong("the Host header is missing")),
        _ => Err(Refusal::wrong("the Host header is there more than once")),
    }
}

/// The bare socket: hyper's own buffers go, which an idle stream has no use for.
fn take_socket(upgraded: Upgraded) -> Option<Parts<HttpSocket>> {
    upgraded.downcast().ok()
}

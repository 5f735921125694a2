//! The listener for operators: `/livez`, `/readyz`, `/metrics`, `/routing`; and for other gateways: `/streams/probe`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use datastream_protocol::event::EventTypes;
use datastream_routing::Filter;
use datastream_routing::names::decode_subscription;
use datastream_service::probes::bearer;
use datastream_service::tls::{PeerCertificate, ServerTls};
use datastream_service_kube::review::Reviewer;
use datastream_source::{CertificateEnds, EventSource};
use futures_util::future::BoxFuture;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{HeaderValue, WWW_AUTHENTICATE};
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;
use tokio::sync::watch;

use crate::access::{KeySet, KeySetReport};
use crate::config::ConfigStore;
use crate::cursor::Cursors;
use crate::fanout::SendMemory;
use crate::http::{
    Answer, Handler, READ_ONLY, RemoteAddress, json, method_not_allowed, not_found, problem, reads,
    respond, whole,
};
use crate::ingest::{PartitionStatus, SourceStatus};
use crate::metrics::Metrics;
use crate::ownership::{KubeClaims, PROBE_PATH, ProbeReport, Taker};
use crate::session::Registry;

/// More that the admin listener answers: `datastream dev` takes events there.
pub trait AdminExtension: Send + Sync + 'static {
    /// Answers a request that the gateway itself has no answer for; `None` passes it on (to a 404).
    fn handle(&self, request: Request<Incoming>) -> BoxFuture<'_, Option<Response<Full<Bytes>>>>;

    /// The paths that it answers, for whoever asks for another one.
    fn paths(&self) -> &'static str;
}

/// Serves operators.
pub(crate) struct Admin {
    pub config: Arc<ConfigStore>,
    pub config_source: String,
    pub source: Arc<dyn EventSource>,
    pub status: Arc<SourceStatus>,
    pub cursors: Arc<Cursors>,
    pub registry: Arc<Registry>,
    /// The other gateways, if there are any.
    pub claims: Option<Arc<KubeClaims>>,
    pub metrics: Arc<Metrics>,
    pub memory: Arc<SendMemory>,
    pub draining: Arc<AtomicBool>,
    pub ready: watch::Receiver<bool>,
    pub tls: Option<Arc<ServerTls>>,
    pub token_keys: Option<Arc<KeySet>>,
    /// Decides who may read metrics and routes; without it, whoever reaches the listener may.
    pub reviewer: Option<Reviewer>,
    pub extension: Option<Arc<dyn AdminExtension>>,
}

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    draining: bool,
    streams: usize,
    config: ConfigReport,
    source: SourceReport,
    cursors: CursorsReport,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<KeySetReport>,
}

#[derive(Serialize)]
struct ConfigReport {
    source: String,
    synced: bool,
    buckets: usize,
    routes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    refused: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_rules_error: Option<String>,
}

#[derive(Serialize)]
struct CursorsReport {
    /// Subscriptions with a committed position.
    known: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize)]
struct SourceReport {
    source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    partitions: Vec<PartitionReport>,
}

#[derive(Serialize)]
struct PartitionReport {
    connected: bool,
    next_offset: u64,
    lag: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
}

/// Route as `/routing` reports it, without the hash of its key.
#[derive(Serialize)]
struct RouteReport<'a> {
    namespace: &'a str,
    name: &'a str,
    generation: i64,
    suspended: bool,
    /// Reason why access rules deny what it asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    denied: Option<&'a str>,
    connected: bool,
    event_types: EventTypes,
    filters: &'a [Filter],
}

#[derive(Serialize)]
struct Routing<'a> {
    buckets: BTreeMap<String, String>,
    refused: &'a BTreeMap<String, String>,
    /// Hash of the access rules in force.
    access_rules: Option<String>,
    routes: Vec<RouteReport<'a>>,
}

impl Handler for Admin {
    async fn handle(self: Arc<Self>, request: Request<Incoming>) -> Answer {
        let get = reads(request.method());
        match request.uri().path() {
            "/livez" if get => respond(StatusCode::OK, "text/plain; charset=utf-8", "ok\n"),
            "/readyz" if get => self.readyz(),
            path @ ("/metrics" | "/routing") if get => match self.refuse(&request, path).await {
                Some(refusal) => refusal,
                None if path == "/metrics" => self.metrics(),
                None => self.routing(),
            },
            PROBE_PATH if request.method() == Method::POST => self.probe(&request).await,
            "/livez" | "/readyz" | "/metrics" | "/routing" => {
                method_not_allowed(request.method(), READ_ONLY)
            }
            PROBE_PATH => method_not_allowed(request.method(), "POST, OPTIONS"),
            path => {
                let path = path.to_owned();
                let extended = match &self.extension {
                    Some(extension) => extension.handle(request).await,
                    None => None,
                };
                let unknown = || {
                    let own = "/livez, /readyz, /metrics and /routing";
                    match &self.extension {
                        Some(extension) => {
                            not_found(&path, &format!("{}, {own}", extension.paths()))
                        }
                        None => not_found(&path, own),
                    }
                };
                extended.map_or_else(unknown, whole)
            }
        }
    }
}

impl Admin {
    /// The refusal of a request for what not everybody may read, if it is refused.
    async fn refuse(&self, request: &Request<Incoming>, path: &str) -> Option<Answer> {
        let reviewer = self.reviewer.as_ref()?;
        let (status, message) = reviewer.may_get(bearer(request), path).await.refusal()?;
        let name = match status {
            StatusCode::UNAUTHORIZED => "unauthorized",
            StatusCode::FORBIDDEN => "forbidden",
            _ => "unavailable",
        };
        let mut answer = problem(status, name, &message);
        if status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer");
            answer.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        Some(answer)
    }

    fn readyz(&self) -> Answer {
        let state = self.config.state();
        let draining = self.draining.load(Ordering::Relaxed);
        // An outage of the broker or of the source of routes does not make a gateway unready: it serves what it has,
        // and every other gateway has the same outage.
        let ready = *self.ready.borrow();
        let partition = |p: PartitionStatus| PartitionReport {
            connected: p.connected,
            next_offset: p.next,
            lag: p.lag(),
            last_error: p.last_error,
        };
        let readiness = Readiness {
            ready,
            draining,
            streams: self.registry.len(),
            config: ConfigReport {
                source: self.config_source.clone(),
                synced: state.synced,
                buckets: state.held.len(),
                routes: self.config.table().len(),
                error: state.source_error.clone(),
                refused: state.refused.clone(),
                access_rules_error: state.access.error.clone(),
            },
            source: SourceReport {
                source: self.source.describe(),
                error: self.status.error(),
                partitions: self
                    .status
                    .partitions()
                    .into_iter()
                    .map(partition)
                    .collect(),
            },
            cursors: CursorsReport {
                known: self.cursors.count(),
                error: self.cursors.error(),
            },
            tokens: self.token_keys.as_ref().map(|keys| keys.report()),
        };
        json(
            if ready {
                StatusCode::OK
            } else {
                StatusCode::SERVICE_UNAVAILABLE
            },
            &readiness,
        )
    }

    fn metrics(&self) -> Answer {
        for (partition, number) in self.status.partitions().into_iter().zip(0_u32..) {
            let label = number.to_string();
            let labels = [label.as_str()];
            self.metrics
                .lag
                .with_label_values(&labels)
                .set(partition.lag() as i64);
            self.metrics
                .source_connected
                .with_label_values(&labels)
                .set(i64::from(partition.connected));
            self.metrics
                .source_reopened
                .with_label_values(&labels)
                .set(partition.reopened as i64);
        }
        let state = self.config.state();
        self.metrics.routes.set(self.config.table().len() as i64);
        let CertificateEnds { client, server } = self.source.certificate_ends();
        let listener = self.tls.as_ref().map(|tls| tls.end());
        for (certificate, end) in [
            ("listener", listener),
            ("fluvio_client", client),
            ("fluvio_server", server),
        ] {
            let Some(end) = end else { continue };
            let ends = &self.metrics.certificate_ends;
            ends.with_label_values(&[certificate]).set(end);
        }
        if let Some(keys) = &self.token_keys {
            let KeySetReport {
                issuer,
                error,
                is_read,
                ..
            } = keys.report();
            let connected = &self.metrics.issuer_connected;
            let connected = connected.with_label_values(&[issuer.as_str()]);
            connected.set(i64::from(is_read && error.is_none()));
        }
        self.metrics.send_memory.set(self.memory.borrowed() as i64);
        let refused = state.refused.len() + usize::from(state.access.error.is_some());
        self.metrics.objects_refused.set(refused as i64);
        self.metrics
            .config_connected
            .set(i64::from(state.source_error.is_none()));
        match self.metrics.render() {
            Ok(text) => respond(
                StatusCode::OK,
                "text/plain; version=0.0.4; charset=utf-8",
                text,
            ),
            Err(error) => problem(
                StatusCode::INTERNAL_SERVER_ERROR,
                "metrics",
                &error.to_string(),
            ),
        }
    }

    /// Another gateway has a client that wants a stream of ours: is ours still there?
    async fn probe(&self, request: &Request<Incoming>) -> Answer {
        let remote = request.extensions().get::<RemoteAddress>();
        let is_peer = request.extensions().get::<Arc<PeerCertificate>>().is_some();
        if !is_peer && !self.is_open_to(remote) {
            let message = "only the gateways of this group may ask that, by TLS with the certificate of their group";
            return problem(StatusCode::FORBIDDEN, "forbidden", message);
        }
        let query = request.uri().query().unwrap_or_default();
        let field = |wanted: &str| {
            let mut fields = form_urlencoded::parse(query.as_bytes());
            fields
                .find(|(name, _)| name == wanted)
                .map(|(_, text)| text)
        };
        let Some(id) = field("subscription").and_then(|text| decode_subscription(&text)) else {
            let message = "the query must be subscription=NAMESPACE/NAME";
            return problem(StatusCode::BAD_REQUEST, "bad_request", message);
        };
        // Subscriptions that are unknown here have no clients here.
        let known = self.config.table().by_id(&id).is_some();
        let taker = field("taker").zip(remote).map(|(holder, remote)| {
            let place = field("port").and_then(|port| port.parse().ok());
            let holder = holder.into_owned();
            let tls = is_peer;
            Taker { holder, place, tls }.at(remote.0.ip())
        });
        let look = self.registry.probe(&id);
        let client = match self.claims.as_ref().filter(|_| known) {
            Some(claims) => claims.answer(&id, taker, look).await,
            None => look.await,
        };
        json(StatusCode::OK, &ProbeReport { client })
    }

    /// Returns whether questions of other gateways are answered without TLS: nobody has the certificate of the group yet, or this is a
    /// gateway of the release before.
    fn is_open_to(&self, remote: Option<&RemoteAddress>) -> bool {
        let Some(claims) = &self.claims else {
            return true;
        };
        let is_old = |remote: &RemoteAddress| claims.asks_without_tls(remote.0.ip().to_canonical());
        claims.tls().current().is_none() || remote.is_some_and(is_old)
    }

    fn routing(&self) -> Answer {
        let (state, table) = (self.config.state(), self.config.table());
        let mut routes: Vec<_> = table.routes().collect();
        routes.sort_by(|a, b| a.id.cmp(&b.id));
        let routing = Routing {
            buckets: state
                .held
                .iter()
                .map(|(id, hash)| (id.to_string(), hash.to_string()))
                .collect(),
            refused: &state.refused,
            access_rules: state.access.held.map(|hash| hash.to_string()),
            routes: routes
                .into_iter()
                .map(|r| RouteReport {
                    namespace: &r.id.namespace,
                    name: &r.id.name,
                    generation: r.generation,
                    suspended: r.suspended,
                    denied: r.denied.as_deref(),
                    connected: self.registry.has(&r.id),
                    event_types: r.event_types,
                    filters: &r.filters,
                })
                .collect(),
        };
        json(StatusCode::OK, &routing)
    }
}

//! The command line of the gateway.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Parser, ValueEnum};
use datastream_gateway::config::StaleRoutes;
use datastream_gateway::{
    AuditTarget, LagLimit, Limits, PerScope, ProxySettings, QueryKeys, Settings, TokenArgs,
};
use datastream_protocol::frame::{DEFAULT_FRAME, LARGEST_FRAME};
use datastream_service::listen;
use datastream_service::log::LogFormat;
use datastream_service::tls::{ClientCertificates, IdentityFiles, ServerFiles};
use datastream_source::cursors_topic;
use datastream_source::fluvio::ClusterArgs;
use ipnet::IpNet;

/// The data plane of datastream: consumes a Fluvio topic, filters, and pushes matching events over WebSockets and HTTP
#[derive(Debug, Parser)]
#[command(version, group(ArgGroup::new("routes").required(true)))]
pub(crate) struct Args {
    /// Address that clients connect to; port 0 picks a free one
    #[arg(long, env = "DATASTREAM_LISTEN", value_parser = listen::parse, default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
    /// Speak TLS with clients, with this certificate (PEM, with those between it and the authority); read again when it changes
    #[arg(
        long,
        env = "DATASTREAM_TLS_CERT",
        value_name = "FILE",
        requires = "tls_key"
    )]
    pub tls_cert: Option<PathBuf>,
    /// The private key of that certificate (PEM)
    #[arg(
        long,
        env = "DATASTREAM_TLS_KEY",
        value_name = "FILE",
        requires = "tls_cert"
    )]
    pub tls_key: Option<PathBuf>,
    /// Ask clients for certificates, of the authorities in this file (PEM), for subscriptions with spec.clientCertificate; clients of
    /// others need none
    #[arg(
        long,
        env = "DATASTREAM_TLS_CLIENT_CA",
        value_name = "FILE",
        requires = "tls_cert"
    )]
    pub tls_client_ca: Option<PathBuf>,
    #[command(flatten)]
    pub tokens: TokenArgs,
    /// Address of probes and metrics; port 0 picks a free one
    #[arg(long, env = "DATASTREAM_ADMIN", value_parser = listen::parse, default_value = "0.0.0.0:9090")]
    pub admin: SocketAddr,
    /// Serve /metrics and /routing only to bearer tokens whose users the API server lets get them (TokenReview,
    /// SubjectAccessReview), with TLS or without
    #[arg(
        long,
        env = "DATASTREAM_METRICS_AUTHORIZATION",
        requires = "routes_namespace"
    )]
    pub metrics_authorization: bool,
    #[command(flatten)]
    pub fluvio: ClusterArgs,
    /// The topic that holds the events
    #[arg(long, env = "DATASTREAM_TOPIC", default_value = "device-events")]
    pub topic: String,
    /// The topic that holds committed positions, made if it is missing (default: that of the events, with -cursors at its end)
    #[arg(long, env = "DATASTREAM_CURSORS_TOPIC")]
    pub cursors_topic: Option<String>,
    /// Take the routes from files in this folder
    #[arg(long, env = "DATASTREAM_ROUTES_DIR", group = "routes")]
    pub routes_dir: Option<PathBuf>,
    /// Take the routes from Secrets in this namespace
    #[arg(long, env = "DATASTREAM_ROUTES_NAMESPACE", group = "routes")]
    pub routes_namespace: Option<String>,
    /// Treatment of new streams while routes cannot be followed: serve them by the routes that are known, or refuse them
    #[arg(long, env = "DATASTREAM_STALE_ROUTES", value_enum, default_value_t = StaleRoutesArg::Serve)]
    pub stale_routes: StaleRoutesArg,
    /// Seconds for which routes could not be followed before new streams are refused, with --stale-routes=refuse
    #[arg(long, env = "DATASTREAM_STALE_ROUTES_AFTER", default_value_t = 300)]
    pub stale_routes_after: u32,
    /// Treatment of requests with a stream key in the query, where proxies log it: accept them, or refuse them (400). Keys in
    /// Authorization and in subprotocols are always taken
    #[arg(long, env = "DATASTREAM_QUERY_KEYS", value_enum, default_value_t = QueryKeysArg::Accept)]
    pub query_keys: QueryKeysArg,
    /// The group of gateways that this one belongs to
    #[arg(long, env = "DATASTREAM_GROUP", default_value = "default")]
    pub group: String,
    /// The name of this gateway's pod, for its Lease
    #[arg(long, env = "DATASTREAM_POD", default_value = "local")]
    pub pod: String,
    /// The IP address under which other gateways reach this one's admin listener (default: the one that it listens on)
    #[arg(long, env = "DATASTREAM_POD_IP")]
    pub pod_ip: Option<IpAddr>,
    /// Streams above the gateway's fair share that are closed per second after gateways were added; 0 never closes any
    #[arg(long, env = "DATASTREAM_SHED_PER_SECOND", default_value_t = 0)]
    pub shed_per_second: u32,
    /// Seconds that open streams may take to close when the gateway stops
    #[arg(long, env = "DATASTREAM_DRAIN_SECONDS", default_value_t = 30)]
    pub drain_seconds: u32,
    /// Memory for recent events, in MiB, from which streams that fall behind read on; an eighth of it for events that were replayed last
    #[arg(long, env = "DATASTREAM_RING_MIB", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub ring_mib: u32,
    /// Number of streams that may read the topic at once to catch up
    #[arg(long, env = "DATASTREAM_REPLAYS", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub replays: u32,
    /// Number of streams that may be open at once; more are answered 503
    #[arg(long, env = "DATASTREAM_MAX_STREAMS", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_streams: u32,
    /// Number of requests on /stream with a good key that are let in per second; more are answered 503 with Retry-After
    #[arg(long, env = "DATASTREAM_HANDSHAKES_PER_SECOND", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub handshakes_per_second: u32,
    /// Number of streams that may be open at once: SCOPE=NUMBER, comma-separated, for namespace and address; more are answered 503
    #[arg(
        long,
        env = "DATASTREAM_LIMIT_STREAMS",
        value_name = "LIMITS",
        default_value = ""
    )]
    pub limit_streams: PerScope,
    /// Number of requests a second, whatever they bring, for address; more are answered 503
    #[arg(
        long,
        env = "DATASTREAM_LIMIT_REQUESTS",
        value_name = "LIMITS",
        default_value = ""
    )]
    pub limit_requests: PerScope,
    /// Number of events a second that are sent, for subscription, namespace, address and gateway; what is beyond waits in the topic
    #[arg(
        long,
        env = "DATASTREAM_LIMIT_EVENTS",
        value_name = "LIMITS",
        default_value = ""
    )]
    pub limit_events: PerScope,
    /// KiB a second that are sent, for subscription, namespace, address and gateway; what is beyond waits in the topic
    #[arg(
        long,
        env = "DATASTREAM_LIMIT_SENT_KIB",
        value_name = "LIMITS",
        default_value = ""
    )]
    pub limit_sent_kib: PerScope,
    /// KiB a second that are read from the topic for streams that replay or catch up, for subscription, namespace, address and gateway
    #[arg(
        long,
        env = "DATASTREAM_LIMIT_REPLAYED_KIB",
        value_name = "LIMITS",
        default_value = ""
    )]
    pub limit_replayed_kib: PerScope,
    /// Networks of proxies whose word on where clients come from is taken, as in 10.0.0.0/8,fd00::/8: X-Forwarded-For, and the PROXY
    /// protocol with --proxy-protocol
    #[arg(
        long,
        env = "DATASTREAM_TRUSTED_PROXIES",
        value_parser = network,
        value_delimiter = ',',
        value_name = "CIDR"
    )]
    pub trusted_proxies: Vec<IpNet>,
    /// Connections of trusted proxies begin with a header of the PROXY protocol (versions 1 and 2)
    #[arg(long, env = "DATASTREAM_PROXY_PROTOCOL")]
    pub proxy_protocol: bool,
    /// Close a stream that was live and whose next event is older than this many seconds (default: no limit)
    #[arg(long, env = "DATASTREAM_MAX_LAG_SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_lag_seconds: Option<u32>,
    /// Close a stream that was live and is behind by more than this many MiB of the topic (default: no limit)
    #[arg(long, env = "DATASTREAM_MAX_LAG_MIB", value_parser = clap::value_parser!(u64).range(1..=1 << 40))]
    pub max_lag_mib: Option<u64>,
    /// The largest frame that a client is sent, in KiB: events that need a larger one, with their escapes, are skipped and counted
    #[arg(long, env = "DATASTREAM_MAX_FRAME_KIB", default_value_t = (DEFAULT_FRAME >> 10) as u32, value_parser = clap::value_parser!(u32).range(1..=(LARGEST_FRAME >> 10) as i64))]
    pub max_frame_kib: u32,
    /// Memory for what waits to be sent to all clients together, in MiB; each has 16 KiB beside it
    #[arg(long, env = "DATASTREAM_SEND_MEMORY_MIB", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub send_memory_mib: u32,
    /// Write who opened which stream, how it ended, and who was refused, as JSON lines to the end of this file; - is standard output
    #[arg(long, env = "DATASTREAM_AUDIT_LOG", value_name = "FILE")]
    pub audit_log: Option<PathBuf>,
    /// Format of the log (on standard error)
    #[arg(long, env = "DATASTREAM_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// A network, or one address.
fn network(text: &str) -> Result<IpNet, String> {
    let address = text.parse::<IpAddr>().map(IpNet::from);
    let network = text.parse::<IpNet>().or(address);
    let reason = "is no network: write ADDRESS/BITS, as in 10.0.0.0/8 or fd00::/8, or one address";
    network.map_err(|_| format!("{text:?} {reason}"))
}

/// The answer to new streams while routes cannot be followed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum StaleRoutesArg {
    /// They are served by the routes that are known.
    Serve,
    /// They are refused (503).
    Refuse,
}

/// The treatment of stream keys in the query.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum QueryKeysArg {
    /// They are taken.
    Accept,
    /// They are refused (400).
    Refuse,
}

impl Args {
    /// The topic that holds committed positions.
    pub(crate) fn cursors_topic(&self) -> String {
        let default = || cursors_topic(&self.topic);
        self.cursors_topic.clone().unwrap_or_else(default)
    }

    /// Address at which other gateways reach the admin listener that is bound to `admin`, HOST:PORT; none if it is not known.
    pub(crate) fn peer_address(&self, admin: SocketAddr) -> Option<String> {
        let ip = self.pod_ip.unwrap_or(admin.ip());
        (!ip.is_unspecified()).then(|| SocketAddr::new(ip, admin.port()).to_string())
    }

    /// The settings that these arguments mean.
    pub(crate) fn settings(&self) -> Settings {
        let identity = self.tls_cert.clone().zip(self.tls_key.clone());
        Settings {
            event_source: Settings::event_source_of(&self.topic),
            tls: identity.map(|(certificate, key)| ServerFiles {
                identity: IdentityFiles { certificate, key },
                clients: self
                    .tls_client_ca
                    .clone()
                    .map_or(ClientCertificates::Unasked, ClientCertificates::Asked),
            }),
            listen: listen::address(self.listen),
            admin: listen::address(self.admin),
            ring_bytes: (self.ring_mib as usize) << 20,
            replays: self.replays as usize,
            drain: Duration::from_secs(self.drain_seconds.into()),
            max_streams: self.max_streams as usize,
            handshakes_per_second: self.handshakes_per_second,
            limits: Limits {
                streams: self.limit_streams,
                requests: self.limit_requests,
                events: self.limit_events,
                sent_kib: self.limit_sent_kib,
                replayed_kib: self.limit_replayed_kib,
            },
            proxies: ProxySettings {
                trusted: self.trusted_proxies.clone(),
                proxy_protocol: self.proxy_protocol,
            },
            largest_frame: (self.max_frame_kib as usize) << 10,
            send_memory: (self.send_memory_mib as usize) << 20,
            max_lag: LagLimit {
                age: self.max_lag_seconds.map(|s| Duration::from_secs(s.into())),
                bytes: self.max_lag_mib.map(|mib| mib << 20),
            },
            query_keys: match self.query_keys {
                QueryKeysArg::Accept => QueryKeys::Accept,
                QueryKeysArg::Refuse => QueryKeys::Refuse,
            },
            tokens: self.tokens.settings(),
            audit: self.audit_log.clone().map(|path| match path.to_str() {
                Some("-") => AuditTarget::Stdout,
                _ => AuditTarget::File(path),
            }),
            stale_routes: match self.stale_routes {
                StaleRoutesArg::Serve => StaleRoutes::Serve,
                StaleRoutesArg::Refuse => {
                    StaleRoutes::RefuseAfter(Duration::from_secs(self.stale_routes_after.into()))
                }
            },
        }
    }
}

//! A broker, and gateways with a topic and subscriptions of their own.

use datastream_broker::{Broker, BrokerOptions};
use datastream_e2e::own_program;
use datastream_routing::{Field, Filter};
use datastream_source::fluvio::FluvioTarget;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::connection::Endpoint;
use crate::cores::{Cores, on_its_core};
use crate::dialect::Dialect;
use crate::feed::{EVERYBODY, Feed, own};
use crate::routes;
use crate::server::Server;
use crate::trust::Trust;

/// Files that a gateway may open beside those of its streams.
const FILES: usize = 2_000;
/// Bytes of events that the broker keeps of a partition, far more than are ever on the way.
const RETENTION: u64 = 64 << 20;

/// A gateway to be started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) tls: bool,
    /// The core that it has; none where it shares all of them with the load.
    pub(crate) cores: Option<Cores>,
    /// Subscriptions to what is for everybody and to what is for one client alone.
    pub(crate) subscriptions: usize,
    /// Further subscriptions to what is for one client alone.
    pub(crate) visitors: usize,
    /// Streams that may be open at once.
    pub(crate) streams: usize,
    /// Partitions of the topic, each of which has a producer.
    pub(crate) partitions: u32,
    /// Threads that it has; as many as cores unless given.
    pub(crate) threads: Option<usize>,
    /// Addresses of loopback that clients connect to, each of which has ports enough for 28,000.
    pub(crate) addresses: u8,
}

/// A gateway without clients.
pub(crate) struct Gateway {
    pub(crate) server: Server,
    pub(crate) feed: Feed,
    pub(crate) endpoint: Endpoint,
    /// URL of its listener for operators.
    #[allow(dead_code, reason = "not every bench asks")]
    pub(crate) admin: String,
    pub(crate) routes: TempDir,
}

/// The filters of a subscription to events of these devices.
pub(crate) fn filters<'a>(devices: impl Iterator<Item = &'a str>) -> Vec<Filter> {
    vec![Filter::default().with(Field::Dsn, devices.map(Into::into))]
}

/// Everything that gateways are started with.
pub(crate) struct GatewayStand {
    runtime: Runtime,
    broker: Broker,
    trust: Trust,
    certificate: [String; 2],
    topics: usize,
    _certificates: TempDir,
}

impl GatewayStand {
    /// A broker with so many threads, which the producers have, too.
    pub(crate) fn new(threads: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .enable_all()
            .build()
            .unwrap();
        let options = BrokerOptions {
            retention_bytes: Some(RETENTION),
            ..BrokerOptions::default()
        };
        let broker = runtime.block_on(Broker::start(options)).unwrap();
        let certificates = tempfile::tempdir().unwrap();
        let (trust, certificate) = Trust::make(certificates.path());
        Self {
            runtime,
            broker,
            trust,
            certificate,
            topics: 0,
            _certificates: certificates,
        }
    }

    /// A topic of its own, and the way into it.
    pub(crate) fn topic(&mut self, partitions: u32) -> (FluvioTarget, Feed) {
        self.topics += 1;
        let topic = format!("device-events-{}", self.topics);
        self.broker.create_topic(&topic, partitions).unwrap();
        let target = FluvioTarget::new(self.broker.address().to_string(), &topic);
        let feed = Feed::topic(&self.runtime, &target, partitions as usize);
        (target, feed)
    }

    /// Starts a gateway.
    pub(crate) fn start(&mut self, settings: Settings) -> Gateway {
        let Settings {
            tls,
            subscriptions,
            visitors,
            streams,
            ..
        } = settings;
        let (target, feed) = self.topic(settings.partitions);
        let folder = tempfile::tempdir().unwrap();
        let all = subscriptions + visitors;
        routes::write(folder.path(), all, |number| {
            let everybody = (number < subscriptions).then_some(EVERYBODY);
            filters(everybody.into_iter().chain([own(number).as_str()]))
        });
        let mut args = vec![
            "--listen=0.0.0.0:0".to_owned(),
            "--admin=127.0.0.1:0".to_owned(),
            format!("--fluvio={}", self.broker.address()),
            format!("--topic={}", target.topic),
            format!("--routes-dir={}", folder.path().display()),
            format!("--max-streams={streams}"),
            // All of them are of one namespace, and come at once.
            "--handshakes-per-second=1000000".to_owned(),
        ];
        if tls {
            args.extend_from_slice(&self.certificate);
        }
        let program = own_program("datastream-gateway").unwrap();
        let (mut program, mut args) = on_its_core(settings.cores, &program, args);
        if let Some(threads) = settings.threads {
            let variable = format!("TOKIO_WORKER_THREADS={threads}");
            args.splice(0..0, [variable, program.display().to_string()]);
            program = "env".into();
        }
        let mut server = Server::start(&program, &args, streams + FILES);
        let bound: serde_json::Value = serde_json::from_str(&server.line()).unwrap();
        let (_, port) = bound["stream"].as_str().unwrap().rsplit_once(':').unwrap();
        let addresses = (1..=settings.addresses).map(|last| format!("127.0.0.{last}:{port}"));
        Gateway {
            endpoint: Endpoint {
                addresses: addresses.collect(),
                tls: tls.then(|| self.trust.config()),
                dialect: Dialect::Dss,
            },
            feed,
            server,
            admin: bound["admin"].as_str().unwrap().to_owned(),
            routes: folder,
        }
    }
}

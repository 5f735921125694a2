//! The servers that are compared: how each is started, fed and connected to.

use std::path::{Path, PathBuf};

use datastream_broker::{Broker, BrokerOptions};
use datastream_e2e::own_program;
use datastream_routing::{Field, Filter};
use datastream_source::fluvio::FluvioTarget;
use serde::Deserialize;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::connection::Endpoint;
use crate::cores::{Cores, on_its_core};
use crate::dialect::Dialect;
use crate::feed::{EVERYBODY, Feed, own};
use crate::server::Server;
use crate::trust::Trust;
use crate::{CONNECTIONS, routes};

/// Files that a server may open.
const FILES: usize = CONNECTIONS + 1_000;
/// Bytes of events that the broker keeps, far more than are ever on the way.
const RETENTION: u64 = 64 << 20;

/// A kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Raw,
    Bare,
    Gateway,
    GatewayTls,
    Nats,
    Centrifuge,
}

impl Kind {
    pub(crate) const EACH: [Self; 6] = [
        Self::Raw,
        Self::Bare,
        Self::Gateway,
        Self::GatewayTls,
        Self::Nats,
        Self::Centrifuge,
    ];
    /// Those that the gateway is to be better than.
    pub(crate) const PEERS: [Self; 2] = [Self::Nats, Self::Centrifuge];

    /// Its name for people.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Raw => "raw epoll loop",
            Self::Bare => "tungstenite",
            Self::Gateway => "gateway",
            Self::GatewayTls => "gateway, TLS",
            Self::Nats => "NATS",
            Self::Centrifuge => "Centrifuge",
        }
    }

    /// Its name in settings and in the JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Bare => "bare",
            Self::Gateway => "gateway",
            Self::GatewayTls => "gateway-tls",
            Self::Nats => "nats",
            Self::Centrifuge => "centrifuge",
        }
    }
}

/// A running server, with what it needs.
pub(crate) struct Running {
    server: Server,
    _routes: Option<TempDir>,
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.server.child.id()
    }
}

/// A server without clients.
pub(crate) struct Started {
    pub(crate) running: Running,
    pub(crate) feed: Feed,
    pub(crate) endpoint: Endpoint,
}

/// Everything that servers are started with.
pub(crate) struct Stand {
    runtime: Runtime,
    broker: Broker,
    trust: Trust,
    certificate: [String; 2],
    cores: Option<Cores>,
    /// The program with the peers in Go.
    peers: Option<PathBuf>,
    topics: usize,
    _certificates: TempDir,
}

/// The addresses that a program of the peers announces.
#[derive(Deserialize)]
struct Addresses {
    websocket: String,
    #[serde(default)]
    tcp: String,
}

impl Stand {
    pub(crate) fn new(cores: Option<Cores>, peers: Option<PathBuf>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
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
            cores,
            peers,
            topics: 0,
            _certificates: certificates,
        }
    }

    /// Starts a server.
    pub(crate) fn start(&mut self, kind: Kind) -> Started {
        let me = std::env::current_exe().unwrap();
        match kind {
            Kind::Raw | Kind::Bare => {
                let mut server = self.launch(&me, vec![kind.name().to_owned()]);
                let address = server.line();
                lines(server, address, Dialect::Plain)
            }
            Kind::Gateway => self.gateway(false),
            Kind::GatewayTls => self.gateway(true),
            Kind::Nats | Kind::Centrifuge => {
                let program = self.peers.clone().unwrap();
                let mut server = self.launch(&program, vec![kind.name().to_owned()]);
                let addresses: Addresses = serde_json::from_str(&server.line()).unwrap();
                if kind == Kind::Centrifuge {
                    return lines(server, addresses.websocket, Dialect::Centrifuge);
                }
                Started {
                    feed: Feed::nats(&addresses.tcp),
                    endpoint: plain(addresses.websocket, Dialect::Nats),
                    running: running(server, None),
                }
            }
        }
    }

    fn launch(&self, program: &Path, args: Vec<String>) -> Server {
        let (program, args) = on_its_core(self.cores, program, args);
        Server::start(&program, &args, FILES)
    }

    /// A gateway with a topic of its own, and a subscription for each client, to what is for everybody and what is for it alone.
    fn gateway(&mut self, tls: bool) -> Started {
        self.topics += 1;
        let topic = format!("device-events-{}", self.topics);
        self.broker.create_topic(&topic, 1).unwrap();
        let folder = tempfile::tempdir().unwrap();
        routes::write(folder.path(), CONNECTIONS, |number| {
            let devices = [EVERYBODY.into(), own(number).as_str().into()];
            vec![Filter::default().with(Field::Dsn, devices)]
        });
        let mut args = vec![
            "--listen=127.0.0.1:0".to_owned(),
            "--admin=127.0.0.1:0".to_owned(),
            format!("--fluvio={}", self.broker.address()),
            format!("--topic={topic}"),
            format!("--routes-dir={}", folder.path().display()),
            format!("--max-streams={CONNECTIONS}"),
            // All of them are of one namespace, and come at once.
            "--handshakes-per-second=1000000".to_owned(),
        ];
        if tls {
            args.extend_from_slice(&self.certificate);
        }
        let program = own_program("datastream-gateway").unwrap();
        let mut server = self.launch(&program, args);
        let bound: serde_json::Value = serde_json::from_str(&server.line()).unwrap();
        let (_, address) = bound["stream"].as_str().unwrap().split_once("://").unwrap();
        let target = FluvioTarget::new(self.broker.address().to_string(), &topic);
        Started {
            endpoint: Endpoint {
                tls: tls.then(|| self.trust.config()),
                ..plain(address.to_owned(), Dialect::Dss)
            },
            feed: Feed::topic(&self.runtime, target),
            running: running(server, Some(folder)),
        }
    }
}

/// A server that takes events as lines on its standard input.
fn lines(mut server: Server, address: String, dialect: Dialect) -> Started {
    Started {
        feed: Feed::lines(server.take_stdin()),
        endpoint: plain(address, dialect),
        running: running(server, None),
    }
}

const fn running(server: Server, routes: Option<TempDir>) -> Running {
    Running {
        server,
        _routes: routes,
    }
}

fn plain(address: String, dialect: Dialect) -> Endpoint {
    Endpoint {
        address,
        tls: None,
        dialect,
    }
}

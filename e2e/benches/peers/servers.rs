//! The servers that are compared: how each is started, fed and connected to.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use tempfile::TempDir;

use crate::CONNECTIONS;
use crate::connection::Endpoint;
use crate::cores::{Cores, on_its_core};
use crate::dialect::Dialect;
use crate::feed::Feed;
use crate::figures::{Figure, Figures};
use crate::gateway::{GatewayStand, Settings};
use crate::load::Load;
use crate::server::Server;

/// Files that a server may open.
const FILES: usize = CONNECTIONS + 1_000;

/// A kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Raw,
    RawTopic,
    Bare,
    Gateway,
    GatewayTls,
    Nats,
    Centrifuge,
}

impl Kind {
    pub(crate) const EACH: [Self; 7] = [
        Self::Raw,
        Self::RawTopic,
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
            Self::RawTopic => "raw + broker",
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
            Self::RawTopic => "raw-topic",
            Self::Bare => "bare",
            Self::Gateway => "gateway",
            Self::GatewayTls => "gateway-tls",
            Self::Nats => "nats",
            Self::Centrifuge => "centrifuge",
        }
    }
}

/// The peer that has the lower median of this figure.
pub(crate) fn better_peer<'a>(
    figures: &'a Figures,
    load: Load,
    figure: &str,
) -> Option<&'a Figure> {
    let peers = Kind::PEERS.iter();
    peers
        .filter_map(|peer| figures.get(peer.name(), Some(load.name()), figure))
        .min_by(|a, b| a.median.total_cmp(&b.median))
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
    gateways: GatewayStand,
    cores: Option<Cores>,
    /// The program with the peers in Go.
    peers: Option<PathBuf>,
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
        Self {
            gateways: GatewayStand::new(1),
            cores,
            peers,
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
            Kind::RawTopic => {
                let (target, feed) = self.gateways.topic(1);
                let broker = target.cluster.address().to_owned();
                let args = vec![kind.name().to_owned(), broker, target.topic];
                let mut server = self.launch(&me, args);
                Started {
                    endpoint: plain(server.line(), Dialect::Plain),
                    feed,
                    running: running(server, None),
                }
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

    /// A gateway with a subscription for each client, to what is for everybody and what is for it alone.
    fn gateway(&mut self, tls: bool) -> Started {
        let gateway = self.gateways.start(Settings {
            tls,
            cores: self.cores,
            subscriptions: CONNECTIONS,
            visitors: 0,
            streams: CONNECTIONS,
            partitions: 1,
            threads: None,
            addresses: 1,
        });
        Started {
            endpoint: gateway.endpoint,
            feed: gateway.feed,
            running: running(gateway.server, Some(gateway.routes)),
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
        addresses: vec![address],
        tls: None,
        dialect,
    }
}

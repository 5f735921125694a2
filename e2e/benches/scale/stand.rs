//! A gateway or a raw loop with its clients, and where their figures go.

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use crate::RAW;
use crate::connection::Endpoint;
use crate::cores::{Cores, on_its_core};
use crate::dialect::Dialect;
use crate::distance::Distance;
use crate::feed::Feed;
use crate::figures::{self, Figures};
use crate::gateway::{Gateway, GatewayStand, Settings};
use crate::generator::{Delivered, Generator};
use crate::pattern::{Pattern, Receivers};
use crate::process;
use crate::server::Server;
use crate::turn::{self, SETTLING, STARTING, Turn};

/// Length of the first turn, which is not counted.
const WARM_UP: Duration = Duration::from_secs(1);
/// Deliveries a second where the rate is given.
pub(crate) const RATE: u64 = 20_000;
/// Name of a figure: resident MiB of a gateway that has no streams yet.
pub(crate) const STARTED: &str = "started_mib";
/// Files that a raw loop may open beside its connections.
const FILES: usize = 100;
/// Threads of the broker and the producers.
const THREADS: usize = 2;

/// Everything that the bench has all the time.
pub(crate) struct Stand {
    gateways: GatewayStand,
    /// None where there is one core only.
    pub(crate) cores: Option<Cores>,
    pub(crate) distance: Distance,
    pub(crate) figures: Figures,
}

/// A gateway or a raw loop with open streams.
pub(crate) struct Open {
    pub(crate) server: Server,
    pub(crate) endpoint: Endpoint,
    generator: Generator,
    crowd: usize,
    /// URL of its listener for operators, and its routes, if it is a gateway.
    gateway: Option<(String, TempDir)>,
}

/// Events to all of so many streams, [`RATE`] deliveries a second.
pub(crate) const fn steady(streams: usize) -> Pattern {
    Pattern {
        to: Receivers::All,
        interval: streams as u64 * 1_000_000 / RATE,
        burst: 1,
        window: 64,
    }
}

impl Stand {
    pub(crate) fn new() -> Self {
        let cores = Cores::find();
        if cores.is_none() {
            println!("one core: the gateway shares it with the load");
        }
        Self {
            gateways: GatewayStand::new(THREADS),
            cores,
            distance: Distance::new(cores),
            figures: Figures::default(),
        }
    }

    /// Keeps the gateway's core for it.
    pub(crate) fn split(&self) {
        if let Some(cores) = self.cores {
            cores.split();
        }
    }

    /// Lets the load have both cores.
    pub(crate) fn share(&self) {
        if let Some(cores) = self.cores {
            cores.share();
        }
    }

    /// Starts a gateway, opens its streams, and notes what they take without events.
    pub(crate) fn open(&mut self, settings: Settings, server: &str, load: &str) -> Open {
        let Gateway {
            server: process,
            feed,
            endpoint,
            admin,
            routes,
        } = self.gateways.start(settings);
        let streams = settings.subscriptions;
        let mut open = self.connect(process, (endpoint, feed, streams), server, load);
        open.gateway = Some((admin, routes));
        open
    }

    /// Starts a raw loop of so many threads, each with an address of its own, and opens connections to it.
    pub(crate) fn open_raw(
        &mut self,
        (cores, threads, streams): (Option<Cores>, usize, usize),
        server: &str,
        load: &str,
    ) -> Open {
        let me = std::env::current_exe().unwrap();
        let args = vec![RAW.to_owned(), threads.to_string()];
        let (program, args) = on_its_core(cores, &me, args);
        let mut process = Server::start(&program, &args, streams + FILES);
        let endpoint = Endpoint {
            addresses: (0..threads).map(|_| process.line()).collect(),
            tls: None,
            dialect: Dialect::Plain,
        };
        let feed = Feed::lines(process.take_stdin());
        self.connect(process, (endpoint, feed, streams), server, load)
    }

    /// Opens connections to a server, and notes what they take.
    fn connect(
        &mut self,
        process: Server,
        (endpoint, feed, streams): (Endpoint, Feed, usize),
        server: &str,
        load: &str,
    ) -> Open {
        let mut generator = Generator::new();
        generator.idle(STARTING);
        let pid = process.child.id();
        let (cpu, bytes) = (process::cpu_seconds(pid), process::own_bytes(pid));
        let started = process::resident_bytes(pid);
        let crowd = generator.open(&endpoint, feed, streams);
        let cpu = process::cpu_seconds(pid) - cpu;
        generator.idle(SETTLING);
        let bytes = process::own_bytes(pid) - bytes;
        let each = |all: f64| all / streams as f64;
        let mut add = |figure, value| self.figures.add(server, Some(load), figure, value);
        add(figures::HANDSHAKE, each(cpu * 1000.0));
        add(figures::IDLE, each(bytes / 1024.0));
        add(STARTED, started / f64::from(1 << 20));
        Open {
            server: process,
            endpoint,
            generator,
            crowd,
            gateway: None,
        }
    }

    /// Notes the figures of a turn that has just ended.
    pub(crate) fn add(&mut self, server: &str, load: &str, turn: &Turn) {
        for (figure, value) in turn.figures {
            self.figures.add(server, Some(load), figure, value);
        }
        let apart = self.distance.measure();
        self.figures
            .add(server, Some(load), figures::DISTANCE, apart);
    }
}

impl Open {
    pub(crate) fn pid(&self) -> u32 {
        self.server.child.id()
    }

    /// The folder with its routes.
    pub(crate) fn routes(&self) -> &Path {
        self.gateway.as_ref().unwrap().1.path()
    }

    /// A turn that is not counted, for what grows once.
    pub(crate) fn warm_up(&mut self, pattern: Pattern) {
        self.generator.turn(self.crowd, pattern, WARM_UP);
    }

    /// Does nothing but what is asked of clients.
    pub(crate) fn idle(&mut self, time: Duration) {
        self.generator.idle(time);
    }

    /// Sends events for nobody.
    pub(crate) fn send(&mut self, pattern: Pattern, time: Duration) -> Delivered {
        self.generator.turn(self.crowd, pattern, time)
    }

    /// Answer of its listener for operators.
    pub(crate) fn admin(&self, path: &str) -> String {
        let (admin, _) = self.gateway.as_ref().unwrap();
        let address = admin.trim_start_matches("http://");
        let (status, answer) = datastream_e2e::get(address, path).unwrap();
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    /// Records that the gateway has read.
    pub(crate) fn records(&self) -> u64 {
        let metrics = self.admin("/metrics");
        let mut lines = metrics.lines();
        let records = lines.find_map(|line| line.strip_prefix("datastream_gateway_records_total "));
        records.unwrap().parse().unwrap()
    }

    /// A turn, in which something may go wrong.
    pub(crate) fn measure(&mut self, pattern: Pattern, time: Duration) -> Turn {
        let server = (self.pid(), self.crowd);
        turn::measure(&mut self.generator, server, pattern, time)
    }

    /// A turn in which everything has to arrive.
    pub(crate) fn measure_all(&mut self, pattern: Pattern, time: Duration) -> Turn {
        let turn = self.measure(pattern, time);
        assert_eq!(
            (turn.wrong, turn.closed),
            (0, 0),
            "deliveries missing (of {}), streams closed",
            turn.deliveries
        );
        turn
    }
}

//! The data plane: broker and gateways as processes, two topics, clients of every temper.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use datastream_cli::FluvioTarget;
use datastream_gateway::cursors_topic;
use datastream_routing::Resume;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::broker::Broker;
use crate::checker::{Eviction, History, Interest, Log};
use crate::client::Client;
use crate::collectors::{self, COLLECTORS, Collector, CollectorFault};
use crate::door::Excuse;
use crate::gateways::{Gateway, GatewayFault};
use crate::nemesis::{Step, merge, timeline};
use crate::network::{CLIENTS, Cut, Network, Node, Side};
use crate::process::Process;
use crate::recorder::{Fleet, Recorder};
use crate::report::Report;
use crate::routes::{Routes, key, route};
use crate::settings::Round;
use crate::settle::{Clients, nothing_left};
use crate::temper::KINDS;
use crate::topic;
use crate::traffic::Traffic;

/// Partitions of each topic.
const TOPICS: [u32; 2] = [1, 3];
const GATEWAYS_PER_TOPIC: usize = 2;
/// Subscriptions that storms of clients use.
const STORM: usize = 40;
/// Events that are sent at once, at most.
const BATCH: u64 = 14;
/// Events of a topic that the broker keeps when it drops the beginning of a partition, at most.
const KEPT: u64 = 900;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Fault {
    Gateway(usize, GatewayFault),
    KillBroker,
    PauseBroker,
    /// Commands of the broker's fault switches, to begin and to end it.
    Broker(String, &'static str),
    /// The broker drops the beginning of a partition (topic, partition), and keeps about this many events.
    Evict(usize, usize, u64),
    Collector(usize, CollectorFault),
    Routes(usize, RoutesFault),
    /// This many clients at once.
    Storm(usize, usize),
    /// A gateway and another node are cut from each other.
    Cut(usize, Other, Cut),
    /// A gateway is cut off from everything.
    Link(usize),
    /// The producers and the broker are cut from each other.
    CutProducers(Cut),
}

/// What a gateway can be cut from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Other {
    Broker,
    Clients,
}

const BROKER: u8 = 1;
/// The node of the first gateway; the others follow.
const FIRST_GATEWAY: u8 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RoutesFault {
    HalfWritten(usize),
    Removed(usize),
    Stray,
    Renewed,
    Suspended(usize),
}

/// Decides everything before anything starts.
fn schedule(rng: &mut StdRng, length: Duration, world: &World) -> Vec<Step<Fault>> {
    let clocks = world.gateways.iter().all(Gateway::has_clock);
    let gateways = TOPICS.len() * GATEWAYS_PER_TOPIC;
    let mut lines = vec![];
    for gateway in 0..gateways {
        lines.push(timeline(rng, length, 2.0..7.0, |rng| {
            let (fault, lasts) = match rng.random_range(0..if clocks { 8 } else { 6 }) {
                0 | 1 => (GatewayFault::Kill, 0.1..2.0),
                2 | 3 => (GatewayFault::Terminate, 2.5..4.0),
                4 | 5 => (GatewayFault::Pause, 0.2..6.0),
                6 => (GatewayFault::Clock(rng.random_range(1..100_000)), 0.5..5.0),
                _ => (GatewayFault::Clock(-rng.random_range(1..100_000)), 0.5..5.0),
            };
            (Fault::Gateway(gateway, fault), lasts)
        }));
    }
    for collector in 0..TOPICS.len() * COLLECTORS {
        lines.push(timeline(rng, length, 0.5..6.0, |rng| {
            let (fault, lasts) = match rng.random_range(0..4) {
                0 | 1 => (CollectorFault::Kill, 0.0..1.0),
                2 => (CollectorFault::Terminate, 0.5..2.0),
                _ => (CollectorFault::Pause, 0.2..6.0),
            };
            (Fault::Collector(collector, fault), lasts)
        }));
    }
    for topic in 0..TOPICS.len() {
        lines.push(timeline(rng, length, 1.0..5.0, |rng| {
            let number = rng.random_range(0..1000);
            let (fault, lasts) = match rng.random_range(0..6) {
                0 | 1 => (RoutesFault::HalfWritten(number), 0.1..3.0),
                2 => (RoutesFault::Removed(number), 0.1..3.0),
                3 => (RoutesFault::Stray, 0.1..3.0),
                4 => (RoutesFault::Renewed, 0.0..0.1),
                _ => (RoutesFault::Suspended(number), 0.1..2.0),
            };
            (Fault::Routes(topic, fault), lasts)
        }));
    }
    lines.push(timeline(rng, length, 4.0..9.0, |rng| {
        let gateway = rng.random_range(0..gateways);
        (Fault::Storm(gateway, rng.random_range(10..STORM)), 0.0..0.1)
    }));
    if world.network.is_own() {
        lines.extend(cuts(rng, length));
    }
    if world.broker.is_some() {
        lines.push(timeline(rng, length, 0.5..4.0, broker_fault));
        for (topic, partitions) in TOPICS.into_iter().enumerate() {
            lines.push(timeline(rng, length, 1.0..6.0, |rng| {
                let partition = rng.random_range(0..partitions as usize);
                let kept = rng.random_range(0..KEPT / u64::from(partitions));
                (Fault::Evict(topic, partition, kept), 0.0..0.1)
            }));
        }
    }
    merge(lines)
}

/// Cuts end some time before the others: a connection that was silent for long takes long to notice that it is whole.
fn cuts(rng: &mut StdRng, length: Duration) -> Vec<Vec<Step<Fault>>> {
    let length = length.mul_f64(0.9);
    let mut lines = vec![];
    for gateway in 0..TOPICS.len() * GATEWAYS_PER_TOPIC {
        lines.push(timeline(rng, length, 3.0..10.0, |rng| {
            let other = if rng.random_bool(0.5) {
                Other::Broker
            } else {
                Other::Clients
            };
            let fault = match rng.random_range(0..5) {
                0 => Fault::Link(gateway),
                _ => Fault::Cut(gateway, other, cut(rng)),
            };
            (fault, 0.2..5.0)
        }));
    }
    lines.push(timeline(rng, length, 5.0..12.0, |rng| {
        (Fault::CutProducers(cut(rng)), 0.2..3.0)
    }));
    lines
}

fn cut(rng: &mut StdRng) -> Cut {
    [Cut::Both, Cut::To, Cut::From][rng.random_range(0..3)]
}

fn broker_fault(rng: &mut StdRng) -> (Fault, std::ops::Range<f64>) {
    let role = if rng.random_bool(0.7) {
        "unit"
    } else {
        "controller"
    };
    let few = rng.random_range(1..6);
    let switch = |on: String, off| Fault::Broker(on, off);
    match rng.random_range(0..12) {
        0 | 1 => (Fault::KillBroker, 0.1..3.0),
        2 => (Fault::PauseBroker, 0.2..4.0),
        3 | 4 => (switch(format!("drop {role}"), ""), 0.0..0.1),
        5 if role == "unit" => (switch("down unit".to_owned(), "up unit"), 0.2..3.0),
        5 => (
            switch("down controller".to_owned(), "up controller"),
            0.2..3.0,
        ),
        6 => (switch("silent on".to_owned(), "silent off"), 0.2..5.0),
        7 => (
            switch(format!("delay {}", rng.random_range(20..600)), "delay 0"),
            0.5..4.0,
        ),
        8 => (switch(format!("tear {few}"), "tear 0"), 0.5..3.0),
        9 => (switch(format!("refuse {few}"), "refuse 0"), 0.2..1.0),
        10 => (switch(format!("lose-acks {few}"), "lose-acks 0"), 0.2..1.0),
        _ => (switch("hold-hw on".to_owned(), "hold-hw off"), 0.2..4.0),
    }
}

/// Everything that runs.
struct World {
    network: Network,
    broker_node: Node,
    broker: Option<Broker>,
    gateways: Vec<Gateway>,
    routes: Vec<Routes>,
    fleets: Vec<Arc<Fleet>>,
    collectors: Vec<Collector>,
    /// By topic.
    evictions: Vec<Vec<Eviction>>,
}

impl World {
    async fn start(report: &Report, round: &Round) -> anyhow::Result<Self> {
        let network = Network::get()?;
        let broker_node = network.node(BROKER)?;
        let dir = report.dir();
        let names = TOPICS.map(|partitions| {
            let name = format!("chaos-{}-{}-{partitions}", std::process::id(), round.seed);
            (name, partitions)
        });
        let (broker, address) = if let Some(address) = &round.fluvio {
            for (name, partitions) in &names {
                topic::create(address, name, *partitions).await?;
            }
            (None, address.clone())
        } else {
            let topics = names.each_ref().map(|(n, p)| format!("{n}:{p}"));
            let topics = topics.each_ref().map(String::as_str);
            let broker = Broker::start(dir, (network, broker_node), &topics)?;
            let address = broker.address.clone();
            (Some(broker), address)
        };
        let mut world = Self {
            network,
            broker_node,
            broker,
            gateways: vec![],
            routes: vec![],
            fleets: vec![],
            collectors: vec![],
            evictions: vec![vec![]; TOPICS.len()],
        };
        for (topic, (name, partitions)) in names.iter().enumerate() {
            let recorded = (0..clients()).map(|client| {
                let temper = KINDS[client % KINDS.len()];
                route(&name_of(client), mask(client), temper.resume())
            });
            let storm =
                (0..STORM).map(|client| route(&format!("storm-{client}"), 1, Resume::Latest));
            let collected =
                collectors::subscriptions().map(|(name, mask, resume)| route(&name, mask, resume));
            let folder = dir.join(format!("routes-{topic}"));
            let all = recorded.chain(storm).chain(collected).collect();
            let routes = Routes::new(&folder, all)?;
            let mut doors = vec![];
            let target = FluvioTarget {
                address: address.clone(),
                topic: name.clone(),
            };
            for number in 0..GATEWAYS_PER_TOPIC {
                let mut more = vec![
                    format!("--routes-dir={}", routes.dir().display()),
                    "--handshakes-per-second=30".to_owned(),
                ];
                if number == 1 {
                    more.push("--max-lag-mib=1".to_owned());
                }
                let name = format!("gateway-{topic}-{number}");
                let node = network.node(FIRST_GATEWAY + world.gateways.len() as u8)?;
                let more = (&more[..], &[][..]);
                let mut gateway = Gateway::new(&name, (network, node), &target, more, dir)?;
                gateway.start()?;
                doors.push(gateway.door.clone());
                world.gateways.push(gateway);
            }
            for number in 0..COLLECTORS {
                let collector = Collector::start(dir, topic, number, doors.clone())?;
                world.collectors.push(collector);
            }
            world.routes.push(routes);
            world.fleets.push(Arc::new(Fleet {
                topic: target,
                partitions: *partitions as usize,
                doors,
                traffic: Arc::new(Traffic::default()),
                excuse: Excuse::default(),
            }));
        }
        Ok(world)
    }

    fn apply(&mut self, step: &Step<Fault>) -> anyhow::Result<()> {
        let begins = step.begins;
        match &step.fault {
            Fault::Gateway(number, fault) => self.gateways[*number].apply(*fault, begins)?,
            Fault::Storm(gateway, count) if begins => self.storm(*gateway, *count),
            Fault::Storm(..) => (),
            Fault::Routes(topic, fault) => self.change_routes(*topic, *fault, step)?,
            Fault::Collector(number, fault) => self.collectors[*number].apply(*fault, begins)?,
            Fault::Evict(topic, partition, kept) if begins => {
                self.evict(*topic, *partition, *kept)?;
            }
            Fault::Evict(..) => (),
            Fault::Cut(gateway, other, cut) => {
                let gateway = &self.gateways[*gateway];
                gateway.door.disturb();
                let other = match other {
                    Other::Broker => self.broker_node,
                    Other::Clients => CLIENTS,
                };
                self.cut(gateway.node, other, *cut, begins)?;
            }
            Fault::Link(gateway) => {
                let gateway = &self.gateways[*gateway];
                gateway.door.disturb();
                self.network.link(gateway.node, !begins)?;
            }
            Fault::CutProducers(cut) => self.cut(CLIENTS, self.broker_node, *cut, begins)?,
            Fault::KillBroker | Fault::PauseBroker | Fault::Broker(..) => {
                if let Some(broker) = &mut self.broker {
                    match &step.fault {
                        Fault::KillBroker if begins => broker.process.kill(),
                        Fault::KillBroker => drop(broker.process.start()?),
                        Fault::Broker(on, _) if begins => drop(broker.tell(on)?),
                        Fault::Broker(_, "") => (),
                        Fault::Broker(_, off) => drop(broker.tell(off)?),
                        _ => broker.pause(begins),
                    }
                }
            }
        }
        self.crash()
            .map_or(Ok(()), |crash| Err(anyhow::anyhow!(crash)))
    }

    fn cut(&self, one: Node, other: Node, cut: Cut, begins: bool) -> anyhow::Result<()> {
        let ways = cut.between((one, Side::Main), (other, Side::Main));
        ways.into_iter()
            .try_for_each(|way| self.network.cut((0, way), begins))
    }

    fn evict(&mut self, topic: usize, partition: usize, kept: u64) -> anyhow::Result<()> {
        let Some(broker) = &self.broker else {
            return Ok(());
        };
        let fleet = &self.fleets[topic];
        // As many as there are in a partition if devices were spread evenly.
        let end = fleet.traffic.next() / fleet.partitions as u64;
        let at = Instant::now();
        let name = &fleet.topic.topic;
        let left = broker.evict(name, partition, end.saturating_sub(kept))?;
        let eviction = left.map(|start| Eviction {
            partition,
            at,
            start,
        });
        self.evictions[topic].extend(eviction);
        Ok(())
    }

    /// What each topic has and had.
    async fn logs(&self, dir: &Path) -> anyhow::Result<Vec<Log>> {
        let archive = self.broker.as_ref().map(|b| b.archive(dir)).transpose()?;
        let mut logs = vec![];
        for (fleet, evictions) in self.fleets.iter().zip(&self.evictions) {
            let FluvioTarget { address, topic } = &fleet.topic;
            let address = archive.as_ref().map_or(address, |(_, address)| address);
            let mut log = topic::read(address, topic).await?;
            log.evictions.clone_from(evictions);
            logs.push(log);
        }
        Ok(logs)
    }

    fn change_routes(
        &mut self,
        topic: usize,
        fault: RoutesFault,
        step: &Step<Fault>,
    ) -> anyhow::Result<()> {
        let routes = &mut self.routes[topic];
        self.fleets[topic].excuse.begin(step.lasts);
        match (fault, step.begins) {
            (RoutesFault::HalfWritten(number), true) => routes.tear(number),
            (RoutesFault::Removed(number), true) => routes.remove(number),
            (RoutesFault::Stray, true) => routes.stray(),
            (RoutesFault::Renewed, true) => routes.renew(),
            (RoutesFault::Suspended(number), on) => routes.suspend(number, on),
            (_, false) => routes.write(),
        }
    }

    /// Many clients that come at once and go soon.
    fn storm(&self, gateway: usize, count: usize) {
        let door = self.gateways[gateway].door.clone();
        for client in 0..count {
            let door = door.clone();
            tokio::spawn(async move {
                let Some(address) = door.address() else {
                    return;
                };
                let query = format!("stream_key={}", key(&format!("storm-{client}")));
                if let Ok(mut client) = Client::connect(&address, &query, false).await {
                    client.next(Duration::from_millis(500)).await;
                    client.leave().await;
                }
            });
        }
    }

    fn crash(&mut self) -> Option<String> {
        let gateways = self.gateways.iter_mut().map(|g| &mut g.process);
        let broker = self.broker.iter_mut().map(|b| &mut b.process);
        let collectors = self.collectors.iter_mut().map(|c| &mut c.process);
        let all = gateways.chain(broker).chain(collectors);
        all.into_iter().find_map(Process::crash)
    }
}

/// Every kind twice: at home and roaming.
fn clients() -> usize {
    2 * KINDS.len()
}

fn name_of(client: usize) -> String {
    let roams = if client < KINDS.len() { "" } else { "-roaming" };
    let temper = KINDS[client % KINDS.len()];
    format!("{temper:?}{roams}").to_lowercase()
}

/// Which devices a client wants to hear of: all, half of them, or one.
fn mask(client: usize) -> u8 {
    [0xff, 0x0f, 0xff, 0x3c, 0x02][client % 5]
}

fn recorders(world: &World, clients: &mut Clients, rng: &mut StdRng) {
    for (topic, fleet) in world.fleets.iter().enumerate() {
        for client in 0..self::clients() {
            let name = name_of(client);
            let temper = KINDS[client % KINDS.len()];
            let history = History {
                client: format!("{name} of topic {topic}"),
                contract: temper.contract(),
                interest: Interest::exactly(mask(client)),
                sessions: vec![],
            };
            let recorder = Recorder {
                fleet: fleet.clone(),
                key: key(&name),
                temper,
                roams: client >= KINDS.len(),
                home: rng.random_range(0..fleet.doors.len()),
                history: Arc::new(Mutex::new(history)),
                refusals: clients.refusals(),
                rng: StdRng::seed_from_u64(rng.random()),
                phase: clients.phase(),
            };
            clients.spawn(topic, recorder);
        }
    }
}

/// One round.
pub(crate) async fn run(round: Round) {
    let report = Report::new(round.clone());
    let mut rng = StdRng::seed_from_u64(round.seed);
    let mut world = report.expect("start", World::start(&report, &round).await);
    let clocks = world.gateways.iter().all(Gateway::has_clock);
    if !clocks {
        report
            .say("libfaketime is not installed: no clock is set (scripts/install.sh installs it)");
    }
    let length = round.faults();
    let steps = schedule(&mut rng, length, &world);
    let faults = steps.iter().filter(|s| s.begins).count();
    let mut clients = Clients::new();
    let mut guides = tokio::task::JoinSet::new();
    for collector in &mut world.collectors {
        let traffic = world.fleets[collector.topic].traffic.clone();
        let begun = collector.begun(|| traffic.next()).await;
        report.expect("a collector", begun);
        let rng = StdRng::seed_from_u64(rng.random());
        guides.spawn(collector.guide().run(rng, clients.phase()));
    }
    report.say("everything runs");
    let mut producers = tokio::task::JoinSet::new();
    for fleet in &world.fleets {
        let rng = StdRng::seed_from_u64(rng.random());
        let (traffic, phase) = (fleet.traffic.clone(), clients.phase());
        producers.spawn(traffic.run(fleet.topic.clone(), BATCH, rng, phase));
    }
    recorders(&world, &mut clients, &mut rng);
    report
        .carry_out(steps, length, |step| world.apply(step))
        .await;
    report.say("all is healed; waiting for what is left");
    clients.recover();
    producers.join_all().await;
    let logs = report.expect("reading the topics", world.logs(report.dir()).await);
    for (fleet, log) in world.fleets.iter().zip(&logs) {
        match fleet.traffic.check(log) {
            Ok(figures) => report.say(format!("{} partitions: {figures}", fleet.partitions)),
            Err(violation) => report.fail(violation),
        }
    }
    let stored = collectors::settle(&world.collectors, &report, &logs).await;
    let figures = clients.settle(&report, &logs).await;
    guides.join_all().await;
    report.say(format!(
        "{faults} faults; {figures}; {stored} events stored by collectors"
    ));
    for collector in &mut world.collectors {
        collector.process.terminate();
    }
    nothing_left(&report, &world.gateways).await;
    if let Some(crash) = world.crash() {
        report.fail(crash);
    }
    if let Some(address) = &round.fluvio {
        for fleet in &world.fleets {
            let events = &fleet.topic.topic;
            for topic in [events, &cursors_topic(events)] {
                report.expect("clean up", topic::delete(address, topic).await);
            }
        }
    }
}

//! Everything that runs in the data plane's round, and what is done to it.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use datastream_cli::FluvioTarget;
use datastream_e2e::Database;
use datastream_routing::Resume;

use super::schedule::{Fault, Other, RoutesFault};
use super::{GATEWAYS_PER_TOPIC, STORM, TOPICS, clients, mask, name_of};
use crate::broker::Broker;
use crate::checker::{Eviction, Log};
use crate::client::Client;
use crate::collectors::{self, COLLECTORS, Collector};
use crate::door::Excuse;
use crate::gateways::Gateway;
use crate::nemesis::Step;
use crate::network::{CLIENTS, Cut, Network, Node, Side};
use crate::process::Process;
use crate::recorder::Fleet;
use crate::report::Report;
use crate::routes::{Routes, key, route};
use crate::settings::Round;
use crate::shelf::SharedDatabase;
use crate::temper::KINDS;
use crate::topic;
use crate::traffic::Traffic;

const BROKER: u8 = 1;
/// The node of the first gateway; the others follow.
const FIRST_GATEWAY: u8 = 2;

/// Everything that runs.
pub(super) struct World {
    pub network: Network,
    broker_node: Node,
    pub broker: Option<Broker>,
    pub gateways: Vec<Gateway>,
    routes: Vec<Routes>,
    pub fleets: Vec<Arc<Fleet>>,
    pub collectors: Vec<Collector>,
    database: SharedDatabase,
    /// By topic.
    evictions: Vec<Vec<Eviction>>,
}

impl World {
    pub(super) async fn start(report: &Report, round: &Round) -> anyhow::Result<Self> {
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
            database: Arc::new(Mutex::new(Database::start()?)),
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
                let collector =
                    Collector::start(dir, topic, number, doors.clone(), &world.database)?;
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

    pub(super) fn apply(&mut self, step: &Step<Fault>) -> anyhow::Result<()> {
        let begins = step.begins;
        match &step.fault {
            Fault::Gateway(number, fault) => self.gateways[*number].apply(*fault, begins)?,
            Fault::Storm(gateway, count) if begins => self.storm(*gateway, *count),
            Fault::Storm(..) => (),
            Fault::Routes(topic, fault) => self.change_routes(*topic, *fault, step)?,
            Fault::Collector(number, fault) => self.collectors[*number].apply(*fault, begins)?,
            Fault::Database => {
                let mut database = self.database.lock().unwrap_or_else(PoisonError::into_inner);
                if begins {
                    database.crash();
                } else {
                    database.resume()?;
                }
            }
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
    pub(super) async fn logs(&self, dir: &Path) -> anyhow::Result<Vec<Log>> {
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

    pub(super) fn crash(&mut self) -> Option<String> {
        let gateways = self.gateways.iter_mut().map(|g| &mut g.process);
        let broker = self.broker.iter_mut().map(|b| &mut b.process);
        let collectors = self.collectors.iter_mut().map(|c| &mut c.process);
        let all = gateways.chain(broker).chain(collectors);
        all.into_iter().find_map(Process::crash)
    }
}

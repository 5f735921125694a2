//! Everything that runs in the data plane's round, and what is done to it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use datastream_e2e::Database;
use datastream_routing::Resume;
use datastream_source::fluvio::{FluvioCluster, FluvioTarget};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::time::sleep;

use super::schedule::{Fault, Other, RoutesFault};
use super::{GATEWAYS_PER_TOPIC, STORM, TOPICS, clients, mask, name_of};
use crate::attack::{self, ATTACKERS};
use crate::broker::Broker;
use crate::certificates::Certificates;
use crate::checker::{Eviction, Log};
use crate::client::Client;
use crate::client_profile::KINDS;
use crate::collectors::{self, COLLECTORS, Collector};
use crate::database::{self, DatabaseFault};
use crate::dialect::Dialect;
use crate::endpoint::Excuse;
use crate::gateways::Gateway;
use crate::nemesis::Step;
use crate::network::{CLIENTS, Cut, Network, Node, Side};
use crate::process::Process;
use crate::recorder::Environment;
use crate::report::Report;
use crate::routes::{Routes, key, route};
use crate::settings::Round;
use crate::stored_events::SharedDatabase;
use crate::topic;
use crate::traffic::Traffic;

const BROKER: u8 = 1;
/// Records of a batch that nobody can read.
const DAMAGED: u64 = 3;
/// The node of the first gateway; the others follow.
const FIRST_GATEWAY: u8 = 2;

/// Everything that runs.
pub(super) struct Harness {
    pub network: Network,
    certificates: Certificates,
    broker_node: Node,
    pub broker: Option<Broker>,
    pub gateways: Vec<Gateway>,
    routes: Vec<Routes>,
    pub environments: Vec<Arc<Environment>>,
    pub collectors: Vec<Collector>,
    database: SharedDatabase,
    /// The number of times that the tables were moved.
    moves: usize,
    /// Evictions by topic.
    evictions: Vec<Vec<Eviction>>,
    /// Partition and offset of records that cannot be read, by topic.
    unreadable: Vec<BTreeSet<(usize, u64)>>,
}

impl Harness {
    pub(super) async fn start(report: &Report, round: &Round) -> anyhow::Result<Self> {
        let network = Network::get()?;
        let broker_node = network.node(BROKER)?;
        let dir = report.dir();
        let names = TOPICS.map(|partitions| {
            let name = format!("chaos-{}-{}-{partitions}", std::process::id(), round.seed);
            (name, partitions)
        });
        let gateways = FIRST_GATEWAY..FIRST_GATEWAY + (TOPICS.len() * GATEWAYS_PER_TOPIC) as u8;
        let nodes = gateways.map(|number| network.node(number));
        let nodes = nodes
            .chain([Ok(broker_node)])
            .collect::<Result<Vec<_>, _>>()?;
        let addresses = nodes.iter().map(|node| network.ip(*node, Side::Main));
        let certificates = Certificates::new(dir, addresses.collect())?;
        // A round in two, the first one among them.
        let tls = (round.seed % 2 == 1).then_some(&certificates);
        let (broker, cluster) = if let Some(address) = &round.fluvio {
            for (name, partitions) in &names {
                topic::create(address, name, *partitions).await?;
            }
            (None, FluvioCluster::plain(address.as_str()))
        } else {
            let topics = names.each_ref().map(|(n, p)| format!("{n}:{p}"));
            let topics = topics.each_ref().map(String::as_str);
            let broker = Broker::start(dir, (network, broker_node), &topics, tls)?;
            let cluster = match tls {
                Some(certificates) => certificates.cluster(&broker.address)?,
                None => FluvioCluster::plain(broker.address.as_str()),
            };
            (Some(broker), cluster)
        };
        let of_client = tls.filter(|_| broker.is_some());
        let of_client = of_client.map(Certificates::of_client);
        let mut harness = Self {
            network,
            certificates,
            broker_node,
            broker,
            gateways: vec![],
            routes: vec![],
            environments: vec![],
            collectors: vec![],
            database: Arc::new(Mutex::new(Database::start()?)),
            moves: 0,
            evictions: vec![vec![]; TOPICS.len()],
            unreadable: vec![BTreeSet::new(); TOPICS.len()],
        };
        for (topic, (name, partitions)) in names.iter().enumerate() {
            let recorded = (0..clients()).map(|client| {
                let client_profile = KINDS[client % KINDS.len()];
                route(&name_of(client), mask(client), client_profile.resume())
            });
            let storm =
                (0..STORM).map(|client| route(&format!("storm-{client}"), 1, Resume::Latest));
            let attackers =
                (0..ATTACKERS).map(|number| route(&attack::name(number), 0xff, Resume::Latest));
            let collected =
                collectors::subscriptions().map(|(name, mask, resume)| route(&name, mask, resume));
            let folder = dir.join(format!("routes-{topic}"));
            let all = recorded
                .chain(storm)
                .chain(attackers)
                .chain(collected)
                .collect();
            let routes = Routes::new(&folder, all)?;
            let mut endpoints = vec![];
            let target = FluvioTarget::new(cluster.clone(), name.clone());
            for number in 0..GATEWAYS_PER_TOPIC {
                let mut more = vec![
                    format!("--routes-dir={}", routes.dir().display()),
                    "--handshakes-per-second=30".to_owned(),
                ];
                more.extend(of_client.iter().flatten().cloned());
                // One of a topic's gateways speaks TLS with its clients.
                let tls = (number == 1).then_some(&harness.certificates);
                if number == 1 {
                    more.push("--max-lag-mib=1".to_owned());
                }
                let name = format!("gateway-{topic}-{number}");
                let node = network.node(FIRST_GATEWAY + harness.gateways.len() as u8)?;
                let more = (&more[..], &[][..]);
                let mut gateway = Gateway::new(&name, (network, node), &target, more, tls, dir)?;
                gateway.start()?;
                endpoints.push(gateway.endpoint.clone());
                harness.gateways.push(gateway);
            }
            for number in 0..COLLECTORS {
                let own = network.is_own();
                let endpoints = endpoints.clone();
                let authority = harness.certificates.authority();
                let streams = (endpoints, authority.as_path());
                let collector =
                    Collector::start(dir, (topic, number), own, streams, &harness.database)?;
                harness.collectors.push(collector);
            }
            harness.routes.push(routes);
            harness.environments.push(Arc::new(Environment {
                topic: target,
                partitions: *partitions as usize,
                endpoints,
                traffic: Arc::new(Traffic::default()),
                excuse: Excuse::default(),
            }));
        }
        Ok(harness)
    }

    pub(super) fn apply(&mut self, step: &Step<Fault>) -> anyhow::Result<()> {
        let begins = step.begins;
        match &step.fault {
            Fault::Gateway(number, fault) => {
                if !begins {
                    // Without its folder, a gateway does not start.
                    self.routes[number / GATEWAYS_PER_TOPIC].move_away(false)?;
                }
                self.gateways[*number].apply(*fault, begins)?;
            }
            Fault::Storm(gateway, count) if begins => self.storm(*gateway, *count),
            Fault::Storm(..) => (),
            Fault::Routes(topic, fault) => self.change_routes(*topic, *fault, step)?,
            Fault::Collector(number, fault) => self.collectors[*number].apply(*fault, begins)?,
            Fault::Database(fault) => self.change_database(*fault, begins)?,
            Fault::Attack(gateway, attack) if begins => {
                attack.begin(&self.gateways[*gateway].endpoint, step.lasts);
            }
            Fault::Attack(..) => (),
            Fault::Damage(topic, partition, kind) if begins => {
                self.damage(*topic, *partition, kind)?;
            }
            Fault::Damage(..) => (),
            Fault::RenewCertificates if begins => self.certificates.renew()?,
            Fault::RenewCertificates => (),
            Fault::RuinJournal(seed) => self.ruin_journal(*seed, begins)?,
            Fault::Evict(topic, partition, kept) if begins => {
                self.evict(*topic, *partition, *kept)?;
            }
            Fault::Evict(..) => (),
            Fault::Cut(gateway, other, cut) => {
                let gateway = &self.gateways[*gateway];
                gateway.endpoint.disturb();
                let other = match other {
                    Other::Broker => self.broker_node,
                    Other::Clients => CLIENTS,
                };
                self.cut(gateway.node, other, *cut, begins)?;
            }
            Fault::Link(gateway) => {
                let gateway = &self.gateways[*gateway];
                gateway.endpoint.disturb();
                self.network.link(gateway.node, !begins)?;
            }
            Fault::CutProducers(cut) => self.cut(CLIENTS, self.broker_node, *cut, begins)?,
            Fault::KillBroker | Fault::PauseBroker | Fault::Broker(..) => {
                if let Some(broker) = &mut self.broker {
                    match &step.fault {
                        Fault::KillBroker if begins => broker.process.kill(),
                        Fault::KillBroker => drop(broker.process.start()?),
                        Fault::Broker(on, _) if begins => drop(broker.command(on)?),
                        Fault::Broker(_, "") => (),
                        Fault::Broker(_, off) => drop(broker.command(off)?),
                        _ => broker.pause(begins),
                    }
                }
            }
        }
        self.crash()
            .map_or(Ok(()), |crash| Err(anyhow::anyhow!(crash)))
    }

    /// Makes tables reject some events from now on.
    pub(super) fn refuse_some(&self) -> anyhow::Result<()> {
        database::refuse_some(&self.database, TOPICS.len())
    }

    fn change_database(&mut self, fault: DatabaseFault, begins: bool) -> anyhow::Result<()> {
        let topics = TOPICS.len();
        fault.apply(&self.database, (topics, self.moves), begins)?;
        if fault == DatabaseFault::Move && begins {
            for collector in &mut self.collectors {
                collector.table_moved(self.moves);
            }
            self.moves += 1;
        }
        Ok(())
    }

    /// Puts a batch into a topic that nobody can read.
    fn damage(&mut self, topic: usize, partition: usize, kind: &str) -> anyhow::Result<()> {
        let Some(broker) = &self.broker else {
            return Ok(());
        };
        let name = &self.environments[topic].topic.topic;
        // A broker that says it does not lead the partition takes nothing.
        let answer = broker.command(&format!("damage {name} {partition} {kind}"));
        if let Some(first) = answer.ok().flatten() {
            let first: u64 = first.parse()?;
            self.unreadable[topic].extend((first..first + DAMAGED).map(|o| (partition, o)));
        }
        Ok(())
    }

    /// Kills the broker, destroys a batch in its journal, and starts it again at the end.
    fn ruin_journal(&mut self, seed: u64, begins: bool) -> anyhow::Result<()> {
        let Some(broker) = &mut self.broker else {
            return Ok(());
        };
        if !begins {
            return broker.process.start().map(drop);
        }
        broker.process.kill();
        let topics: Vec<_> = self
            .environments
            .iter()
            .map(|f| f.topic.topic.as_str())
            .collect();
        broker
            .ruin(&topics, &mut StdRng::seed_from_u64(seed))
            .map(drop)
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
        let environment = &self.environments[topic];
        // As many as there are in a partition if devices were spread evenly.
        let end = environment.traffic.next() / environment.partitions as u64;
        let at = Instant::now();
        let name = &environment.topic.topic;
        let left = broker.evict(name, partition, end.saturating_sub(kept))?;
        let eviction = left.map(|start| Eviction {
            partition,
            at,
            start,
        });
        self.evictions[topic].extend(eviction);
        Ok(())
    }

    /// Reads what each topic has and had.
    pub(super) async fn logs(&self, dir: &Path) -> anyhow::Result<Vec<Log>> {
        if let Some(broker) = &self.broker {
            // A request of a producer that gave up may be on its way yet: nothing may come behind what is read here.
            broker.command("drop unit")?;
            sleep(Duration::from_millis(500)).await;
        }
        let archives = self.broker.as_ref().map(|b| b.archives(dir)).transpose()?;
        let mut logs = vec![];
        for (number, environment) in self.environments.iter().enumerate() {
            let FluvioTarget { cluster, topic } = &environment.topic;
            let mut read = vec![];
            match &archives {
                None => read.push(topic::read(cluster.clone(), topic).await?),
                Some(archives) => {
                    for (_, address) in archives {
                        read.push(topic::read(address.as_str(), topic).await?);
                    }
                }
            }
            let mut log = topic::join(&read, &self.unreadable[number])?;
            log.evictions.clone_from(&self.evictions[number]);
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
        self.environments[topic].excuse.begin(step.lasts);
        match (fault, step.begins) {
            (RoutesFault::HalfWritten(number), true) => routes.tear(number),
            (RoutesFault::Removed(number), true) => routes.remove(number),
            (RoutesFault::Stray, true) => routes.stray(),
            (RoutesFault::Renewed, true) => routes.renew(),
            (RoutesFault::Suspended(number), on) => routes.suspend(number, on),
            (RoutesFault::Moved, on) => routes.move_away(on),
            (RoutesFault::Odd, true) => routes.odd(),
            (_, false) => routes.write(),
        }
    }

    /// Many clients that come at once and go soon.
    fn storm(&self, gateway: usize, count: usize) {
        let endpoint = self.gateways[gateway].endpoint.clone();
        for client in 0..count {
            let endpoint = endpoint.clone();
            tokio::spawn(async move {
                let Some(door) = endpoint.door() else {
                    return;
                };
                let query = format!("stream_key={}", key(&format!("storm-{client}")));
                if let Ok(mut client) = Client::connect(&door, &query, Dialect::Dss, false).await {
                    client.next(Duration::from_millis(500)).await;
                    client.leave().await;
                }
            });
        }
    }

    pub(super) fn crash(&mut self) -> Option<String> {
        for (number, gateway) in self.gateways.iter_mut().enumerate() {
            let Some(log) = gateway.process.crash() else {
                continue;
            };
            // Its folder was moved away while it started; Kubernetes would start it again.
            let routes = &self.routes[number / GATEWAYS_PER_TOPIC];
            let mut again = || routes.move_away(false).and_then(|()| gateway.start());
            if !log.contains("the source of routes failed") || again().is_err() {
                return Some(log);
            }
        }
        let broker = self.broker.iter_mut().map(|b| &mut b.process);
        let collectors = self.collectors.iter_mut().map(|c| &mut c.process);
        broker.chain(collectors).find_map(Process::crash)
    }
}

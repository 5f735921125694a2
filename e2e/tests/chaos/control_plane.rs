//! The control plane: a real API server, operators and gateways that reach it through a proxy each, subscriptions that
//! come, change and go all the time. In the end everything must be as the subscriptions say.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use datastream_cli::FluvioTarget;
use datastream_cli::producer::Producer;
use datastream_e2e::{ControlPlane, Launch, own_program};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::{Instant, sleep};

use crate::api_proxy::{Mode, Proxy};
use crate::broker::Broker;
use crate::checker::{History, Interest};
use crate::client::{Client, Heard, Refusal};
use crate::door::Excuse;
use crate::gateways::{Gateway, GatewayFault};
use crate::nemesis::{Step, merge, timeline};
use crate::network::{CLIENTS, Network, Side};
use crate::process::Process;
use crate::recorder::{Fleet, Recorder};
use crate::report::Report;
use crate::settings::Round;
use crate::settle::{Clients, nothing_left};
use crate::subscriptions::{Subscriptions, Wanted};
use crate::temper::Temper;
use crate::topic;
use crate::traffic::{self, Traffic};

const NAMESPACE: &str = "datastream-system";
const TOPIC: &str = "device-events";
const OPERATORS: usize = 2;
const GATEWAYS: usize = 2;
const BROKER: u8 = 1;
/// The node of the first gateway; the others follow.
const FIRST_GATEWAY: u8 = 2;
const BATCH: u64 = 6;
const PATIENCE: Duration = Duration::from_mins(2);

/// Clients of subscriptions that stay as they are.
const STABLE: [(Temper, u8); 5] = [
    (Temper::Steady, 0xff),
    (Temper::Steady, 0x11),
    (Temper::Flapping, 0xff),
    (Temper::Replaying, 0x0f),
    (Temper::Slow, 0x33),
];
/// The client of one whose filter is widened and narrowed all the time: devices that it always has, and at most.
const EDITED: (&str, u8, u8) = ("edited", 0x0f, 0x7f);
/// Subscriptions that come and go.
const CHURN: usize = 6;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Fault {
    /// Of the proxy of this program, operators first.
    Api(usize, Mode),
    KillOperator(usize),
    PauseOperator(usize),
    Gateway(usize, GatewayFault),
    RestartApiServer,
    /// A subscription that comes or changes, is suspended, or goes.
    Change(usize, u8, bool),
    Delete(usize),
    Edit(u8),
}

fn schedule(rng: &mut StdRng, length: Duration, clocks: bool) -> Vec<Step<Fault>> {
    let mut lines = vec![];
    for program in 0..OPERATORS + GATEWAYS {
        lines.push(timeline(rng, length, 1.0..6.0, |rng| {
            let (mode, lasts) = match rng.random_range(0..8) {
                0 => (Mode::Status(500), 0.5..4.0),
                1 => (Mode::Status(503), 0.5..4.0),
                2 => (Mode::Status(429), 0.5..4.0),
                3 | 4 => (Mode::Gone, 0.2..3.0),
                5 => (Mode::Stall, 0.5..8.0),
                6 => (Mode::Cut, 0.1..4.0),
                _ => (Mode::Delay(rng.random_range(50..1500)), 1.0..5.0),
            };
            (Fault::Api(program, mode), lasts)
        }));
    }
    for operator in 0..OPERATORS {
        lines.push(timeline(rng, length, 6.0..14.0, |rng| {
            if rng.random_bool(0.6) {
                (Fault::KillOperator(operator), 0.2..3.0)
            } else {
                (Fault::PauseOperator(operator), 0.5..8.0)
            }
        }));
    }
    for gateway in 0..GATEWAYS {
        lines.push(timeline(rng, length, 5.0..12.0, |rng| {
            let (fault, lasts) = match rng.random_range(0..if clocks { 4 } else { 3 }) {
                0 => (GatewayFault::Kill, 0.2..2.0),
                1 => (GatewayFault::Terminate, 2.5..4.0),
                2 => (GatewayFault::Pause, 0.2..5.0),
                _ => (
                    GatewayFault::Clock(rng.random_range(-90_000..90_000)),
                    0.5..6.0,
                ),
            };
            (Fault::Gateway(gateway, fault), lasts)
        }));
    }
    for subscription in 0..CHURN {
        lines.push(timeline(rng, length, 1.0..6.0, |rng| {
            let fault = match rng.random_range(0..4) {
                0 => Fault::Delete(subscription),
                _ => Fault::Change(
                    subscription,
                    rng.random_range(1..=255),
                    rng.random_bool(0.2),
                ),
            };
            (fault, 0.0..0.01)
        }));
    }
    lines.push(timeline(rng, length, 2.0..6.0, |rng| {
        let devices = EDITED.1 | (rng.random_range(0..=255) & EDITED.2);
        (Fault::Edit(devices), 0.0..0.01)
    }));
    let middle = length.mul_f64(0.4).as_secs_f64();
    lines.push(timeline(rng, length, middle..middle + 1.0, |_| {
        (Fault::RestartApiServer, 0.2..2.0)
    }));
    merge(lines)
}

struct World {
    subscriptions: Subscriptions,
    broker: Broker,
    operators: Vec<Process>,
    gateways: Vec<Gateway>,
    /// One for each operator, then one for each gateway.
    proxies: Vec<Proxy>,
    fleet: Arc<Fleet>,
    /// How often an operator ended as it should: it lost its Lease, or found no API server at its start.
    ended: usize,
}

impl World {
    async fn start(dir: &Path) -> anyhow::Result<Self> {
        // May be there from another test of this process.
        let _ = datastream_service::process::install_tls_provider();
        let network = Network::get()?;
        let broker_node = network.node(BROKER)?;
        let broker = Broker::start(dir, (network, broker_node), &[&format!("{TOPIC}:1")])?;
        let topic = FluvioTarget {
            address: broker.address.clone(),
            topic: TOPIC.to_owned(),
        };
        let mut cluster = ControlPlane::start()?;
        cluster.install(NAMESPACE)?;
        // Deletes the Secrets of subscriptions that are deleted.
        cluster.start_garbage_collector()?;
        let (mut operators, mut gateways, mut proxies) = (vec![], vec![], vec![]);
        for number in 0..OPERATORS {
            let name = format!("operator-{number}");
            let proxy = proxy(&cluster, "datastream-operator", &name, dir).await?;
            let args = [
                "run".to_owned(),
                format!("--routes-namespace={NAMESPACE}"),
                "--groups=default=ws://datastream.test/stream".to_owned(),
                "--listen=127.0.0.1:0".to_owned(),
                format!("--identity={name}"),
            ];
            let launch = Launch::new(own_program("datastream-operator")?, args);
            let launch = launch.env("KUBECONFIG", &proxy.kubeconfig);
            let mut operator = Process::new(name, launch, dir);
            operator.start()?;
            operators.push(operator);
            proxies.push(proxy);
        }
        for number in 0..GATEWAYS {
            let name = format!("gateway-{number}");
            let proxy = proxy(&cluster, "datastream-gateway", &name, dir).await?;
            let more = [
                format!("--routes-namespace={NAMESPACE}"),
                format!("--pod={name}"),
            ];
            let node = network.node(FIRST_GATEWAY + number as u8)?;
            let env = [("KUBECONFIG", proxy.kubeconfig.clone())];
            let more = (&more[..], &env[..]);
            let mut gateway = Gateway::new(&name, (network, node), &topic, more, dir)?;
            gateway.start()?;
            gateways.push(gateway);
            proxies.push(proxy);
        }
        let fleet = Fleet {
            topic,
            partitions: 1,
            doors: gateways.iter().map(|g| g.door.clone()).collect(),
            traffic: Arc::new(Traffic::default()),
            excuse: Excuse::default(),
        };
        Ok(Self {
            subscriptions: Subscriptions::new(cluster, dir.to_owned()),
            broker,
            operators,
            gateways,
            proxies,
            fleet: Arc::new(fleet),
            ended: 0,
        })
    }

    fn apply(&mut self, step: &Step<Fault>) -> anyhow::Result<()> {
        let begins = step.begins;
        match step.fault {
            Fault::Api(program, mode) => {
                self.proxies[program].set(if begins { mode } else { Mode::Clear });
            }
            Fault::KillOperator(number) if begins => self.operators[number].kill(),
            Fault::KillOperator(number) => self.operators[number].launch()?,
            Fault::PauseOperator(number) => self.operators[number].pause(begins),
            Fault::Gateway(number, fault) => self.gateways[number].apply(fault, begins)?,
            Fault::RestartApiServer if self.subscriptions.cluster.is_own() => {
                let cluster = &mut self.subscriptions.cluster;
                if begins {
                    cluster.stop_api_server()?;
                } else {
                    cluster.start_api_server()?;
                }
            }
            Fault::Change(number, devices, suspended) if begins => {
                let wanted = Wanted { devices, suspended };
                self.subscriptions.want(&churn(number), Some(wanted))?;
            }
            Fault::Delete(number) if begins => self.subscriptions.want(&churn(number), None)?,
            Fault::Edit(devices) if begins => {
                let wanted = Wanted {
                    devices,
                    suspended: false,
                };
                self.subscriptions.want(EDITED.0, Some(wanted))?;
            }
            _ => (),
        }
        self.watch()
    }

    /// An operator ends by itself when it loses its Lease or finds no API server; Kubernetes starts it again.
    fn watch(&mut self) -> anyhow::Result<()> {
        for number in 0..self.operators.len() {
            if let Some(log) = self.operators[number].crash() {
                anyhow::ensure!(!log.contains("panicked"), "{log}");
                self.ended += 1;
                self.operators[number].launch()?;
            }
        }
        let processes = self.gateways.iter_mut().map(|g| &mut g.process);
        let crash = processes
            .chain([&mut self.broker.process])
            .find_map(Process::crash);
        crash.map_or(Ok(()), |crash| Err(anyhow::anyhow!(crash)))
    }

    fn heal(&mut self) -> anyhow::Result<()> {
        for proxy in &self.proxies {
            proxy.set(Mode::Clear);
        }
        self.watch()?;
        self.subscriptions.insist()
    }
}

async fn proxy(
    cluster: &ControlPlane,
    account: &str,
    name: &str,
    dir: &Path,
) -> anyhow::Result<Proxy> {
    let kubeconfig = cluster.service_account(NAMESPACE, account)?;
    // At an address of its own, so that a gateway can be cut from it and not from clients.
    let listen = Network::get()?.any_port(CLIENTS, Side::Other);
    Proxy::start(&kubeconfig, dir.join(format!("{name}.kubeconfig")), &listen).await
}

fn churn(number: usize) -> String {
    format!("churn-{number}")
}

fn recorder(
    world: &World,
    clients: &Clients,
    rng: &mut StdRng,
    (name, temper): (&str, Temper),
    interest: Interest,
) -> anyhow::Result<Recorder> {
    let history = History {
        client: name.to_owned(),
        contract: temper.contract(),
        interest,
        sessions: vec![],
    };
    Ok(Recorder {
        fleet: world.fleet.clone(),
        key: world.subscriptions.key(name)?,
        temper,
        roams: true,
        home: 0,
        history: Arc::new(Mutex::new(history)),
        refusals: clients.refusals(),
        rng: StdRng::seed_from_u64(rng.random()),
        phase: clients.phase(),
    })
}

/// The subscriptions whose clients record.
fn recorded() -> Vec<(String, Temper, Interest)> {
    let stable = STABLE
        .iter()
        .enumerate()
        .map(|(number, (temper, devices))| {
            let interest = Interest::exactly(*devices);
            (format!("stable-{number}"), *temper, interest)
        });
    let (name, must, may) = EDITED;
    let edited = (name.to_owned(), Temper::Steady, Interest { must, may });
    stable.chain([edited]).collect()
}

/// One round.
pub(crate) async fn run(round: Round) {
    let report = Report::new(round.clone());
    let mut rng = StdRng::seed_from_u64(round.seed);
    let mut world = report.expect("start", World::start(report.dir()).await);
    let length = round.faults();
    let clocks = world.gateways.iter().all(Gateway::has_clock);
    let steps = schedule(&mut rng, length, clocks);
    let faults = steps.iter().filter(|s| s.begins).count();
    for (name, _, interest) in recorded() {
        let wanted = Wanted {
            devices: interest.must,
            suspended: false,
        };
        report.expect(&name, world.subscriptions.want(&name, Some(wanted)));
    }
    let mut clients = Clients::new();
    for (name, temper, interest) in recorded() {
        report.expect(&name, world.subscriptions.wait_ready(&name));
        let recorder = recorder(&world, &clients, &mut rng, (&name, temper), interest);
        clients.spawn(0, report.expect(&name, recorder));
    }
    report.say("everything runs");
    let producing = tokio::spawn({
        let (traffic, topic) = (world.fleet.traffic.clone(), world.fleet.topic.clone());
        let rng = StdRng::seed_from_u64(rng.random());
        traffic.run(topic, BATCH, rng, clients.phase())
    });
    report
        .carry_out(steps, length, |step| world.apply(step))
        .await;
    report.expect("healing", world.heal());
    report.say("all is healed; waiting for what is left");
    clients.recover();
    report.expect("the producer", producing.await.context("it panicked"));
    let log = topic::read(&world.fleet.topic.address, TOPIC).await;
    let log = report.expect("reading the topic", log);
    match world.fleet.traffic.check(&log) {
        Ok(figures) => report.say(figures),
        Err(violation) => report.fail(violation),
    }
    let figures = clients.settle(&report, &[log]).await;
    let converged = converge(&mut world).await;
    report.expect("convergence", converged);
    nothing_left(&report, &world.gateways).await;
    report.expect("the programs", world.watch());
    report.say(format!(
        "{faults} faults and changes, operators ended by themselves {} times; {figures}",
        world.ended
    ));
}

/// Every subscription is ready, and served by every gateway as it is now; deleted ones are served by none.
async fn converge(world: &mut World) -> anyhow::Result<()> {
    let wanted = world.subscriptions.wanted.clone();
    for (name, wanted) in wanted {
        let Some(wanted) = wanted else { continue };
        let deadline = Instant::now() + PATIENCE;
        // An operator that has just ended is started again.
        while let Err(error) = world.subscriptions.wait_ready(&name) {
            world.watch()?;
            anyhow::ensure!(Instant::now() < deadline, error);
        }
        let key = world.subscriptions.key(&name)?;
        for gateway in &world.gateways {
            let door = gateway.door.address().context("an address")?;
            if wanted.suspended {
                refused(&door, &key, 403).await?;
            } else {
                let exactly = exactly(world, &door, &key, wanted.devices).await;
                exactly.with_context(|| format!("{name} on {}", gateway.process.name))?;
            }
        }
    }
    for key in &world.subscriptions.revoked {
        for gateway in &world.gateways {
            refused(&gateway.door.address().context("an address")?, key, 401).await?;
        }
    }
    Ok(())
}

/// A client is refused with this status.
async fn refused(door: &str, key: &str, expected: u16) -> anyhow::Result<()> {
    match Client::connect(door, &format!("stream_key={key}"), false).await {
        Err(Refusal::Status(status, _)) if status == expected => Ok(()),
        other => anyhow::bail!("{:?} instead of {expected}", other.err()),
    }
}

/// A new stream gets exactly the events of these devices.
async fn exactly(world: &World, door: &str, key: &str, devices: u8) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let mut client = loop {
        match Client::connect(door, &format!("stream_key={key}&markers=1"), false).await {
            Ok(client) => break client,
            // The stream before may not have gone yet.
            Err(Refusal::Status(409 | 503, _) | Refusal::Unreachable) => (),
            Err(other) => anyhow::bail!("{other:?}"),
        }
        anyhow::ensure!(Instant::now() < deadline, "no stream");
        sleep(Duration::from_millis(50)).await;
    };
    let traffic = &world.fleet.traffic;
    let first = traffic.next();
    let mut producer = Producer::new(world.fleet.topic.clone());
    traffic.send(&mut producer, 40).await;
    let wants = |n: &u64| traffic::device(*n).is_some_and(|d| devices & (1 << d) != 0);
    let expected: Vec<_> = (first..traffic.next()).filter(wants).collect();
    let mut got = vec![];
    while got.len() < expected.len() && Instant::now() < deadline {
        match client.next(Duration::from_secs(10)).await {
            Heard::Heartbeat => client.answer().await,
            Heard::Frame(frame) => {
                let (_, body) = frame.split_once('|').context("a frame")?;
                let event = serde_json::from_str(body)?;
                // What was produced before it was live is not asked for, and a marker is no event.
                got.extend(
                    traffic::read_event(&event)
                        .map(|e| e.0)
                        .filter(|n| *n >= first),
                );
            }
            other => anyhow::bail!("{other:?} after {got:?} of {expected:?}"),
        }
    }
    client.leave().await;
    anyhow::ensure!(got == expected, "got {got:?} instead of {expected:?}");
    Ok(())
}

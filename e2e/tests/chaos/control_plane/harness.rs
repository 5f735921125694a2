//! Everything that runs in the control plane's round, and what is done to it.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use datastream_e2e::{ControlPlane, Launch, own_program};
use datastream_source::fluvio::FluvioTarget;
use serde_json::json;

use super::disruptions::Disruptions;
use super::meddling::Meddler;
use super::schedule::{Fault, Other};
use super::{DENIED, EDITED, GATEWAYS, OPERATORS};
use crate::api_proxy::{Mode, Proxy};
use crate::broker::Broker;
use crate::clock::Clock;
use crate::endpoint::Excuse;
use crate::gateways::Gateway;
use crate::nemesis::Step;
use crate::network::{CLIENTS, Cut, Network, Node, Side};
use crate::process::Process;
use crate::recorder::Environment;
use crate::records::{DEVICES, dsn};
use crate::subscriptions::{Subscriptions, Wanted};
use crate::traffic::Traffic;

pub(super) const NAMESPACE: &str = "datastream-system";
pub(super) const TOPIC: &str = "device-events";
const BROKER: u8 = 1;
/// The node of the first gateway; the others follow.
const FIRST_GATEWAY: u8 = 2;

pub(super) struct Harness {
    pub subscriptions: Subscriptions,
    network: Network,
    pub broker: Broker,
    broker_node: Node,
    pub operators: Vec<Process>,
    clocks: Vec<Option<Clock>>,
    meddler: Meddler,
    /// Ends of meddling that the API server did not take yet.
    unfinished: Vec<Step<Fault>>,
    pub gateways: Vec<Gateway>,
    /// One for each operator, then one for each gateway.
    proxies: Vec<Proxy>,
    pub environment: Arc<Environment>,
    /// Number of times that an operator ended as it should: it lost its Lease, or found no API server at its start.
    pub ended: usize,
    pub disruptions: Disruptions,
}

/// Allows everything, and denies the events of one device to everybody.
fn apply_access_rules(cluster: &ControlPlane, dir: &Path) -> anyhow::Result<()> {
    let rule = |name: &str, spec: serde_json::Value| {
        json!({
            "apiVersion": "datastream.dev/v1alpha1", "kind": "DatastreamAccessRule",
            "metadata": {"name": name}, "spec": spec,
        })
    };
    let denied = (0..DEVICES).filter(|device| DENIED & (1 << device) != 0);
    let denied: Vec<_> = denied.map(dsn).collect();
    let rules = [
        rule("everything", json!({"effect": "Allow"})),
        rule(
            "one-device",
            json!({"effect": "Deny", "filters": [{"dsns": denied}]}),
        ),
    ];
    let list = json!({"apiVersion": "v1", "kind": "List", "items": rules});
    let file = dir.join("access-rules.json");
    std::fs::write(&file, list.to_string())?;
    let file = file.to_str().context("a path")?;
    let applied = cluster.kubectl(&["apply", "-f", file])?;
    anyhow::ensure!(applied.success, "{}", applied.stderr);
    Ok(())
}

impl Harness {
    pub(super) async fn start(dir: &Path) -> anyhow::Result<Self> {
        // May be there from another test of this process.
        let _ = datastream_service::process::install_tls_provider();
        let network = Network::get()?;
        let broker_node = network.node(BROKER)?;
        let broker = Broker::start(dir, (network, broker_node), &[&format!("{TOPIC}:1")], None)?;
        let topic = FluvioTarget::new(broker.address.clone(), TOPIC);
        let mut cluster = ControlPlane::start()?;
        cluster.install(NAMESPACE)?;
        // One deletes the Secrets of subscriptions that are deleted, the other counts for quotas.
        cluster.start_only(&["garbage-collector-controller", "resourcequota-controller"])?;
        apply_access_rules(&cluster, dir)?;
        let mut clocks = vec![];
        let (mut operators, mut gateways, mut proxies) = (vec![], vec![], vec![]);
        for number in 0..OPERATORS {
            let name = format!("operator-{number}");
            let proxy = proxy(&cluster, "datastream-operator", &name, dir).await?;
            let args = [
                "run".to_owned(),
                format!("--routes-namespace={NAMESPACE}"),
                "--groups=default=ws://datastream.test/stream".to_owned(),
                "--access-rules=narrow".to_owned(),
                "--listen=127.0.0.1:0".to_owned(),
                format!("--identity={name}"),
            ];
            let launch = Launch::new(own_program("datastream-operator")?, args);
            let launch = launch.env("KUBECONFIG", &proxy.kubeconfig);
            let (clock, launch) = Clock::new(dir.join(format!("{name}.clock")), launch)?;
            clocks.push(clock);
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
            let mut gateway = Gateway::new(&name, (network, node), &topic, more, None, dir)?;
            gateway.start()?;
            gateways.push(gateway);
            proxies.push(proxy);
        }
        let environment = Environment {
            topic,
            partitions: 1,
            endpoints: gateways.iter().map(|g| g.endpoint.clone()).collect(),
            traffic: Arc::new(Traffic::default()),
            excuse: Excuse::default(),
        };
        Ok(Self {
            subscriptions: Subscriptions::new(cluster, dir.to_owned()),
            network,
            broker,
            broker_node,
            operators,
            clocks,
            meddler: Meddler::new(dir),
            unfinished: vec![],
            gateways,
            proxies,
            environment: Arc::new(environment),
            ended: 0,
            disruptions: Disruptions::default(),
        })
    }

    pub(super) fn apply(&mut self, step: &Step<Fault>) -> anyhow::Result<()> {
        let begins = step.begins;
        self.disruptions.note(step);
        match step.fault {
            Fault::Api(program, mode) => {
                self.proxies[program].set(if begins { mode } else { Mode::Clear });
            }
            Fault::KillOperator(number) if begins => self.operators[number].kill(),
            Fault::KillOperator(number) => self.operators[number].launch()?,
            Fault::OperatorClock(number, seconds) => {
                if let Some(clock) = &self.clocks[number] {
                    clock.step(if begins { seconds } else { 0 })?;
                }
            }
            Fault::Meddle(what) if begins => {
                self.meddler.begin(&self.subscriptions.cluster, what)?;
            }
            // Below.
            Fault::Meddle(_) => self.unfinished.push(step.clone()),
            Fault::Rekey(number) if begins => self.subscriptions.rekey(&churn(number))?,
            Fault::Freeze(number) if begins => self.subscriptions.freeze(&churn(number))?,
            Fault::Freeze(number) => self.subscriptions.rekey(&churn(number))?,
            Fault::PauseOperator(number) => self.operators[number].pause(begins),
            Fault::Gateway(number, fault) => self.gateways[number].apply(fault, begins)?,
            Fault::Cut(gateway, other, cut) => self.cut(gateway, other, cut, begins)?,
            Fault::Link(gateway) => {
                let gateway = &self.gateways[gateway];
                gateway.endpoint.disturb();
                self.network.link(gateway.node, !begins)?;
            }
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
                    devices: devices | DENIED,
                    suspended: false,
                };
                self.subscriptions.want(EDITED.0, Some(wanted))?;
            }
            _ => (),
        }
        self.watch()?;
        if !begins && !matches!(step.fault, Fault::Meddle(_)) {
            self.disruptions.end(step);
        }
        self.finish()
    }

    /// Undoes meddling that is over. It lasts for as long as the API server does not take that.
    fn finish(&mut self) -> anyhow::Result<()> {
        for step in std::mem::take(&mut self.unfinished) {
            let is_undone = match step.fault {
                Fault::Meddle(what) => self.meddler.end(&self.subscriptions.cluster, what)?,
                _ => true,
            };
            if is_undone {
                self.disruptions.end(&step);
            } else {
                self.unfinished.push(step);
            }
        }
        Ok(())
    }

    fn cut(&self, gateway: usize, other: Other, cut: Cut, begins: bool) -> anyhow::Result<()> {
        let one = &self.gateways[gateway];
        one.endpoint.disturb();
        let other = match other {
            Other::Api => (CLIENTS, Side::Other),
            Other::Clients => (CLIENTS, Side::Main),
            Other::Broker => (self.broker_node, Side::Main),
            Other::Gateway(other) => (self.gateways[other].node, Side::Main),
        };
        for way in cut.between((one.node, Side::Main), other) {
            // Two gateways may be cut from each other by two faults at once.
            self.network.cut((gateway, way), begins)?;
        }
        Ok(())
    }

    /// An operator ends by itself when it loses its Lease or finds no API server; Kubernetes starts it again.
    pub(super) fn watch(&mut self) -> anyhow::Result<()> {
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

    pub(super) fn heal(&mut self) -> anyhow::Result<()> {
        for proxy in &self.proxies {
            proxy.set(Mode::Clear);
        }
        self.watch()?;
        self.meddler.tidy(&self.subscriptions.cluster)?;
        self.finish()?;
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

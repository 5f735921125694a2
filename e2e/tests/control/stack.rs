//! The programs as processes on a control plane, with the rights that they ship with.

use std::time::{Duration, Instant};

use datastream_broker::{Broker, BrokerOptions};
use datastream_e2e::{ControlPlane, Launch, Program, own_program};
use datastream_source::fluvio::FluvioTarget;
use datastream_source::fluvio::producer::{Producer, Record};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const NAMESPACE: &str = "datastream-system";
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
const TOPIC: &str = "device-events";

/// A cluster, a broker, and the programs' definitions and rights.
pub(crate) struct Stack {
    pub(crate) cluster: ControlPlane,
    broker: Broker,
    dir: TempDir,
    started: usize,
    /// Log filter of programs, if it is not their own.
    filter: Option<&'static str>,
    /// The namespace of routing objects and Leases.
    pub(crate) routes: &'static str,
}

impl Stack {
    pub(crate) async fn start() -> Self {
        let broker = Broker::start(BrokerOptions::default()).await.unwrap();
        broker.create_topic(TOPIC, 1).unwrap();
        let cluster = ControlPlane::start().unwrap();
        let this = Self {
            cluster,
            broker,
            dir: tempfile::tempdir().unwrap(),
            started: 0,
            filter: None,
            routes: NAMESPACE,
        };
        this.cluster.install(NAMESPACE).unwrap();
        this
    }

    /// One whose routing objects are in a namespace of their own, which is made.
    pub(crate) async fn with_routes_in(routes: &'static str) -> Self {
        let mut this = Self::start().await;
        this.kubectl(&["create", "namespace", routes]);
        this.routes = routes;
        this
    }

    /// Runs kubectl, which must succeed.
    pub(crate) fn kubectl(&self, args: &[&str]) -> String {
        let output = self.cluster.kubectl(args).unwrap();
        assert!(output.success, "kubectl {args:?}: {}", output.stderr);
        output.stdout
    }

    /// Applies a manifest.
    pub(crate) fn apply(&self, manifest: &Value) {
        self.apply_text(&manifest.to_string());
    }

    /// Applies JSON or YAML.
    pub(crate) fn apply_text(&self, manifest: &str) {
        self.apply_with(&["apply", "-f"], manifest);
    }

    /// Applies JSON or YAML with this command, to which the file is added.
    pub(crate) fn apply_with(&self, command: &[&str], manifest: &str) {
        let file = self.dir.path().join("manifest.yaml");
        std::fs::write(&file, manifest).unwrap();
        let file = file.to_str().unwrap();
        self.kubectl(&[command, &[file]].concat());
    }

    /// Applies subscriptions `s0`, `s1`, … that all ask for the same, and waits until they are Ready.
    pub(crate) fn subscriptions(&self, count: usize, spec: &Value) {
        let items: Vec<_> = (0..count)
            .map(|number| super::subscription(&format!("s{number}"), spec))
            .collect();
        self.apply(&json!({"apiVersion": "v1", "kind": "List", "items": items}));
        let condition = "--for=condition=Ready";
        self.kubectl(&["wait", condition, "dss", "--all", "--timeout=60s"]);
    }

    /// Waits until kubectl says what is expected.
    pub(crate) fn eventually(&self, args: &[&str], expected: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let output = self.cluster.kubectl(args).unwrap();
            if expected(&output.stdout) {
                return output.stdout;
            }
            assert!(Instant::now() < deadline, "kubectl {args:?}: {output:?}");
        }
    }

    fn run(&mut self, program: &str, account: &str, args: &[String]) -> Program {
        let kubeconfig = self.cluster.service_account(NAMESPACE, account).unwrap();
        self.started += 1;
        let log = self
            .dir
            .path()
            .join(format!("{program}-{}.log", self.started));
        let launch = Launch::new(own_program(program).unwrap(), args.iter().cloned())
            .env("KUBECONFIG", kubeconfig);
        let launch = match self.filter {
            Some(filter) => launch.env("RUST_LOG", filter),
            None => launch,
        };
        Program::start(&launch, log).unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// Has programs that are started from now on log all that they can.
    pub(crate) fn log_everything(&mut self) {
        self.filter = Some("trace");
    }

    pub(crate) fn operator(&mut self, identity: &str) -> Program {
        self.operator_of(identity, "default=ws://datastream.test/stream")
    }

    /// An operator of these groups of gateways.
    pub(crate) fn operator_of(&mut self, identity: &str, groups: &str) -> Program {
        self.operator_with(identity, groups, &[])
    }

    pub(crate) fn operator_with(&mut self, identity: &str, groups: &str, more: &[&str]) -> Program {
        let own = [
            "run".to_owned(),
            format!("--routes-namespace={}", self.routes),
            format!("--groups={groups}"),
            "--listen=127.0.0.1:0".to_owned(),
            format!("--identity={identity}"),
        ];
        let more = more.iter().map(|arg| (*arg).to_owned());
        let args: Vec<_> = own.into_iter().chain(more).collect();
        self.run("datastream-operator", "datastream-operator", &args)
    }

    pub(crate) fn gateway(&mut self, pod: &str) -> Program {
        self.gateway_with(pod, &[])
    }

    pub(crate) fn gateway_with(&mut self, pod: &str, more: &[&str]) -> Program {
        let own = [
            "--listen=127.0.0.1:0".to_owned(),
            "--admin=127.0.0.1:0".to_owned(),
            format!("--fluvio={}", self.broker.address()),
            format!("--topic={TOPIC}"),
            format!("--routes-namespace={}", self.routes),
            format!("--pod={pod}"),
            "--drain-seconds=2".to_owned(),
        ];
        let more = more.iter().map(|arg| (*arg).to_owned());
        let args: Vec<_> = own.into_iter().chain(more).collect();
        self.run("datastream-gateway", "datastream-gateway", &args)
    }

    /// Puts events into the topic.
    pub(crate) async fn produce(&self, events: &[Value]) {
        let target = FluvioTarget::new(self.broker.address().to_string(), TOPIC);
        let records: Vec<_> = events
            .iter()
            .map(|event| Record {
                key: event["dsn"].as_str().unwrap_or_default().to_owned(),
                value: event.to_string().into_bytes(),
            })
            .collect();
        Producer::new(target).send(&records).await.unwrap();
    }

    /// The stream key in the Secret of a subscription.
    pub(crate) fn key(&self, subscription: &str) -> String {
        self.secret(subscription, "stream_key")
    }

    pub(crate) fn secret(&self, subscription: &str, field: &str) -> String {
        let template = format!("go-template={{{{.data.{field} | base64decode}}}}");
        let name = format!("{subscription}-stream-key");
        self.kubectl(&["get", "secret", &name, "-o", &template])
    }

    pub(crate) fn wait_ready(&self, subscription: &str) {
        let subscription = format!("dss/{subscription}");
        self.kubectl(&[
            "wait",
            "--for=condition=Ready",
            &subscription,
            "--timeout=60s",
        ]);
    }
}

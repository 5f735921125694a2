//! Everything that runs: a control plane, a broker, the operator and two gateways.

use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use datastream_broker::{Broker, BrokerOptions};
use datastream_e2e::{ControlPlane, Launch, Program, own_program};
use futures_util::StreamExt as _;
use hyper::Request;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{
    ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams,
};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::json;
use tempfile::TempDir;
use tokio::time::sleep;

use crate::api::Writes;
use crate::manifest::{generation_programmed, manifest, name};

const PATIENCE: Duration = Duration::from_mins(5);
pub(crate) const NAMESPACE: &str = "datastream-system";
const TOPIC: &str = "device-events";
/// Requests that the bench has under way at once.
pub(crate) const CONCURRENCY: usize = 32;

pub(crate) struct Harness {
    operator: Option<Program>,
    gateways: Vec<Program>,
    /// The addresses at which the gateways take streams.
    pub(crate) addresses: Vec<String>,
    client: Client,
    subscriptions: Api<DynamicObject>,
    secrets: Api<Secret>,
    cluster: ControlPlane,
    broker: Broker,
    dir: TempDir,
    started: usize,
}

impl Harness {
    pub(crate) async fn start() -> Self {
        let broker = Broker::start(BrokerOptions::default()).await.unwrap();
        broker.create_topic(TOPIC, 1).unwrap();
        let cluster = ControlPlane::start().unwrap();
        cluster.install(NAMESPACE).unwrap();
        let client = connect(&cluster).await;
        let mut harness = Self {
            operator: None,
            gateways: vec![],
            addresses: vec![],
            subscriptions: subscriptions(&client),
            secrets: Api::namespaced(client.clone(), "default"),
            client,
            cluster,
            broker,
            dir: tempfile::tempdir().unwrap(),
            started: 0,
        };
        for pod in ["gateway-0", "gateway-1"] {
            let args = [
                "--listen=127.0.0.1:0".to_owned(),
                "--admin=127.0.0.1:0".to_owned(),
                format!("--fluvio={}", harness.broker.address()),
                format!("--topic={TOPIC}"),
                format!("--routes-namespace={NAMESPACE}"),
                format!("--pod={pod}"),
            ];
            let gateway = harness.run("datastream-gateway", &args);
            harness
                .addresses
                .push(gateway.address("stream").unwrap().to_owned());
            harness.gateways.push(gateway);
        }
        harness.start_operator();
        harness
    }

    fn run(&mut self, program: &str, args: &[String]) -> Program {
        self.started += 1;
        let kubeconfig: PathBuf = self.cluster.service_account(NAMESPACE, program).unwrap();
        let log = self.dir.path().join(format!("{}.log", self.started));
        let launch = Launch::new(own_program(program).unwrap(), args.iter().cloned())
            .env("KUBECONFIG", kubeconfig);
        Program::start(&launch, log).unwrap()
    }

    fn start_operator(&mut self) {
        let args = [
            "run".to_owned(),
            format!("--routes-namespace={NAMESPACE}"),
            "--groups=default=ws://datastream.test/stream".to_owned(),
            "--listen=127.0.0.1:0".to_owned(),
        ];
        self.operator = Some(self.run("datastream-operator", &args));
    }

    pub(crate) fn operator_pid(&self) -> u32 {
        self.operator.as_ref().unwrap().server.pid().unwrap()
    }

    /// Ends the operator as Kubernetes does, and starts another.
    pub(crate) async fn restart_operator(&mut self) {
        let mut operator = self.operator.take().unwrap();
        operator.server.terminate();
        while !operator.server.has_ended() {
            sleep(Duration::from_millis(10)).await;
        }
        self.start_operator();
    }

    /// Waits until the operator has looked at this many subscriptions since its start.
    pub(crate) async fn reconciled(&self, count: usize) {
        let operator = self.operator.as_ref().unwrap();
        let deadline = Instant::now() + PATIENCE;
        let name = "datastream_operator_reconciles_total";
        while operator.metric("listen", name).unwrap() < count as f64 {
            assert!(Instant::now() < deadline, "{}", operator.log());
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Creates subscriptions, many at once.
    pub(crate) async fn create(&self, numbers: Range<usize>) {
        let create = |number: usize| {
            let subscription = serde_json::from_value(manifest(number)).unwrap();
            async move {
                let params = PostParams::default();
                let created = self.subscriptions.create(&params, &subscription);
                created.await.unwrap();
            }
        };
        let creations = futures_util::stream::iter(numbers.map(create));
        creations
            .buffer_unordered(CONCURRENCY)
            .for_each(async |()| ())
            .await;
    }

    /// Changes a subscription's filter; returns the new generation.
    pub(crate) async fn edit(&self, number: usize) -> i64 {
        let patch = json!({"spec": {"filters": [{"dsns": [format!("AC000W{number:09}")]}]}});
        let patch = Patch::Merge(&patch);
        let params = PatchParams::default();
        let name = name(number);
        let edited = self.subscriptions.patch(&name, &params, &patch);
        edited.await.unwrap().metadata.generation.unwrap()
    }

    /// Waits until every gateway serves this generation.
    pub(crate) async fn programmed(&self, number: usize, generation: i64) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.subscriptions.get(&name(number)).await.unwrap();
            if generation_programmed(&found.data["status"]) == Some(generation) {
                return;
            }
            assert!(Instant::now() < deadline, "{:?}", found.data["status"]);
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits until all subscriptions, this many, which are the first ones of the operator, are served by every gateway. Returns when
    /// they were. The operator's count of statuses says when it is worth looking: to list or to watch thousands takes as much of the API
    /// server as a tenth of what is measured.
    pub(crate) async fn all_programmed(&self, count: usize) -> Instant {
        let deadline = Instant::now() + PATIENCE;
        let operator = self.operator.as_ref().unwrap();
        let written = || operator.metric("listen", "datastream_operator_statuses_written_total");
        let mut least = count as f64;
        loop {
            let mut before = written().unwrap();
            while before < least {
                assert!(Instant::now() < deadline, "{}", operator.log());
                sleep(Duration::from_millis(50)).await;
                before = written().unwrap();
            }
            let at = Instant::now();
            let found = self.subscriptions.list(&ListParams::default()).await;
            let found = found.unwrap().items.into_iter();
            let done = found.filter(|found| {
                generation_programmed(&found.data["status"]) == found.metadata.generation
            });
            match count - done.count() {
                0 => return at,
                // Each of them takes one status more, at least.
                missing => least = before + missing as f64,
            }
        }
    }

    /// The key of a subscription, once it has one.
    pub(crate) async fn key(&self, number: usize) -> String {
        let deadline = Instant::now() + PATIENCE;
        let secret = format!("{}-stream-key", name(number));
        loop {
            if let Some(found) = self.secrets.get_opt(&secret).await.unwrap() {
                let key = found.data.unwrap().remove("stream_key").unwrap();
                return String::from_utf8(key.0).unwrap();
            }
            assert!(Instant::now() < deadline, "no Secret");
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits until nobody has written anything for some seconds.
    pub(crate) async fn quiet(&self) {
        let deadline = Instant::now() + PATIENCE;
        let mut before = None;
        loop {
            let writes = Some(self.writes().await);
            if writes == before {
                return;
            }
            before = writes;
            assert!(Instant::now() < deadline, "it never rests");
            sleep(Duration::from_secs(5)).await;
        }
    }

    /// Requests so far that changed something.
    pub(crate) async fn writes(&self) -> Writes {
        let request = Request::get("/metrics").body(vec![]).unwrap();
        Writes::of(&self.client.request_text(request).await.unwrap())
    }
}

/// A client of the administrator.
pub(crate) async fn connect(cluster: &ControlPlane) -> Client {
    let kubeconfig = Kubeconfig::read_from(cluster.kubeconfig()).unwrap();
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    Client::try_from(config.unwrap()).unwrap()
}

pub(crate) fn subscriptions(client: &Client) -> Api<DynamicObject> {
    let gvk = GroupVersionKind::gvk("datastream.dev", "v1alpha1", "DatastreamSubscription");
    Api::namespaced_with(client.clone(), "default", &ApiResource::from_gvk(&gvk))
}

//! The harness that every scenario finds: the chart installed, a broker that stands in for Fluvio, an ingress with TLS, two
//! tenants.

use std::time::Duration;

use anyhow::Context as _;
use datastream_e2e::chart;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::Endpoint;
use crate::events::Publisher;
use crate::ingress::{self, Certificate};
use crate::kubectl::Kubectl;
use crate::settings::{HOST, SYSTEM, TOPIC, image, registry, tags};

pub(crate) const TENANTS: [&str; 2] = ["team-a", "team-b"];

pub(crate) struct Harness {
    pub(crate) kubectl: Kubectl,
    /// The way to the streams.
    pub(crate) endpoint: Endpoint,
    /// The address of the broker, in the cluster.
    fluvio: String,
    /// The cluster was made for this test, on this machine.
    pub(crate) own: bool,
    _forward: Option<Forward>,
    _dir: TempDir,
}

impl Harness {
    pub(crate) async fn start() -> Self {
        Self::try_start()
            .await
            .unwrap_or_else(|error| panic!("{error:?}"))
    }

    async fn try_start() -> anyhow::Result<Self> {
        anyhow::ensure!(
            std::env::var_os("KUBECONFIG").is_some(),
            "KUBECONFIG names no cluster: run `make e2e`, which makes one, or set it"
        );
        let _ = datastream_service::process::install_tls_provider();
        let kubectl = Kubectl::new()?;
        let own = crate::access::log().is_some();
        for namespace in [SYSTEM, "fluvio", ingress::NAMESPACE]
            .iter()
            .chain(&TENANTS)
        {
            let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
            let labels = if *namespace == SYSTEM {
                labels
            } else {
                json!({})
            };
            kubectl.apply(&json!({
                "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels},
            }))?;
        }
        let fluvio = start_broker(&kubectl)?;
        let [tag, _] = tags();
        install(&kubectl, &fluvio, &tag, &[])?;
        let dir = tempfile::tempdir()?;
        let certificate = Certificate::new(dir.path(), HOST)?;
        ingress::start(&kubectl, &certificate)?;
        let (address, forward) = if own {
            let service = kubectl.get(&["service", "-n", ingress::NAMESPACE, "ingress"])?;
            let ip = service["spec"]["clusterIP"]
                .as_str()
                .context("an address")?;
            (format!("{ip}:443"), None)
        } else {
            let forward = Forward::start(&kubectl).await?;
            (forward.address.clone(), Some(forward))
        };
        Ok(Self {
            endpoint: Endpoint::new(address, &certificate.authority)?,
            kubectl,
            fluvio,
            own,
            _forward: forward,
            _dir: dir,
        })
    }

    /// Installs or upgrades the chart, with this tag of the images and more arguments, and waits until it runs.
    pub(crate) fn install(&self, tag: &str, more: &[&str]) -> anyhow::Result<()> {
        install(&self.kubectl, &self.fluvio, tag, more)
    }

    /// Applies a subscription.
    pub(crate) fn apply(&self, tenant: &str, name: &str, spec: &Value) -> anyhow::Result<()> {
        self.kubectl.apply(&json!({
            "apiVersion": "datastream.dev/v1alpha1", "kind": "DatastreamSubscription",
            "metadata": {"name": name, "namespace": tenant}, "spec": spec,
        }))
    }

    /// Applies a subscription and waits until it is ready.
    pub(crate) fn subscribe(&self, tenant: &str, name: &str, spec: &Value) -> anyhow::Result<()> {
        self.apply(tenant, name, spec)?;
        self.wait(tenant, name, "Ready")
    }

    /// Waits until a condition of a subscription is true.
    pub(crate) fn wait(&self, tenant: &str, name: &str, condition: &str) -> anyhow::Result<()> {
        let subscription = format!("dss/{name}");
        let condition = format!("--for=condition={condition}");
        let wait = ["wait", &condition, &subscription, "-n", tenant];
        self.kubectl
            .run(&[&wait[..], &["--timeout=60s", "--request-timeout=0"]].concat())
            .map(drop)
    }

    /// The stream key in a subscription's Secret.
    pub(crate) fn key(&self, tenant: &str, name: &str) -> anyhow::Result<String> {
        self.secret(tenant, name, "stream_key")
    }

    /// A field of a subscription's Secret.
    pub(crate) fn secret(&self, tenant: &str, name: &str, field: &str) -> anyhow::Result<String> {
        let template = format!("go-template={{{{.data.{field} | base64decode}}}}");
        let secret = format!("{name}-stream-key");
        self.kubectl
            .run(&["get", "secret", "-n", tenant, &secret, "-o", &template])
    }

    pub(crate) fn publisher(&self) -> anyhow::Result<Publisher> {
        Publisher::start(&self.kubectl, &self.fluvio, self.own)
    }

    /// Prints what somebody needs who wants to know why a scenario failed.
    pub(crate) fn describe(&self) {
        for args in [
            &["get", "pods", "-A", "-o", "wide"][..],
            &["get", "dss", "-A", "-o", "wide"],
            &["get", "events", "-A", "--sort-by=.lastTimestamp"],
            &[
                "logs",
                "-n",
                SYSTEM,
                "-l",
                "app.kubernetes.io/component=operator",
                "--tail=30",
                "--prefix",
            ],
            &[
                "logs",
                "-n",
                SYSTEM,
                "-l",
                "app.kubernetes.io/component=gateway",
                "--tail=30",
                "--prefix",
            ],
        ] {
            let said = self.kubectl.run(args);
            println!(
                "--- kubectl {}\n{}",
                args.join(" "),
                said.unwrap_or_else(|e| e.to_string())
            );
        }
    }
}

fn install(kubectl: &Kubectl, fluvio: &str, tag: &str, more: &[&str]) -> anyhow::Result<()> {
    let values = json!({
        "image": {"registry": registry(), "tag": tag},
        "fluvio": {"address": fluvio, "topic": TOPIC},
        "gateway": {
            "drainSeconds": 5,
            "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}},
            "ingress": {"enabled": true, "host": HOST, "className": "nginx"},
        },
        "operator": {"resources": {"requests": {"cpu": "10m", "memory": "32Mi"}}},
        "networkPolicy": {"fluvioPorts": [9010]},
    });
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), values.to_string())?;
    let file = file.path().display().to_string();
    let args = [
        "upgrade",
        "--install",
        "datastream",
        chart(),
        "--values",
        &file,
    ];
    kubectl.helm(&[&args[..], &["--wait", "--timeout", "2m"], more].concat())?;
    Ok(())
}

/// The embedded broker as a pod. Returns where it is.
fn start_broker(kubectl: &Kubectl) -> anyhow::Result<String> {
    let labels = json!({"app": "fluvio"});
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "fluvio", "namespace": "fluvio"},
        "spec": {"selector": labels, "ports": [{"name": "sc", "port": 9003}, {"name": "spu", "port": 9010}]},
    });
    kubectl.apply(&service)?;
    let service = kubectl.get(&["service", "-n", "fluvio", "fluvio"])?;
    // Its address and not its name: not every cluster of tests has a DNS.
    let ip = service["spec"]["clusterIP"]
        .as_str()
        .context("an address")?;
    kubectl.apply(&json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "fluvio", "namespace": "fluvio"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{
                    "name": "broker", "image": image("broker"), "imagePullPolicy": "IfNotPresent",
                    "args": [
                        "--listen=0.0.0.0:9003", "--unit-listen=0.0.0.0:9010", format!("--advertise={ip}"),
                        format!("--topic={TOPIC}:1"),
                    ],
                    "readinessProbe": {"tcpSocket": {"port": 9003}, "periodSeconds": 1},
                }]},
            },
        },
    }))?;
    kubectl.rolled_out("fluvio", "fluvio")?;
    Ok(format!("{ip}:9003"))
}

/// `kubectl port-forward` to the ingress of a cluster whose addresses cannot be reached.
struct Forward {
    process: std::process::Child,
    address: String,
}

impl Forward {
    async fn start(kubectl: &Kubectl) -> anyhow::Result<Self> {
        use std::io::BufRead as _;
        let mut process = std::process::Command::new("kubectl")
            .env("KUBECONFIG", kubectl.kubeconfig())
            .args([
                "port-forward",
                "-n",
                ingress::NAMESPACE,
                "service/ingress",
                ":443",
            ])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .context("kubectl port-forward")?;
        let stdout = process.stdout.take().context("its output is piped")?;
        let (said, hears) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let mut lines = std::io::BufReader::new(stdout)
                .lines()
                .map_while(Result::ok);
            let _ = said.send(lines.next());
            // It logs a line for each connection, and dies if nothing reads it.
            lines.for_each(drop);
        });
        let line = tokio::time::timeout(Duration::from_secs(30), hears).await??;
        let line = line.context("kubectl port-forward says where")?;
        // Forwarding from 127.0.0.1:40001 -> 8443
        let address = line
            .split_whitespace()
            .nth(2)
            .context("an address")?
            .to_owned();
        Ok(Self { process, address })
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

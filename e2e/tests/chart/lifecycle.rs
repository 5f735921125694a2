//! Install, upgrade, rollback and uninstall with Helm on a real API server. There is no kubelet: Deployments are made, and the
//! operator runs as a process, with the arguments of its Deployment.

use std::path::Path;
use std::time::{Duration, Instant};

use datastream_e2e::{ControlPlane, Helm, Launch, Program, chart, own_program};
use serde_json::Value;

use super::{helm_on, succeeded};

const NAMESPACE: &str = "chart-lifecycle";
const TEAM: &str = "chart-lifecycle-team";
const DEFINITION: &str = "crd/datastreamsubscriptions.datastream.dev";
const PATIENCE: Duration = Duration::from_mins(1);

struct Release {
    cluster: ControlPlane,
    helm: Helm,
    dir: tempfile::TempDir,
}

impl Release {
    fn start() -> Self {
        let cluster = ControlPlane::start().unwrap();
        let helm = helm_on(&cluster);
        let dir = tempfile::tempdir().unwrap();
        Self { cluster, helm, dir }
    }

    fn kubectl(&self, args: &[&str]) -> String {
        succeeded(self.cluster.kubectl(args).unwrap())
    }

    fn helm(&self, args: &[&str]) -> String {
        let args = [args, &["--namespace", NAMESPACE]].concat();
        succeeded(self.helm.run(&args).unwrap())
    }

    /// The chart as a package of this version.
    fn package(&self, version: &str) -> String {
        let dir = self.dir.path().to_str().unwrap();
        let args = [
            "package",
            chart(),
            "--version",
            version,
            "--app-version",
            version,
            "--destination",
            dir,
        ];
        succeeded(self.helm.run(&args).unwrap());
        let package = self.dir.path().join(format!("datastream-{version}.tgz"));
        package.to_str().unwrap().to_owned()
    }

    /// The operator as its Deployment wants it, under the account and the rights of the release.
    fn operator(&self) -> Program {
        let args = [
            "get",
            "deployment",
            "datastream-operator",
            "-n",
            NAMESPACE,
            "-o",
            "json",
        ];
        let deployment: Value = serde_json::from_str(&self.kubectl(&args)).unwrap();
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        let words = container["args"].as_array().unwrap().iter();
        let args = words.map(|word| word.as_str().unwrap().to_owned());
        let account = self
            .cluster
            .service_account(NAMESPACE, "datastream-operator")
            .unwrap();
        let mut launch = Launch::new(own_program("datastream-operator").unwrap(), args);
        launch = launch.env("KUBECONFIG", account);
        for variable in container["env"].as_array().unwrap() {
            let name = variable["name"].as_str().unwrap();
            let value = match (name, variable["value"].as_str()) {
                // There is one machine, and its ports may be taken.
                ("DATASTREAM_LISTEN", _) => "127.0.0.1:0",
                (_, Some(value)) => value,
                ("DATASTREAM_ROUTES_NAMESPACE" | "DATASTREAM_LEADER_NAMESPACE", None) => NAMESPACE,
                ("DATASTREAM_IDENTITY", None) => "operator-0",
                (other, None) => panic!("{other}"),
            };
            launch = launch.env(name, value);
        }
        let log = self.dir.path().join("operator.log");
        Program::start(&launch, log).unwrap_or_else(|error| panic!("{error:#}"))
    }

    fn subscribe(&self, name: &str, group: &str) {
        let file = self.dir.path().join("subscription.yaml");
        let text = format!(
            "apiVersion: datastream.dev/v1alpha1\nkind: DatastreamSubscription\nmetadata: {{name: {name}, namespace: {TEAM}}}\n\
             spec: {{eventTypes: [datapoint], gatewayGroup: {group}}}\n"
        );
        std::fs::write(&file, text).unwrap();
        self.kubectl(&["apply", "-f", file.to_str().unwrap()]);
        let subscription = format!("dss/{name}");
        self.kubectl(&[
            "wait",
            "--for=condition=Accepted",
            &subscription,
            "-n",
            TEAM,
            "--timeout=60s",
        ]);
    }

    /// The URL, with the key, in the Secret of a subscription.
    fn url(&self, subscription: &str) -> String {
        let name = format!("{subscription}-stream-key");
        let template = "go-template={{.data.url | base64decode}}";
        self.kubectl(&["get", "secret", &name, "-n", TEAM, "-o", template])
    }

    fn deployments(&self) -> String {
        self.kubectl(&["get", "deployments", "-n", NAMESPACE, "-o", "name"])
    }

    fn image(&self, deployment: &str) -> String {
        let path = "jsonpath={.spec.template.spec.containers[0].image}";
        self.kubectl(&["get", "deployment", deployment, "-n", NAMESPACE, "-o", path])
    }
}

const GATEWAY: &str = "deployment.apps/datastream-gateway\n";
const EU: &str = "deployment.apps/datastream-gateway-eu\n";
const OPERATOR: &str = "deployment.apps/datastream-operator\n";

#[test]
fn streams_keep_their_keys_through_upgrade_rollback_and_reinstallation() {
    let release = Release::start();
    let (old, new) = (release.package("0.1.0"), release.package("0.2.0"));
    release.kubectl(&["create", "namespace", TEAM]);
    let values = [
        "--set",
        "fluvio.address=fluvio:9003,image.registry=registry.test/iot",
        "--set",
        "gateway.streamUrl=wss://streams.test/stream",
    ];
    let notes = release.helm(
        &[
            &["install", "datastream", &old, "--create-namespace"],
            &values[..],
        ]
        .concat(),
    );
    assert!(
        notes.contains("kubectl apply -f -") && notes.contains("wait --for=condition=Ready"),
        "{notes}"
    );
    assert!(
        notes.contains("Streams of group default are at wss://streams.test/stream"),
        "{notes}"
    );
    release.kubectl(&[
        "wait",
        "--for=condition=Established",
        DEFINITION,
        "--timeout=30s",
    ]);
    assert_eq!(release.deployments(), format!("{GATEWAY}{OPERATOR}"));
    assert_eq!(
        release.image("datastream-operator"),
        "registry.test/iot/datastream-operator:0.1.0"
    );

    let operator = release.operator();
    release.subscribe("leds", "default");
    let url = release.url("leds");
    let key = url
        .strip_prefix("wss://streams.test/stream?stream_key=")
        .unwrap()
        .to_owned();
    assert_eq!(key.len(), 32, "{url}");
    drop(operator);

    // The next version, with one group more.
    let eu = [
        "--reuse-values",
        "--set",
        "gateways.eu.streamUrl=wss://eu.test/stream",
    ];
    release.helm(&[&["upgrade", "datastream", &new], &eu[..]].concat());
    assert_eq!(release.deployments(), format!("{GATEWAY}{EU}{OPERATOR}"));
    assert_eq!(
        release.image("datastream-gateway"),
        "registry.test/iot/datastream-gateway:0.2.0"
    );
    let operator = release.operator();
    release.subscribe("thermostats", "eu");
    assert!(
        release
            .url("thermostats")
            .starts_with("wss://eu.test/stream?stream_key=")
    );
    // The operator has seen it: what it would change, it has changed.
    assert_eq!(release.url("leds"), url);
    drop(operator);

    release.helm(&["rollback", "datastream", "1"]);
    assert_eq!(release.deployments(), format!("{GATEWAY}{OPERATOR}"));
    assert_eq!(
        release.image("datastream-operator"),
        "registry.test/iot/datastream-operator:0.1.0"
    );
    let operator = release.operator();
    release.subscribe("doors", "default");
    assert_eq!(release.url("leds"), url);
    drop(operator);

    // Uninstalled: what people asked for and what they were given stays.
    release.helm(&["uninstall", "datastream"]);
    let left = release.kubectl(&[
        "get",
        "all,networkpolicies,poddisruptionbudgets,roles,rolebindings",
        "-n",
        NAMESPACE,
        "-o",
        "name",
    ]);
    assert_eq!(left, "");
    assert_eq!(release.url("leds"), url);
    assert!(
        release
            .kubectl(&["get", "dss", "-n", TEAM, "-o", "name"])
            .contains("/leds")
    );
    release.helm(&[&["install", "datastream", &new], &values[..]].concat());
    let operator = release.operator();
    release.subscribe("windows", "default");
    assert_eq!(release.url("leds"), url);
    assert!(
        !operator.log().to_lowercase().contains("forbidden"),
        "{}",
        operator.log()
    );
    drop(operator);

    // Not kept: the definition goes, and everything with it.
    if release.cluster.is_own() {
        release.helm(&[
            "upgrade",
            "datastream",
            &new,
            "--reuse-values",
            "--set",
            "crds.keep=false",
        ]);
        release.helm(&["uninstall", "datastream"]);
        let deadline = Instant::now() + PATIENCE;
        while release
            .cluster
            .kubectl(&["get", DEFINITION])
            .unwrap()
            .success
        {
            assert!(Instant::now() < deadline, "the definition stays");
        }
    }
    for namespace in [NAMESPACE, TEAM] {
        release.kubectl(&["delete", "namespace", namespace, "--wait=false"]);
    }
}

/// The package as a user gets it.
#[test]
fn the_chart_package_has_every_file_but_its_tests() {
    let helm = Helm::new(None).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().to_str().unwrap();
    succeeded(
        helm.run(&["package", chart(), "--destination", to])
            .unwrap(),
    );
    let package = dir
        .path()
        .join(concat!("datastream-", env!("CARGO_PKG_VERSION"), ".tgz"));
    assert!(Path::new(&package).exists());
    let listed = std::process::Command::new("tar")
        .arg("-tzf")
        .arg(&package)
        .output()
        .unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    for file in [
        "values.schema.json",
        "README.md",
        "files/alerts.yaml",
        "files/dashboard.json",
        "files/datastreamsubscriptions.yaml",
    ] {
        assert!(listed.contains(file), "{file}: {listed}");
    }
    assert!(!listed.contains("/ci/"), "{listed}");
}

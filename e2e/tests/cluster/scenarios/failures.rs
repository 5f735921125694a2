//! Failures that happen to a cluster.

use std::process::Command;

use anyhow::Context as _;
use serde_json::json;

use crate::events::datapoint;
use crate::harness::Harness;
use crate::load::Load;
use crate::settings::{PATIENCE, SYSTEM};

const OPERATORS: [&str; 4] = ["-n", SYSTEM, "-l", "app.kubernetes.io/component=operator"];
const AT_ONCE: [&str; 2] = ["--grace-period=0", "--force"];

/// All replicas at once; then changes take effect again.
pub(super) async fn operator(harness: &mut Harness) -> anyhow::Result<()> {
    let load = Load::start(harness, "unled").await?;
    harness
        .kubectl
        .run(&[&["delete", "pods"], &OPERATORS[..], &AT_ONCE].concat())?;
    let connections = load.finish().await?;
    anyhow::ensure!(
        connections == 1,
        "a stream was dropped by the end of the operator"
    );
    harness.kubectl.rolled_out(SYSTEM, "datastream-operator")?;
    harness.subscribe("team-a", "after", &json!({"eventTypes": ["location"]}))
}

/// The gateway of a client that does not come back: its claim is cleared away.
pub(super) async fn gateway(harness: &mut Harness) -> anyhow::Result<()> {
    harness.subscribe("team-b", "leaver", &json!({"eventTypes": ["location"]}))?;
    let key = harness.key("team-b", "leaver")?;
    let _leaver = harness
        .endpoint
        .open_patiently(&format!("stream_key={key}"))
        .await?;
    let pod = [
        "get",
        "dss",
        "leaver",
        "-n",
        "team-b",
        "-o",
        "jsonpath={.status.connection.pod}",
    ];
    harness
        .kubectl
        .wait_for(&pod, |pod| !pod.is_empty())
        .await?;
    let pod = harness.kubectl.run(&pod)?;
    let load = Load::start(harness, "killed").await?;
    if harness.own {
        kill(&pod)?;
    } else {
        let delete = ["delete", "pod", "-n", SYSTEM, &pod];
        harness.kubectl.run(&[&delete[..], &AT_ONCE].concat())?;
    }
    harness.kubectl.rolled_out(SYSTEM, "datastream-gateway")?;
    load.finish().await?;
    Ok(())
}

/// Drains the only node, so that evicted pods have nowhere to go: after the first, the disruption budget holds the drain up.
pub(super) async fn drain(harness: &mut Harness) -> anyhow::Result<()> {
    if !harness.own {
        println!("  this cluster's nodes are not drained");
        return Ok(());
    }
    let load = Load::start(harness, "drained").await?;
    let nodes = harness.kubectl.get(&["nodes"])?;
    let node = nodes["items"][0]["metadata"]["name"]
        .as_str()
        .context("a node")?;
    let drain = [
        "drain",
        node,
        "--pod-selector=app.kubernetes.io/component=gateway",
        "--timeout=15s",
    ];
    let said = harness
        .kubectl
        .refused(&[&drain[..], &["--request-timeout=0"]].concat())?;
    anyhow::ensure!(
        said.contains("violate the pod's disruption budget"),
        "{said}"
    );
    let ready = [
        "get",
        "deployment",
        "-n",
        SYSTEM,
        "datastream-gateway",
        "-o",
        "jsonpath={.status.readyReplicas}/{.spec.replicas}",
    ];
    let ready_now = harness.kubectl.run(&ready)?;
    let (left, wanted) = ready_now.split_once('/').context("replicas")?;
    anyhow::ensure!(
        left.parse::<u32>()? + 1 == wanted.parse::<u32>()?,
        "{ready_now} are left"
    );
    harness.kubectl.run(&["uncordon", node])?;
    harness.kubectl.rolled_out(SYSTEM, "datastream-gateway")?;
    load.finish().await?;
    Ok(())
}

/// Streams continue, and clients may come and go, while there is none.
pub(super) async fn api_server(harness: &mut Harness) -> anyhow::Result<()> {
    if !harness.own {
        println!("  this cluster's API server is not stopped");
        return Ok(());
    }
    let load = Load::start(harness, "unserved").await?;
    harness.subscribe(
        "team-b",
        "visitor",
        &json!({"eventTypes": ["datapoint"], "filters": [{"oemModels": ["visited"]}]}),
    )?;
    let key = harness.key("team-b", "visitor")?;
    let killed = Command::new("pkill")
        .args(["-KILL", "-x", "kube-apiserver"])
        .status()?;
    anyhow::ensure!(killed.success(), "there is no API server to stop");
    let mut visitor = harness
        .endpoint
        .open_patiently(&format!("stream_key={key}&seq_start=1"))
        .await?;
    let mut publisher = harness.publisher()?;
    publisher.send(&datapoint("visited", 7))?;
    publisher.finish()?;
    anyhow::ensure!(visitor.numbers(1).await? == [7]);
    let begun = std::time::Instant::now();
    while harness.kubectl.run(&["get", "--raw", "/readyz"]).is_err() {
        anyhow::ensure!(
            begun.elapsed() < PATIENCE,
            "the API server does not come back"
        );
    }
    let connections = load.finish().await?;
    anyhow::ensure!(
        connections == 1,
        "a stream was dropped by the end of the API server"
    );
    harness.subscribe("team-b", "after", &json!({"eventTypes": ["location"]}))
}

/// SIGKILL for a pod's program: Kubernetes itself would ask it to end first.
fn kill(pod: &str) -> anyhow::Result<()> {
    let name = format!("DATASTREAM_POD={pod}");
    for process in std::fs::read_dir("/proc")? {
        let process = process?;
        let environment = std::fs::read(process.path().join("environ")).unwrap_or_default();
        if environment.split(|b| *b == 0).any(|v| v == name.as_bytes()) {
            let pid = process.file_name().display().to_string();
            anyhow::ensure!(
                Command::new("kill")
                    .args(["-KILL", &pid])
                    .status()?
                    .success()
            );
            return Ok(());
        }
    }
    anyhow::bail!("there is no process of {pod}")
}

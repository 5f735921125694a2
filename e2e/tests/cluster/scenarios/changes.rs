//! Changes that an operator of the platform makes on purpose.

use std::collections::BTreeMap;

use crate::harness::Harness;
use crate::load::Load;
use crate::settings::{SYSTEM, tags};

pub(super) async fn scale(harness: &mut Harness) -> anyhow::Result<()> {
    let [tag, _] = tags();
    let gateways = |count: usize| format!("gateway.replicas={count}");
    harness.install(&tag, &["--set", &gateways(1)])?;
    let mut load = Load::start(harness, "scaled").await?;
    let mut seen = 50;
    for (count, more) in [
        (3, "gateway.shedPerSecond=20"),
        (2, "gateway.shedPerSecond=20"),
    ] {
        harness.install(&tag, &["--set", &gateways(count), "--set", more])?;
        let ready = [
            "get",
            "deployment",
            "-n",
            SYSTEM,
            "datastream-gateway",
            "-o",
            "jsonpath={.status.readyReplicas}",
        ];
        harness
            .kubectl
            .wait_for(&ready, |n| n == count.to_string())
            .await?;
        seen += 150;
        load.flows(seen).await?;
    }
    let connections = load.finish().await?;
    anyhow::ensure!(connections > 1, "nobody had to move");
    Ok(())
}

pub(super) async fn rollout(harness: &mut Harness) -> anyhow::Result<()> {
    let [tag, next] = tags();
    harness.install(&tag, &["--set", "gateway.replicas=3"])?;
    let keys = stream_keys(harness)?;
    let load = Load::start(harness, "rolled").await?;
    harness.install(&next, &["--set", "gateway.replicas=3"])?;
    let connections = load.finish().await?;
    anyhow::ensure!(connections > 1, "nobody had to move");
    let image = [
        "get",
        "pods",
        "-n",
        SYSTEM,
        "-l",
        "app.kubernetes.io/component=gateway",
        "-o",
        "jsonpath={.items[*].spec.containers[*].image}",
    ];
    harness
        .kubectl
        .wait_for(&image, |images| {
            images.split(' ').all(|i| i.ends_with(&next))
        })
        .await?;
    let after = stream_keys(harness)?;
    for (subscription, key) in keys {
        anyhow::ensure!(
            after.get(&subscription) == Some(&key),
            "an upgrade changed the stream key of {subscription}"
        );
    }
    Ok(())
}

/// The stream key of every subscription, as it is in its Secret; not those of deleted subscriptions, whose Secrets go when the
/// garbage collector gets to them.
fn stream_keys(harness: &Harness) -> anyhow::Result<BTreeMap<String, String>> {
    let template =
        "go-template={{range .items}}{{.metadata.namespace}} {{.metadata.name}}\n{{end}}";
    let subscriptions = harness.kubectl.run(&["get", "dss", "-A", "-o", template])?;
    let subscriptions = subscriptions.lines().filter_map(|l| l.split_once(' '));
    subscriptions
        .map(|(namespace, name)| {
            let key = harness.key(namespace, name)?;
            Ok((format!("{namespace}/{name}"), key))
        })
        .collect()
}

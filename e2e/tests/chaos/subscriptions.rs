//! Subscriptions on the API server, as they should be.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::Context as _;
use datastream_e2e::ControlPlane;
use serde_json::json;

use crate::records::{DEVICES, dsn};

/// The state that a subscription should have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub devices: u8,
    pub suspended: bool,
}

/// The subscriptions of a run, and kubectl to make them so.
pub(crate) struct Subscriptions {
    pub cluster: ControlPlane,
    dir: PathBuf,
    /// Subscriptions as they should be; `None` if they should not exist.
    pub wanted: BTreeMap<String, Option<Wanted>>,
    /// Keys of subscriptions that were deleted.
    pub revoked: Vec<String>,
    /// Subscriptions whose Secret is immutable.
    frozen: BTreeSet<String>,
}

impl Subscriptions {
    pub(crate) fn new(cluster: ControlPlane, dir: PathBuf) -> Self {
        Self {
            cluster,
            dir,
            wanted: BTreeMap::new(),
            revoked: vec![],
            frozen: BTreeSet::new(),
        }
    }

    /// Wants a subscription to be so from now on, and tries to make it so. An API server that is away or refuses is no
    /// error: [`Subscriptions::insist`] tries again.
    pub(crate) fn want(&mut self, name: &str, wanted: Option<Wanted>) -> anyhow::Result<()> {
        if wanted.is_none() {
            self.revoked.extend(self.key(name).ok());
        }
        self.wanted.insert(name.to_owned(), wanted);
        self.make(name).map(|_| ())
    }

    /// Makes the Secret of a subscription immutable, if it is there.
    pub(crate) fn freeze(&mut self, name: &str) -> anyhow::Result<()> {
        self.frozen.insert(name.to_owned());
        let secret = format!("{name}-stream-key");
        let immutable = json!({"immutable": true}).to_string();
        self.run(&["patch", "secret", &secret, "-p", &immutable])
            .map(drop)
    }

    /// Deletes the Secret of a subscription: its key must end, and a new one be made.
    pub(crate) fn rekey(&mut self, name: &str) -> anyhow::Result<()> {
        let key = self.key(name).ok();
        let secret = format!("{name}-stream-key");
        let complaint = self.run(&["delete", "secret", &secret, "--ignore-not-found"])?;
        if complaint.is_empty() {
            self.revoked.extend(key);
            self.frozen.remove(name);
        }
        Ok(())
    }

    /// Makes everything as it should be.
    pub(crate) fn insist(&mut self) -> anyhow::Result<()> {
        for name in self.frozen.clone() {
            self.rekey(&name)?;
        }
        anyhow::ensure!(
            self.frozen.is_empty(),
            "immutable Secrets are left: {:?}",
            self.frozen
        );
        for name in self.wanted.keys() {
            let made = self.make(name)?;
            anyhow::ensure!(made.is_empty(), "{name}: {made}");
        }
        Ok(())
    }

    /// Makes the subscription as it should be. Returns kubectl's complaint, empty if there is none.
    fn make(&self, name: &str) -> anyhow::Result<String> {
        let Some(Some(wanted)) = self.wanted.get(name) else {
            return self.run(&["delete", "dss", name, "--ignore-not-found"]);
        };
        let dsns = (0..DEVICES).filter(|device| wanted.devices & (1 << device) != 0);
        let manifest = json!({
            "apiVersion": "datastream.dev/v1alpha1",
            "kind": "DatastreamSubscription",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {
                "eventTypes": ["datapoint", "datapointack"],
                "filters": [{"dsns": dsns.map(dsn).collect::<Vec<_>>()}],
                "suspended": wanted.suspended,
                "heartbeat": {"intervalSeconds": 5},
            },
        });
        let file = self.dir.join(format!("{name}.json"));
        std::fs::write(&file, manifest.to_string())?;
        self.run(&["apply", "-f", file.to_str().context("a path")?])
    }

    fn run(&self, args: &[&str]) -> anyhow::Result<String> {
        let output = self.cluster.kubectl(args)?;
        let complaint = (!output.success).then_some(output.stderr);
        Ok(complaint.unwrap_or_default())
    }

    /// Waits until a subscription says that it is ready, or served as suspended.
    pub(crate) fn wait_ready(&self, name: &str) -> anyhow::Result<()> {
        let wanted = self.wanted.get(name).and_then(Option::as_ref);
        let condition = if wanted.is_some_and(|wanted| wanted.suspended) {
            "--for=condition=Programmed"
        } else {
            "--for=condition=Ready"
        };
        let name = format!("dss/{name}");
        let wait = ["wait", condition, &name, "--timeout=20s"];
        let complaint = self.run(&wait)?;
        if !complaint.is_empty() {
            let described = self.cluster.kubectl(&["describe", &name])?.stdout;
            anyhow::bail!("{name} does not become ready: {complaint}\n{described}");
        }
        Ok(())
    }

    /// Its stream key.
    pub(crate) fn key(&self, name: &str) -> anyhow::Result<String> {
        let secret = format!("{name}-stream-key");
        let template = "go-template={{.data.stream_key | base64decode}}";
        let output = self
            .cluster
            .kubectl(&["get", "secret", &secret, "-o", template])?;
        anyhow::ensure!(output.success, "{}", output.stderr);
        Ok(output.stdout)
    }
}

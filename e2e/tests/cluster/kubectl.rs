//! kubectl and helm, as a user runs them.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use datastream_e2e::{ControlPlane, Helm};
use serde_json::Value;

use crate::settings::{PATIENCE, SYSTEM};

/// The cluster, from outside.
pub(crate) struct Kubectl {
    cluster: ControlPlane,
    helm: Helm,
}

impl Kubectl {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let cluster = ControlPlane::start()?;
        let helm = Helm::new(Some(cluster.kubeconfig()))?;
        Ok(Self { cluster, helm })
    }

    /// Runs kubectl; what it prints.
    pub(crate) fn run(&self, args: &[&str]) -> anyhow::Result<String> {
        let output = self.cluster.kubectl(args)?;
        anyhow::ensure!(output.success, "kubectl {args:?}: {}", output.stderr);
        Ok(output.stdout)
    }

    /// Runs kubectl, which must not succeed; what it says.
    pub(crate) fn refused(&self, args: &[&str]) -> anyhow::Result<String> {
        let output = self.cluster.kubectl(args)?;
        anyhow::ensure!(!output.success, "kubectl {args:?}: {}", output.stdout);
        Ok(output.stderr + &output.stdout)
    }

    /// An object as JSON.
    pub(crate) fn get(&self, args: &[&str]) -> anyhow::Result<Value> {
        let text = self.run(&[&["get", "-o", "json"], args].concat())?;
        serde_json::from_str(&text).context("kubectl prints JSON")
    }

    /// Applies objects.
    pub(crate) fn apply(&self, manifest: &Value) -> anyhow::Result<()> {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), manifest.to_string())?;
        let path = file.path().display().to_string();
        self.run(&["apply", "-f", &path]).map(drop)
    }

    /// Waits until what kubectl prints is as it should be.
    pub(crate) async fn wait_for(
        &self,
        args: &[&str],
        good: impl Fn(&str) -> bool,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // An API server that is away comes back.
            let said = self.run(args);
            if said.as_ref().is_ok_and(|text| good(text)) {
                return Ok(());
            }
            anyhow::ensure!(Instant::now() < deadline, "kubectl {args:?}: {said:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits until a Deployment is as it should be.
    pub(crate) fn rolled_out(&self, namespace: &str, deployment: &str) -> anyhow::Result<()> {
        let deployment = format!("deployment/{deployment}");
        let args = ["rollout", "status", &deployment, "-n", namespace];
        self.run(&[&args[..], &["--timeout=120s", "--request-timeout=0"]].concat())
            .map(drop)
    }

    /// Runs helm in the release's namespace; what it prints.
    pub(crate) fn helm(&self, args: &[&str]) -> anyhow::Result<String> {
        let output = self.helm.run(&[&["--namespace", SYSTEM], args].concat())?;
        let (stdout, stderr) = (output.stdout, output.stderr);
        anyhow::ensure!(output.success, "helm {args:?}: {stderr}{stdout}");
        Ok(stdout)
    }

    /// The path of the kubeconfig.
    pub(crate) fn kubeconfig(&self) -> &std::path::Path {
        self.cluster.kubeconfig()
    }
}

//! Helm, built by `e2e/cluster/build.sh`, and the project's chart.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::control_plane::Output;
use crate::{built, chart};

/// The version of Kubernetes that is rendered for where no cluster is asked.
const KUBERNETES: &str = "1.33.0";

/// Helm with caches and settings of its own.
#[derive(Debug)]
pub struct Helm {
    program: PathBuf,
    home: tempfile::TempDir,
    kubeconfig: Option<PathBuf>,
}

impl Helm {
    /// Helm for a cluster, or for none.
    ///
    /// # Errors
    /// It cannot be built.
    pub fn new(kubeconfig: Option<&Path>) -> anyhow::Result<Self> {
        Ok(Self {
            program: built("helm")?.join("helm"),
            home: tempfile::tempdir()?,
            kubeconfig: kubeconfig.map(Path::to_owned),
        })
    }

    /// Runs it; it ends within five minutes.
    ///
    /// # Errors
    /// It cannot be run; that it failed is in the output.
    pub fn run(&self, args: &[impl AsRef<OsStr>]) -> anyhow::Result<Output> {
        let mut command = Command::new("timeout");
        command.arg("300").arg(&self.program).args(args);
        for name in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            command.env(name, self.home.path());
        }
        let nowhere = Path::new("/dev/null");
        command.env("KUBECONFIG", self.kubeconfig.as_deref().unwrap_or(nowhere));
        let output = command.output();
        let output = output.with_context(|| format!("cannot run {}", self.program.display()))?;
        Ok(Output::of(&output))
    }

    /// The chart as release `datastream`, rendered without a cluster.
    ///
    /// # Errors
    /// It cannot be run; that it failed is in the output.
    pub fn template(&self, namespace: &str, args: &[&str]) -> anyhow::Result<Output> {
        let own = [
            "template",
            "datastream",
            chart(),
            "--namespace",
            namespace,
            "--kube-version",
            KUBERNETES,
        ];
        self.run(&[&own[..], args].concat())
    }
}

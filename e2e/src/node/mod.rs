//! A single-node Kubernetes cluster that runs pods, in namespaces of the kernel that nothing gets out of: a control plane, containerd,
//! kubelet, kube-proxy and CoreDNS. Whatever happens to the tests, it ends with the process that made it.

mod container_runtime;
mod dns;
mod kubelet;
mod network;
mod proxy;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::built;
use crate::control_plane::ControlPlane;
use crate::process::{Launch, Server};
use crate::servers::{self, AUDIT_LOG, Site};
use container_runtime::ContainerRuntime;

/// The address of the node.
const ADDRESS: &str = "10.89.0.1";
const NAME: &str = "node-1";
const READY_WITHIN: Duration = Duration::from_secs(90);

/// A running cluster. Its parts are ended in this order.
pub struct Node {
    _proxy: Server,
    _dns: Server,
    kubelet: Server,
    _scheduler: Server,
    runtime: ContainerRuntime,
    cluster: ControlPlane,
}

/// Returns the reason why pods cannot run here, if they cannot: what is missing, in a few words.
pub fn missing() -> Option<String> {
    if !is_root() {
        return Some("it takes root".to_owned());
    }
    let unshared = Command::new("unshare")
        .args(["--net", "--mount", "--pid", "--fork", "true"])
        .stderr(Stdio::null())
        .status();
    if !unshared.is_ok_and(|status| status.success()) {
        return Some("the kernel gives no namespaces".to_owned());
    }
    let programs = [
        "containerd",
        "runc",
        "ctr",
        "ip",
        "nft",
        "catatonit",
        "/usr/lib/cni/bridge",
    ];
    let lacking = programs.iter().find(|program| !is_there(program));
    lacking.map(|program| format!("{program} is missing: run scripts/install.sh"))
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|id| id.stdout.trim_ascii() == b"0")
}

fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).exists())
}

impl Node {
    /// Starts a cluster and waits until its node is ready. To be called in network, mount and process namespaces that nobody else is
    /// in ([`within_namespaces`]).
    ///
    /// # Errors
    /// A part that cannot be built or started, or is not ready in time; the message has the end of its log.
    pub fn start() -> anyhow::Result<Self> {
        network::create(ADDRESS)?;
        let mut cluster = ControlPlane::start_own(Site::OnNode(ADDRESS.to_owned()))?;
        let dir = cluster.dir().to_owned();
        cluster.start_controllers(servers::all_controllers(&dir))?;
        let programs = built("node")?;
        let scheduler = Launch::new(
            programs.join("kube-scheduler"),
            servers::client(cluster.kubeconfig()),
        );
        let scheduler = scheduler.start(&dir.join("scheduler.log"))?;
        let runtime = ContainerRuntime::start(&dir)?;
        let kubelet = kubelet::start(&programs, &dir, cluster.kubeconfig(), runtime.socket())?;
        let proxy = proxy::start(&programs, &dir, cluster.kubeconfig())?;
        let dns = dns::start(&built("dns")?, &dir, cluster.kubeconfig())?;
        let mut this = Self {
            _proxy: proxy,
            _dns: dns,
            kubelet,
            _scheduler: scheduler,
            runtime,
            cluster,
        };
        this.wait_until_ready()?;
        Ok(this)
    }

    fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        let wait = [
            "wait",
            "--for=condition=Ready",
            &format!("node/{NAME}"),
            "--timeout=2s",
        ];
        while !self.cluster.kubectl(&wait)?.success {
            if Instant::now() > deadline || self.kubelet.has_ended() {
                let log = std::fs::read_to_string(self.cluster.dir().join("kubelet.log"));
                let log = log.unwrap_or_default();
                let end: Vec<_> = log.lines().rev().take(8).collect();
                anyhow::bail!("the node is not ready: {}", end.join("\n"));
            }
        }
        Ok(())
    }

    /// Gives the node an image from an OCI archive.
    ///
    /// # Errors
    /// The archive cannot be read.
    pub fn load(&self, archive: &Path) -> anyhow::Result<()> {
        self.runtime.import(archive)
    }

    /// Starts an API server again that has ended.
    ///
    /// # Errors
    /// It does not become ready.
    pub fn mend(&mut self) -> anyhow::Result<()> {
        if self.cluster.api_server_has_ended() {
            self.cluster.start_api_server()?;
        }
        Ok(())
    }

    /// The variables by which programs find the cluster, and what its service accounts asked of the API server.
    pub fn env(&self) -> [(&'static str, PathBuf); 2] {
        [
            ("KUBECONFIG", self.cluster.kubeconfig().to_owned()),
            ("DATASTREAM_AUDIT_LOG", self.cluster.dir().join(AUDIT_LOG)),
        ]
    }
}

/// The command that runs this program again with `args` in namespaces of its own, which end with it and whatever is in them.
///
/// # Errors
/// The path of the program is not known.
pub fn within_namespaces(args: impl IntoIterator<Item = String>) -> anyhow::Result<Command> {
    let program = std::env::current_exe().context("the path of this program")?;
    let mut command = Command::new("unshare");
    command
        .args(["--net", "--mount", "--pid", "--fork", "--kill-child"])
        .args(["--mount-proc", "--propagation", "private"])
        .arg(program)
        .args(args);
    Ok(command)
}

/// Removes the control groups of the pods, which nobody is in any more.
///
/// # Errors
/// `find` cannot be run.
pub fn remove_control_groups() -> anyhow::Result<()> {
    let args = [
        "/sys/fs/cgroup",
        "-depth",
        "-type",
        "d",
        "-path",
        "*/kubepods*",
        "-exec",
        "rmdir",
        "{}",
        ";",
    ];
    let mut find = Command::new("find");
    // What is not there any more, or is another cluster's and in use, is left alone.
    find.args(args).stdout(Stdio::null()).stderr(Stdio::null());
    find.status().context("cannot run find").map(|_| ())
}

/// Runs a command that must succeed.
fn run(program: &str, args: &[&str]) -> anyhow::Result<()> {
    let output = Command::new(program)
        .args(args)
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    let error = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(
        output.status.success(),
        "{program} {}: {error}",
        args.join(" ")
    );
    Ok(())
}

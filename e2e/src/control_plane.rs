//! Starting a control plane, and kubectl against it.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tempfile::TempDir;

use crate::helm::Helm;
use crate::pki;
use crate::process::{Launch, Server};

const READY_WITHIN: Duration = Duration::from_secs(90);
/// What operator and gateways need of the chart to run as processes.
const WHAT_PROGRAMS_NEED: [&str; 6] = [
    "--set=fluvio.address=localhost:9003",
    "--show-only=templates/crds.yaml",
    "--show-only=templates/operator/serviceaccount.yaml",
    "--show-only=templates/operator/rbac.yaml",
    "--show-only=templates/gateway/serviceaccount.yaml",
    "--show-only=templates/gateway/rbac.yaml",
];

/// A running control plane, or the way to one that runs already.
pub struct ControlPlane {
    kubectl: PathBuf,
    kubeconfig: PathBuf,
    /// Absent for a cluster that is not ours.
    own: Option<Own>,
    dir: TempDir,
}

/// The servers of a control plane of the test's own, in the order in which they are ended.
struct Own {
    programs: PathBuf,
    port: u16,
    etcd_port: u16,
    controllers: Option<Server>,
    apiserver: Option<Server>,
    etcd: Server,
}

/// What kubectl or Helm said.
#[derive(Debug)]
pub struct Output {
    /// Whether it ended with 0.
    pub success: bool,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl ControlPlane {
    /// Starts etcd and kube-apiserver on free loopback ports, or uses the cluster that `KUBECONFIG` names.
    ///
    /// # Errors
    /// A program that cannot be built, started or does not become ready in time; the message has the end of its log.
    pub fn start() -> anyhow::Result<Self> {
        let programs = programs("control-plane")?;
        let kubectl = programs.join("kubectl");
        let temporary = tempfile::tempdir()?;
        let dir = temporary.path().to_owned();
        if let Some(kubeconfig) = std::env::var_os("KUBECONFIG") {
            return Ok(Self {
                kubectl,
                kubeconfig: kubeconfig.into(),
                own: None,
                dir: temporary,
            });
        }
        pki::create(&dir)?;
        let [client, peer, api] = free_ports()?;
        let etcd = Launch::new(programs.join("etcd"), etcd_args(&dir, client, peer))
            .start(&dir.join("etcd.log"))?;
        let kubeconfig = dir.join("admin.kubeconfig");
        std::fs::write(&kubeconfig, admin_kubeconfig(&dir, api))?;
        let mut this = Self {
            kubectl,
            kubeconfig,
            own: Some(Own {
                programs,
                port: api,
                etcd_port: client,
                controllers: None,
                apiserver: None,
                etcd,
            }),
            dir: temporary,
        };
        this.start_api_server()?;
        Ok(this)
    }

    /// Whether the cluster is the test's own, so that its servers can be stopped.
    pub fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// Starts the API server, at first or after [`ControlPlane::stop_api_server`], and waits until it is ready.
    ///
    /// # Errors
    /// The cluster is not the test's own, or the server does not become ready in time.
    pub fn start_api_server(&mut self) -> anyhow::Result<()> {
        let dir = self.dir.path().to_owned();
        let own = self.own.as_mut().context("the cluster is not ours")?;
        let program = own.programs.join("kube-apiserver");
        let args = apiserver_args(&dir, own.etcd_port, own.port);
        own.apiserver = Some(Launch::new(program, args).start(&dir.join("apiserver.log"))?);
        self.wait_until_ready(&dir)
    }

    /// Kills the API server and waits until its port is free.
    ///
    /// # Errors
    /// The cluster is not the test's own, or the port is not given back.
    pub fn stop_api_server(&mut self) -> anyhow::Result<()> {
        let own = self.own.as_mut().context("the cluster is not ours")?;
        own.apiserver = None;
        let deadline = Instant::now() + READY_WITHIN;
        while TcpListener::bind(("127.0.0.1", own.port)).is_err() {
            anyhow::ensure!(Instant::now() < deadline, "port {} stays taken", own.port);
        }
        Ok(())
    }

    /// Starts the controller that deletes what a deleted object owned; a cluster that is not ours has one.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_garbage_collector(&mut self) -> anyhow::Result<()> {
        if let Some(own) = &mut self.own {
            let args = [
                format!("--kubeconfig={}", self.kubeconfig.display()),
                "--controllers=garbage-collector-controller".to_owned(),
                "--leader-elect=false".to_owned(),
                "--bind-address=127.0.0.1".to_owned(),
                "--secure-port=0".to_owned(),
            ];
            let log = self.dir.path().join("controllers.log");
            let program = own.programs.join("kube-controller-manager");
            own.controllers = Some(Launch::new(program, args).start(&log)?);
        }
        Ok(())
    }

    fn wait_until_ready(&mut self, dir: &Path) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        while !self.kubectl(&["get", "--raw", "/readyz"])?.success {
            let ended = self.own.as_mut().is_some_and(|own| {
                own.etcd.has_ended() || own.apiserver.as_mut().is_some_and(Server::has_ended)
            });
            if ended || Instant::now() > deadline {
                let log = |name: &str| {
                    let text = std::fs::read_to_string(dir.join(name)).unwrap_or_default();
                    text.lines().rev().take(5).collect::<Vec<_>>().join("\n")
                };
                anyhow::bail!(
                    "the API server is not ready: {}\n{}",
                    log("apiserver.log"),
                    log("etcd.log")
                );
            }
        }
        Ok(())
    }

    /// Makes the namespace of the gateways, and gives the programs the definition, the accounts and the rights that the chart has
    /// for them.
    ///
    /// # Errors
    /// The API server refuses something.
    pub fn install(&self, namespace: &str) -> anyhow::Result<()> {
        let run = |args: &[&str]| {
            let output = self.kubectl(args)?;
            anyhow::ensure!(output.success, "kubectl {args:?}: {}", output.stderr);
            Ok(())
        };
        run(&["create", "namespace", namespace])?;
        let rendered = Helm::new(None)?.template(namespace, &WHAT_PROGRAMS_NEED)?;
        anyhow::ensure!(rendered.success, "helm: {}", rendered.stderr);
        let file = self.dir.path().join("chart.yaml");
        std::fs::write(&file, rendered.stdout)?;
        let file = file.display().to_string();
        run(&["apply", "--server-side", "-f", &file])?;
        let crd = "crd/datastreamsubscriptions.datastream.dev";
        run(&["wait", "--for=condition=Established", crd, "--timeout=30s"])
    }

    /// A kubeconfig for a service account, with a fresh token.
    ///
    /// # Errors
    /// The account does not exist, or the file cannot be written.
    pub fn service_account(&self, namespace: &str, name: &str) -> anyhow::Result<PathBuf> {
        let token = self.kubectl(&["create", "token", name, "-n", namespace, "--duration=1h"])?;
        anyhow::ensure!(token.success, "{}", token.stderr);
        let view = self.kubectl(&[
            "config",
            "view",
            "--raw",
            "--minify",
            "--flatten",
            "-o",
            "json",
        ])?;
        anyhow::ensure!(view.success, "{}", view.stderr);
        let path = self
            .dir
            .path()
            .join(format!("{namespace}-{name}.kubeconfig"));
        std::fs::write(&path, view.stdout)?;
        let file = path.display().to_string();
        let token = format!("--token={}", token.stdout.trim());
        for args in [
            &["config", "set-credentials", "account", &token][..],
            &["config", "set-context", "--current", "--user=account"],
        ] {
            let output = Command::new(&self.kubectl)
                .args(["--kubeconfig", &file])
                .args(args)
                .output()?;
            anyhow::ensure!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(path)
    }

    /// Runs kubectl as the cluster's administrator.
    ///
    /// # Errors
    /// It cannot be run; that it failed is in the output.
    pub fn kubectl(&self, args: &[&str]) -> anyhow::Result<Output> {
        let output = Command::new(&self.kubectl)
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .arg("--request-timeout=20s")
            .args(args)
            .output()
            .with_context(|| format!("cannot run {}", self.kubectl.display()))?;
        Ok(Output::of(&output))
    }

    /// The kubeconfig of the cluster's administrator.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }
}

impl Output {
    pub(crate) fn of(output: &std::process::Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            success: output.status.success(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }
}

/// The folder of a set of programs that `build.sh` knows.
pub(crate) fn programs(set: &str) -> anyhow::Result<PathBuf> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/cluster/build.sh");
    let output = Command::new(script)
        .arg(set)
        .stderr(std::process::Stdio::inherit())
        .output()
        .context(script)?;
    anyhow::ensure!(output.status.success(), "{script} failed");
    Ok(String::from_utf8(output.stdout)?.trim().into())
}

/// Ports that were free a moment ago: the servers must be told theirs.
fn free_ports() -> anyhow::Result<[u16; 3]> {
    let listeners = [
        TcpListener::bind("127.0.0.1:0")?,
        TcpListener::bind("127.0.0.1:0")?,
        TcpListener::bind("127.0.0.1:0")?,
    ];
    let mut ports = [0; 3];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

fn etcd_args(dir: &Path, client: u16, peer: u16) -> Vec<String> {
    let (client, peer) = (
        format!("http://127.0.0.1:{client}"),
        format!("http://127.0.0.1:{peer}"),
    );
    vec![
        "--name=default".to_owned(),
        format!("--data-dir={}", dir.join("etcd").display()),
        "--unsafe-no-fsync".to_owned(),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        "--log-level=warn".to_owned(),
    ]
}

fn apiserver_args(dir: &Path, etcd: u16, port: u16) -> Vec<String> {
    let file = |name: &str| dir.join(name).display().to_string();
    vec![
        format!("--etcd-servers=http://127.0.0.1:{etcd}"),
        "--bind-address=127.0.0.1".to_owned(),
        "--advertise-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        "--endpoint-reconciler-type=none".to_owned(),
        format!("--cert-dir={}", dir.display()),
        format!("--tls-cert-file={}", file("apiserver.crt")),
        format!("--tls-private-key-file={}", file("apiserver.key")),
        format!("--client-ca-file={}", file("ca.crt")),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-account-key-file={}", file("sa.pub")),
        format!("--service-account-signing-key-file={}", file("sa.key")),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
        "--shutdown-delay-duration=0s".to_owned(),
        "--profiling=false".to_owned(),
    ]
}

fn admin_kubeconfig(dir: &Path, port: u16) -> String {
    let dir = dir.display();
    format!(
        "apiVersion: v1
kind: Config
current-context: test
contexts: [{{name: test, context: {{cluster: test, user: admin}}}}]
clusters: [{{name: test, cluster: {{server: 'https://127.0.0.1:{port}', certificate-authority: {dir}/ca.crt}}}}]
users: [{{name: admin, user: {{client-certificate: {dir}/admin.crt, client-key: {dir}/admin.key}}}}]
"
    )
}

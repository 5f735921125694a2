//! Starting a control plane, and kubectl against it.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tempfile::TempDir;

use crate::helm::Helm;
use crate::ports::fixed_port;
use crate::process::{Launch, Server};
use crate::servers::{self, Site};
use crate::{built, pki};

const READY_WITHIN: Duration = Duration::from_secs(90);
/// Arguments for the parts of the chart that operator and gateways need to run as processes.
const WHAT_PROGRAMS_NEED: [&str; 7] = [
    "--set=image.registry=registry.test",
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
    /// The servers; absent for an external cluster.
    own: Option<Own>,
    dir: TempDir,
}

/// The servers of a control plane of the test's own, in the order in which they are ended.
struct Own {
    programs: PathBuf,
    site: Site,
    port: u16,
    etcd_port: u16,
    controllers: Option<Server>,
    apiserver: Option<Server>,
    etcd: Server,
}

/// The output of kubectl or Helm.
#[derive(Debug)]
pub struct Output {
    /// It ended with 0.
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
        match std::env::var_os("KUBECONFIG") {
            Some(kubeconfig) => Ok(Self {
                kubectl: built("control-plane")?.join("kubectl"),
                kubeconfig: kubeconfig.into(),
                own: None,
                dir: tempfile::tempdir()?,
            }),
            None => Self::start_own(Site::Alone),
        }
    }

    /// Starts a control plane of the test's own.
    pub(crate) fn start_own(site: Site) -> anyhow::Result<Self> {
        let programs = built("control-plane")?;
        let kubectl = programs.join("kubectl");
        let temporary = tempfile::tempdir()?;
        let dir = temporary.path().to_owned();
        pki::create(&dir, site.address())?;
        let (client, peer, api) = (fixed_port()?, fixed_port()?, fixed_port()?);
        let etcd = Launch::new(programs.join("etcd"), servers::etcd(&dir, client, peer))
            .start(&dir.join("etcd.log"))?;
        let kubeconfig = dir.join("admin.kubeconfig");
        std::fs::write(&kubeconfig, servers::admin(&dir, &site, api))?;
        let mut this = Self {
            kubectl,
            kubeconfig,
            own: Some(Own {
                programs,
                site,
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

    /// Returns whether the cluster is the test's own, so that its servers can be stopped.
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
        let args = servers::apiserver(&dir, &own.site, own.etcd_port, own.port);
        own.apiserver = Some(Launch::new(program, args).start(&dir.join("apiserver.log"))?);
        self.wait_until_ready(&dir)
    }

    /// Returns whether the API server of the test's own has ended.
    pub(crate) fn api_server_has_ended(&mut self) -> bool {
        let own = self.own.as_mut().and_then(|own| own.apiserver.as_mut());
        own.is_some_and(Server::has_ended)
    }

    /// Kills the API server and waits until its port is free.
    ///
    /// # Errors
    /// The cluster is not the test's own, or the port is not given back.
    pub fn stop_api_server(&mut self) -> anyhow::Result<()> {
        let own = self.own.as_mut().context("the cluster is not ours")?;
        own.apiserver = None;
        let deadline = Instant::now() + READY_WITHIN;
        while TcpListener::bind((own.site.address(), own.port)).is_err() {
            anyhow::ensure!(Instant::now() < deadline, "port {} stays taken", own.port);
        }
        Ok(())
    }

    /// Starts the controller that deletes what a deleted object owned; a cluster that is not ours has one.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_garbage_collector(&mut self) -> anyhow::Result<()> {
        self.start_only(&["garbage-collector-controller"])
    }

    /// Starts kube-controller-manager with only these of its controllers; a cluster that is not ours has all.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_only(&mut self, controllers: &[&str]) -> anyhow::Result<()> {
        self.start_controllers([format!("--controllers={}", controllers.join(","))])
    }

    /// Starts kube-controller-manager with more arguments; a cluster that is not ours has one.
    pub(crate) fn start_controllers(
        &mut self,
        more: impl IntoIterator<Item = String>,
    ) -> anyhow::Result<()> {
        if let Some(own) = &mut self.own {
            let args = servers::client(&self.kubeconfig).into_iter().chain(more);
            let log = self.dir.path().join("controllers.log");
            let program = own.programs.join("kube-controller-manager");
            own.controllers = Some(Launch::new(program, args).start(&log)?);
        }
        Ok(())
    }

    /// The folder with keys, kubeconfig and logs.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
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
        let created = self.kubectl(&["create", "namespace", namespace])?;
        anyhow::ensure!(created.success, "{}", created.stderr);
        self.install_with(namespace, &[])
    }

    /// Gives the programs what [`ControlPlane::install`] does, with these values, in namespaces that are there.
    ///
    /// # Errors
    /// The API server refuses something.
    pub fn install_with(&self, namespace: &str, values: &[String]) -> anyhow::Result<()> {
        let run = |args: &[&str]| {
            let output = self.kubectl(args)?;
            anyhow::ensure!(output.success, "kubectl {args:?}: {}", output.stderr);
            Ok(())
        };
        let values = values.iter().map(|value| format!("--set={value}"));
        let values: Vec<_> = values.collect();
        let args = WHAT_PROGRAMS_NEED.into_iter();
        let args: Vec<_> = args.chain(values.iter().map(String::as_str)).collect();
        let rendered = Helm::new(None)?.template(namespace, &args)?;
        anyhow::ensure!(rendered.success, "helm: {}", rendered.stderr);
        let file = self.dir.path().join("chart.yaml");
        std::fs::write(&file, rendered.stdout)?;
        let file = file.display().to_string();
        run(&["apply", "--server-side", "-f", &file])?;
        run(&[
            "wait",
            "--for=condition=Established",
            "crd/datastreamsubscriptions.datastream.dev",
            "crd/datastreamaccessrules.datastream.dev",
            "--timeout=30s",
        ])
    }

    /// The administrator's kubeconfig, as JSON with the certificates in it.
    ///
    /// # Errors
    /// kubectl cannot be run, or fails.
    pub fn flat_kubeconfig(&self) -> anyhow::Result<String> {
        let view = [
            "config",
            "view",
            "--raw",
            "--minify",
            "--flatten",
            "-o",
            "json",
        ];
        let view = self.kubectl(&view)?;
        anyhow::ensure!(view.success, "{}", view.stderr);
        Ok(view.stdout)
    }

    /// A kubeconfig for a service account, with a fresh token.
    ///
    /// # Errors
    /// The account does not exist, or the file cannot be written.
    pub fn service_account(&self, namespace: &str, name: &str) -> anyhow::Result<PathBuf> {
        let token = self.kubectl(&["create", "token", name, "-n", namespace, "--duration=1h"])?;
        anyhow::ensure!(token.success, "{}", token.stderr);
        let path = self
            .dir
            .path()
            .join(format!("{namespace}-{name}.kubeconfig"));
        std::fs::write(&path, self.flat_kubeconfig()?)?;
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

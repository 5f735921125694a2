//! The operator as a process, on the simulated API server.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use datastream_e2e::{Launch, Program, own_program};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::process;

/// The namespace of the gateways.
pub(crate) const NAMESPACE: &str = "datastream-system";
const PATIENCE: Duration = Duration::from_mins(5);

pub(crate) struct Operator {
    launch: Launch,
    dir: TempDir,
    started: usize,
    program: Option<Program>,
}

impl Operator {
    pub(crate) fn start(api: SocketAddr) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let kubeconfig = dir.path().join("kubeconfig");
        let content = format!(
            "apiVersion: v1
kind: Config
current-context: simulation
contexts: [{{name: simulation, context: {{cluster: simulation, user: operator}}}}]
clusters: [{{name: simulation, cluster: {{server: 'http://{api}'}}}}]
users: [{{name: operator, user: {{}}}}]
"
        );
        std::fs::write(&kubeconfig, content).unwrap();
        let args = [
            "run".to_owned(),
            format!("--routes-namespace={NAMESPACE}"),
            "--groups=default=ws://datastream.test/stream".to_owned(),
            "--listen=127.0.0.1:0".to_owned(),
        ];
        let launch = Launch::new(own_program("datastream-operator").unwrap(), args)
            .env("KUBECONFIG", kubeconfig);
        let mut operator = Self {
            launch,
            dir,
            started: 0,
            program: None,
        };
        operator.launch();
        operator
    }

    fn launch(&mut self) {
        self.started += 1;
        let log = self.dir.path().join(format!("{}.log", self.started));
        self.program = Some(Program::start(&self.launch, log).unwrap());
    }

    /// Ends it as Kubernetes does, and starts another.
    pub(crate) async fn restart(&mut self) {
        let mut program = self.program.take().unwrap();
        program.server.terminate();
        while !program.server.has_ended() {
            sleep(Duration::from_millis(10)).await;
        }
        self.launch();
    }

    fn program(&self) -> &Program {
        self.program.as_ref().unwrap()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.program().server.pid().unwrap()
    }

    pub(crate) fn log(&self) -> String {
        self.program().log()
    }

    /// CPU time so far, in seconds.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        process::cpu_ticks(self.pid()).iter().sum::<f64>() / 100.0
    }

    /// The sum of a metric over all labels.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        self.program().metric("listen", name).unwrap()
    }

    /// Waits until it has looked at this many subscriptions since its start.
    pub(crate) async fn reconciled(&self, count: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.metric("datastream_operator_reconciles_total") < count as f64 {
            assert!(Instant::now() < deadline, "{}", self.log());
            sleep(Duration::from_millis(100)).await;
        }
    }
}

//! Events that are distinguished by a number.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context as _;
use datastream_e2e::own_program;
use serde_json::{Value, json};

use crate::kubectl::Kubectl;
use crate::settings::{TOPIC, image};

/// An event of a device, with a number as its value.
pub(crate) fn datapoint(oem_model: &str, number: u64) -> Value {
    json!({
        "metadata": {
            "oem_id": "0dfc7900", "oem_model": oem_model, "dsn": "AC000W000340000", "property_name": "Blue_LED",
            "event_type": "datapoint", "resource_tags": [],
        },
        "datapoint": {"value": number},
    })
}

/// The number in an event as a client has it.
pub(crate) fn number(event: &Value) -> Option<u64> {
    event["datapoint"]["value"].as_u64()
}

/// `datastream publish`, beside the tests if the cluster's addresses can be reached from there, otherwise in a pod.
pub(crate) struct Publisher {
    process: Child,
    lines: Option<ChildStdin>,
    pod: Option<Pod>,
}

/// The pod in which it runs in the cluster.
struct Pod {
    kubeconfig: PathBuf,
    name: String,
}

impl Publisher {
    pub(crate) fn start(kubectl: &Kubectl, fluvio: &str, beside: bool) -> anyhow::Result<Self> {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let publish = ["publish", "--fluvio", fluvio, "--topic", TOPIC];
        let mut pod = None;
        let mut command = if beside {
            let mut command = Command::new(own_program("datastream")?);
            command.args(publish);
            command
        } else {
            let number = STARTED.fetch_add(1, Ordering::Relaxed);
            let pod = pod.insert(Pod {
                kubeconfig: kubectl.kubeconfig().to_owned(),
                name: format!("publisher-{}-{number}", std::process::id()),
            });
            let mut command = Command::new("kubectl");
            command.env("KUBECONFIG", kubectl.kubeconfig()).args([
                "run",
                &pod.name,
                "-n",
                "fluvio",
                "-i",
                "--quiet",
                "--rm",
                "--restart=Never",
                &format!("--image={}", image("cli")),
                "--",
            ]);
            command.args(publish);
            command
        };
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .context("datastream publish")?;
        let lines = process.stdin.take();
        Ok(Self {
            process,
            lines,
            pod,
        })
    }

    /// Sends an event.
    pub(crate) fn send(&mut self, event: &Value) -> anyhow::Result<()> {
        let lines = self.lines.as_mut().context("it was finished")?;
        writeln!(lines, "{event}").context("datastream publish ended")
    }

    /// Waits until everything is stored.
    pub(crate) fn finish(&mut self) -> anyhow::Result<()> {
        self.lines = None;
        let status = self.process.wait()?;
        anyhow::ensure!(status.success(), "datastream publish: {status}");
        self.pod = None;
        Ok(())
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if let Some(Pod { kubeconfig, name }) = &self.pod {
            let _ = Command::new("kubectl")
                .env("KUBECONFIG", kubeconfig)
                .args(["delete", "pod", name, "-n", "fluvio", "--wait=false"])
                .stdout(Stdio::null())
                .status();
        }
    }
}

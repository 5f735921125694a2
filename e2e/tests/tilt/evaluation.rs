//! Requests of a Tiltfile to Tilt.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use anyhow::Context as _;
use datastream_e2e::built;
use serde_json::Value;

use crate::root;

/// The version of Kubernetes that charts are rendered for.
pub(crate) const KUBE_VERSION: &str = "1.33.0";

/// One call of one of Tilt's functions.
pub(crate) struct Call {
    pub(crate) function: String,
    /// Line in the Tiltfile, counted from 1.
    pub(crate) line: u64,
    pub(crate) arguments: Value,
}

/// All calls, and the objects that are applied.
pub(crate) struct Evaluation {
    calls: Vec<Call>,
    pub(crate) objects: Vec<Value>,
}

/// The interpreter, built once.
fn tiltfile() -> anyhow::Result<Command> {
    static FOLDER: LazyLock<Result<PathBuf, String>> =
        LazyLock::new(|| built("tilt").map_err(|e| format!("{e:#}")));
    match &*FOLDER {
        Ok(folder) => Ok(Command::new(folder.join("tiltfile"))),
        Err(error) => anyhow::bail!("{error}"),
    }
}

fn run(command: &mut Command) -> anyhow::Result<Value> {
    let output = command
        .output()
        .with_context(|| format!("{}", command.get_program().display()))?;
    let error = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{error}");
    serde_json::from_slice(&output.stdout).context("it prints JSON")
}

/// The documents of a YAML file.
pub(crate) fn yaml(file: &Path) -> anyhow::Result<Vec<Value>> {
    let mut documents = run(tiltfile()?.arg("-yaml").arg(file))?;
    let documents = documents.as_array_mut().map(std::mem::take);
    documents.context("a list of documents")
}

impl Evaluation {
    /// Evaluates a Tiltfile with the files of the checkout.
    ///
    /// # Errors
    /// The Tiltfile's own, with their lines.
    pub(crate) fn of(file: &Path, subcommand: &str, settings: &[&str]) -> anyhow::Result<Self> {
        let mut command = tiltfile()?;
        command.arg("-root").arg(root());
        command.args(["-subcommand", subcommand, "-kube-version", KUBE_VERSION]);
        command.arg("-helm").arg(built("helm")?.join("helm"));
        command.arg("-local");
        command.arg(root().join("e2e/tests/tilt/fluvio.yaml"));
        let result = run(command.arg(file).args(settings))?;
        let list = |name: &str| result[name].as_array().cloned().context("a list");
        let calls = list("calls")?.into_iter().map(|mut call| Call {
            function: call["function"].as_str().unwrap_or_default().to_owned(),
            line: call["line"].as_u64().unwrap_or_default(),
            arguments: call["arguments"].take(),
        });
        Ok(Self {
            calls: calls.collect(),
            objects: list("objects")?,
        })
    }

    /// The calls of a function.
    pub(crate) fn calls(&self, function: &str) -> impl Iterator<Item = &Call> {
        let calls = self.calls.iter();
        calls.filter(move |call| call.function == function)
    }

    /// An argument of all calls of a function that have it.
    pub(crate) fn named(&self, function: &str, argument: &str) -> impl Iterator<Item = &str> {
        self.calls(function)
            .filter_map(move |call| call.arguments[argument].as_str())
    }

    /// The commands that are run: those of resources and of buttons.
    pub(crate) fn commands(&self) -> impl Iterator<Item = (&Call, Vec<&str>)> {
        let resources = self.calls("local_resource").map(|c| (c, c.strings("cmd")));
        let buttons = self.calls("v1alpha1.cmd").map(|c| (c, c.strings("args")));
        let local = self.calls("local").map(|c| (c, c.strings("command")));
        resources.chain(buttons).chain(local)
    }
}

impl Call {
    /// A text, or the texts of a list; nothing where the argument was not given.
    pub(crate) fn strings(&self, argument: &str) -> Vec<&str> {
        match &self.arguments[argument] {
            Value::String(text) => vec![text],
            Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }

    /// A problem of this call.
    pub(crate) fn problem(&self, what: impl std::fmt::Display) -> String {
        format!("Tiltfile, line {}: {}: {what}", self.line, self.function)
    }
}

//! `node [--image ARCHIVE]... COMMAND [ARG]...`: runs a command beside a single-node Kubernetes cluster of its own, which `KUBECONFIG` names to it,
//! and takes the cluster down afterwards. `node --missing` says in one line why that cannot be done here, or nothing if it can.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use anyhow::Context as _;
use datastream_e2e::built;
use datastream_e2e::node::{Node, missing, remove_control_groups, within_namespaces};

/// Says that this process is in the namespaces already.
const INSIDE: &str = "--inside";

/// An API server that has ended is started again after this long, as a kubelet would.
const MEND_EVERY: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    decide().unwrap_or_else(|error| {
        eprintln!("node: {error:#}");
        ExitCode::FAILURE
    })
}

fn decide() -> anyhow::Result<ExitCode> {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("--missing") => {
            if let Some(reason) = missing() {
                println!("{reason}");
            }
            Ok(ExitCode::SUCCESS)
        }
        Some(INSIDE) => inside(&args.split_off(1)),
        Some(_) => {
            if let Some(reason) = missing() {
                anyhow::bail!("no cluster can run here: {reason}");
            }
            // Nothing can be downloaded in there.
            for set in ["control-plane", "node", "dns"] {
                built(set)?;
            }
            // Out here, so that it can be removed when nothing is mounted there any more.
            let temporary = tempfile::tempdir()?;
            let mut command = within_namespaces(std::iter::once(INSIDE.to_owned()).chain(args))?;
            let ended = status(command.env("TMPDIR", temporary.path()));
            remove_control_groups()?;
            ended
        }
        None => anyhow::bail!("usage: node [--image ARCHIVE]... COMMAND [ARG]..."),
    }
}

fn inside(args: &[String]) -> anyhow::Result<ExitCode> {
    let (mut images, mut rest) = (vec![], args);
    while let [flag, image, more @ ..] = rest
        && flag == "--image"
    {
        images.push(PathBuf::from(image));
        rest = more;
    }
    let [program, args @ ..] = rest else {
        anyhow::bail!("which command?");
    };
    let mut node = Node::start()?;
    for image in &images {
        node.load(image)?;
    }
    let mut command = Command::new(program);
    command.args(args).envs(node.env());
    let (ended, end) = sync_channel(1);
    std::thread::spawn(move || ended.send(status(&mut command)));
    loop {
        match end.recv_timeout(MEND_EVERY) {
            Ok(status) => return status,
            Err(RecvTimeoutError::Timeout) => node.mend()?,
            Err(RecvTimeoutError::Disconnected) => anyhow::bail!("the command is gone"),
        }
    }
}

fn status(command: &mut Command) -> anyhow::Result<ExitCode> {
    let status = command
        .status()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.unwrap_or(1)))
}

//! Programs of others that are built from pinned sources.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::Context as _;

use crate::checkout;

/// The folder with a set of programs (`control-plane`, `node`, `helm`), built now if it has to be: see `e2e/cluster/build.sh`.
///
/// # Errors
/// They cannot be built.
pub fn built(set: &str) -> anyhow::Result<PathBuf> {
    let script = checkout("e2e/cluster/build.sh");
    let output = Command::new(&script)
        .arg(set)
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| script.clone())?;
    anyhow::ensure!(output.status.success(), "{script} {set} failed");
    Ok(String::from_utf8(output.stdout)?.trim().into())
}

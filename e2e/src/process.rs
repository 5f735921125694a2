//! A child process that cannot outlive the tests.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;

/// However the tests end, their servers end after this long.
const LIFETIME_SECONDS: &str = "1200";

/// A server in a process group of its own; dropping it kills the group.
pub struct Server {
    child: Child,
}

impl Server {
    /// Starts a program with its output in `log`.
    ///
    /// # Errors
    /// The program or the log file cannot be had.
    pub fn start(program: &Path, args: &[String], log: &Path) -> anyhow::Result<Self> {
        Self::start_with(program, args, log, &[])
    }

    /// As [`Server::start`], with more environment variables.
    ///
    /// # Errors
    /// The program or the log file cannot be had.
    pub fn start_with(
        program: &Path,
        args: &[String],
        log: &Path,
        env: &[(&str, &Path)],
    ) -> anyhow::Result<Self> {
        let out = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let child = Command::new("timeout")
            .arg(LIFETIME_SECONDS)
            .arg(program)
            .args(args)
            .envs(env.iter().copied())
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self { child })
    }

    /// Asks it to end, as Kubernetes does.
    pub fn terminate(&self) {
        self.signal("-TERM");
    }

    fn signal(&self, signal: &str) {
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill")
            .args([signal, "--", &group])
            .stderr(Stdio::null())
            .status();
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

/// One of the project's own programs, beside the running test in the target folder.
///
/// # Errors
/// It has not been built.
pub fn own_program(name: &str) -> anyhow::Result<PathBuf> {
    let test = std::env::current_exe()?;
    let path = test
        .ancestors()
        .nth(2)
        .context("a test has a folder")?
        .join(name);
    anyhow::ensure!(
        path.exists(),
        "{} is missing: run `cargo build --workspace --bins` first",
        path.display()
    );
    Ok(path)
}

impl Drop for Server {
    fn drop(&mut self) {
        self.signal("-KILL");
        let _ = self.child.wait();
    }
}

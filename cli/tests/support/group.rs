//! A program with everything that it starts.

use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdout, Command, Stdio};

/// A process group, which ends with the test.
pub(crate) struct Group(Child);

impl Group {
    /// Starts a program. `timeout`, so that nothing outlives a test that hangs.
    pub(crate) fn start(program: &str, args: &[&str]) -> (Self, ChildStdout) {
        let mut child = Command::new("timeout")
            .args(["300", program])
            .args(args)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        (Self(child), stdout)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let group = format!("-{}", self.0.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.0.wait();
    }
}

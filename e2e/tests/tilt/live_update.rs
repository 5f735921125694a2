//! The process in the containers of the development cluster: a program that is restarted on request.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use crate::root;

const PATIENCE: Duration = Duration::from_secs(30);

/// `restart.sh` and what it runs, ended with the test.
struct Container {
    child: Child,
    lines: Receiver<String>,
    _folder: tempfile::TempDir,
}

impl Container {
    /// Runs a shell script in the place of a program.
    fn start(program: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program.sh");
        std::fs::write(&path, program).unwrap();
        // A shell cannot catch what was ignored when it began, and whoever runs the tests may ignore SIGHUP.
        let mut child = Command::new("env")
            .args(["--default-signal=HUP", "sh"])
            .arg(root().join("tilt/restart.sh"))
            .arg(path)
            .arg("two words")
            .env("PROGRAM", "/bin/sh")
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (said, lines) = sync_channel(16);
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = said.send(line);
            }
        });
        Self {
            child,
            lines,
            _folder: folder,
        }
    }

    fn says(&self, expected: &str) {
        assert_eq!(self.lines.recv_timeout(PATIENCE).unwrap(), expected);
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(status.unwrap().success());
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let group = format!("-{}", self.child.id());
        let mut kill = Command::new("kill");
        // Whatever is left of it: perhaps nothing.
        let _ = kill
            .args(["-KILL", "--", &group])
            .stderr(Stdio::null())
            .status();
        let _ = self.child.wait();
    }
}

/// Ends by itself after a minute, should the test be killed.
const SERVER: &str = r#"
trap 'echo down; exit 3' TERM
echo "up $1"
i=0
while [ $i -lt 600 ]; do i=$((i + 1)); sleep 0.1; done
"#;

#[test]
fn a_program_restarts_on_sighup_and_stops_with_its_exit_status() {
    let mut container = Container::start(SERVER);
    container.says("up two words");
    for _ in 0..3 {
        container.signal("HUP");
        container.says("down");
        container.says("up two words");
    }
    container.signal("TERM");
    container.says("down");
    assert_eq!(container.child.wait().unwrap().code(), Some(3));
}

#[test]
fn a_crash_ends_the_container_with_its_exit_status() {
    let mut container = Container::start("exit 5");
    assert_eq!(container.child.wait().unwrap().code(), Some(5));
}

//! A child process whose lines can be waited for, and that cannot outlive the test.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use crate::PATIENCE;

/// The kernel kills whoever runs under this when the thread that started it ends, however that happens.
const DIES_WITH_ITS_PARENT: [&str; 3] = ["setpriv", "--pdeathsig", "KILL"];

/// Output of a process so far, and its end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Output {
    /// Lines of its standard output.
    pub(crate) lines: Vec<String>,
    /// Lines of its standard error.
    pub(crate) notes: Vec<String>,
    pub(crate) has_ended: bool,
    /// Its exit code, unless it was killed.
    pub(crate) code: Option<i32>,
}

/// A process; dropping it kills it.
#[derive(Debug)]
pub(crate) struct Process {
    pid: u32,
    output: watch::Receiver<Output>,
}

fn collect(
    from: impl Read,
    output: &watch::Sender<Output>,
    of: fn(&mut Output) -> &mut Vec<String>,
) {
    for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).into_owned();
        output.send_modify(|output| of(output).push(line));
    }
}

impl Process {
    /// Starts a program with its arguments. It ends after so many seconds, whatever happens.
    pub(crate) fn start(words: &[String], seconds: u32) -> Self {
        let [own, rest @ ..] = DIES_WITH_ITS_PARENT;
        let mut command = Command::new(own);
        command
            .args(rest)
            .args(["timeout", "--kill-after=5", &seconds.to_string()])
            .args(DIES_WITH_ITS_PARENT)
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let (sender, output) = watch::channel(Output::default());
        let (started, starts) = sync_channel(1);
        let name = words[0].clone();
        // The thread that starts it lives as long as it does.
        thread::spawn(move || {
            let mut child = command.spawn().unwrap_or_else(|e| panic!("{name}: {e}"));
            let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
            started.send(child.id()).unwrap();
            thread::scope(|scope| {
                scope.spawn(|| collect(err, &sender, |output| &mut output.notes));
                collect(out, &sender, |output| &mut output.lines);
            });
            let status = child.wait().unwrap();
            sender.send_modify(|output| {
                output.code = status.code();
                output.has_ended = true;
            });
        });
        let pid = starts.recv().expect("setpriv can be run");
        Self { pid, output }
    }

    /// Output so far.
    pub(crate) fn output(&self) -> Output {
        self.output.borrow().clone()
    }

    /// Waits until this is true of what it has written, or it has ended.
    async fn until(&self, patience: Duration, is_so: impl Fn(&Output) -> bool) -> Option<Output> {
        let mut output = self.output.clone();
        let waited = output.wait_for(|output| output.has_ended || is_so(output));
        let found = timeout(patience, waited).await;
        found.ok().map(|output| output.unwrap().clone())
    }

    /// Waits until this is true of what it has written. Fails if it ends before, or does not come to it in time.
    pub(crate) async fn has_written(&self, what: &str, is_so: impl Fn(&Output) -> bool) -> Output {
        let found = self.until(PATIENCE, &is_so).await;
        let found = found.filter(|output| is_so(output));
        found.unwrap_or_else(|| {
            let Output {
                lines,
                notes,
                has_ended,
                code,
            } = self.output();
            let last = lines.last();
            panic!(
                "no {what}: {} lines, last {last:?}, notes {notes:?}, ended {has_ended}, code {code:?}",
                lines.len()
            )
        })
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn ended(&self) -> Output {
        self.ended_within(PATIENCE.as_secs() as u32).await
    }

    pub(crate) async fn ended_within(&self, seconds: u32) -> Output {
        let patience = Duration::from_secs(seconds.into());
        let ended = self.until(patience, |_| false).await;
        ended.unwrap_or_else(|| panic!("it has not ended: {:?}", self.output().notes))
    }

    /// Asks it to end, as Kubernetes does. The `timeout` above it passes that on.
    pub(crate) fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Kills it with the `timeout` above it.
    pub(crate) fn kill(&self) {
        self.signal("-KILL");
    }

    fn signal(&self, signal: &str) {
        if !self.output.borrow().has_ended {
            let mut kill = Command::new("kill");
            kill.args([signal, "--", &self.pid.to_string()]);
            let _ = kill.stderr(Stdio::null()).status();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

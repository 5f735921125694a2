//! A child process that cannot outlive the tests.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{SyncSender, sync_channel};

use anyhow::Context as _;

/// However the tests end, their servers end after this long.
const LIFETIME_SECONDS: &str = "1200";
/// The kernel kills whoever runs under this when its parent dies, however that happens.
const DIES_WITH_ITS_PARENT: [&str; 3] = ["setpriv", "--pdeathsig", "KILL"];

/// The way in which a program is started; can be used again for a restart.
#[derive(Clone, Debug)]
pub struct Launch {
    program: PathBuf,
    args: Vec<String>,
    env: Vec<(OsString, OsString)>,
    within: Vec<String>,
}

impl Launch {
    /// A program with its arguments.
    pub fn new(program: impl Into<PathBuf>, args: impl IntoIterator<Item = String>) -> Self {
        Self {
            program: program.into(),
            args: args.into_iter().collect(),
            env: vec![],
            within: vec![],
        }
    }

    /// One more environment variable. Only the program itself gets it.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Runs it under a command that executes its arguments in its own place, such as `ip netns exec NAME`.
    #[must_use]
    pub fn within(mut self, command: Vec<String>) -> Self {
        self.within = command;
        self
    }

    /// Starts it with its standard error in `log`, and its standard output there too or in a pipe.
    fn spawn(&self, log: &Path, piped: bool) -> anyhow::Result<(Server, Option<ChildStdout>)> {
        let err = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let out = if piped {
            Stdio::piped()
        } else {
            err.try_clone()?.into()
        };
        let [own, rest @ ..] = DIES_WITH_ITS_PARENT;
        let mut command = Command::new(own);
        command
            .args(rest)
            .args(["timeout", "--kill-after=5", LIFETIME_SECONDS])
            .args(&self.within)
            .args(DIES_WITH_ITS_PARENT)
            .arg("env")
            .args(self.env.iter().map(|(name, value)| {
                let mut pair = name.clone();
                pair.push("=");
                pair.push(value);
                pair
            }))
            .arg(&self.program)
            .args(&self.args)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err);
        let mut child =
            spawn(command).with_context(|| format!("cannot start {}", self.program.display()))?;
        let stdout = child.stdout.take();
        Ok((Server { child }, stdout))
    }

    /// Starts it with its output in `log`.
    ///
    /// # Errors
    /// The program or the log file cannot be had.
    pub fn start(&self, log: &Path) -> anyhow::Result<Server> {
        self.spawn(log, false).map(|(server, _)| server)
    }

    /// Starts it with its log in `log` and its standard output in a pipe.
    pub(crate) fn start_piped(&self, log: &Path) -> anyhow::Result<(Server, ChildStdout)> {
        let (server, stdout) = self.spawn(log, true)?;
        Ok((server, stdout.context("its output is piped")?))
    }

    /// The name of the program.
    pub(crate) fn name(&self) -> String {
        let name = self.program.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }
}

/// Starts a process from a thread that lives as long as the tests: for the kernel, the parent of a process is the thread
/// that started it, and a test's thread ends with the test.
fn spawn(command: Command) -> io::Result<Child> {
    type Order = (Command, SyncSender<io::Result<Child>>);
    static SPAWNER: OnceLock<SyncSender<Order>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, received) = sync_channel::<Order>(16);
        std::thread::spawn(move || {
            for (mut command, answer) in received {
                let _ = answer.send(command.spawn());
            }
        });
        orders
    });
    let gone = || io::Error::other("the thread that starts processes is gone");
    let (answer, answered) = sync_channel(1);
    spawner.send((command, answer)).map_err(|_| gone())?;
    answered.recv().map_err(|_| gone())?
}

/// A server in a process group of its own; dropping it kills it, and waits until it is gone.
#[derive(Debug)]
pub struct Server {
    child: Child,
}

impl Server {
    /// Asks it to end, as Kubernetes does.
    pub fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Asks the program to end without saying goodbye to anybody, if it takes SIGQUIT for that.
    pub(crate) fn quit(&self) {
        self.signal_program("-QUIT");
    }

    /// Stops it in mid-air (SIGSTOP), until [`Server::resume`].
    pub fn pause(&self) {
        self.signal_program("-STOP");
    }

    /// Resumes it after [`Server::pause`].
    pub fn resume(&self) {
        self.signal_program("-CONT");
    }

    fn signal(&self, signal: &str) {
        kill(signal, &format!("-{}", self.child.id()));
    }

    /// Signals the program and not the `timeout` above it, which must be able to end it.
    fn signal_program(&self, signal: &str) {
        if let Some(pid) = self.pid() {
            kill(signal, &pid.to_string());
        }
    }

    /// The process of the program itself, unless it has ended.
    pub fn pid(&self) -> Option<u32> {
        let pid = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
        children.split_whitespace().next()?.parse().ok()
    }

    /// Waits until it has ended.
    pub(crate) fn wait(&mut self) {
        let _ = self.child.wait();
    }

    /// Returns whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

fn kill(signal: &str, target: &str) {
    let _ = Command::new("kill")
        .args([signal, "--", target])
        .stderr(Stdio::null())
        .status();
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
        // The program first: the `timeout` above it ends when it is gone, with its locks and sockets.
        match self.pid() {
            Some(pid) => kill("-KILL", &pid.to_string()),
            None => self.signal("-KILL"),
        }
        let _ = self.child.wait();
    }
}

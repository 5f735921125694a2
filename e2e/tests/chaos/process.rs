//! A program that is killed, stopped and started again in the course of a run.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use datastream_e2e::{Launch, Program};

/// A program, running or not.
#[derive(Debug)]
pub(crate) struct Process {
    pub name: String,
    launch: Launch,
    dir: PathBuf,
    starts: usize,
    running: Option<Program>,
    /// It was stopped.
    ending: bool,
}

impl Process {
    /// A program that does not run yet. Its logs go into `dir`, one file for each start.
    pub(crate) fn new(name: impl Into<String>, launch: Launch, dir: &Path) -> Self {
        Self {
            name: name.into(),
            launch,
            dir: dir.to_owned(),
            starts: 0,
            running: None,
            ending: false,
        }
    }

    /// Starts it, killing what is left of the one before, and waits until it is bound.
    pub(crate) fn start(&mut self) -> anyhow::Result<&Program> {
        self.start_by(Program::start)
    }

    /// Starts it without waiting: it may need something that is not there.
    pub(crate) fn launch(&mut self) -> anyhow::Result<()> {
        self.start_by(Program::launch).map(|_| ())
    }

    fn start_by(
        &mut self,
        start: fn(&Launch, PathBuf) -> anyhow::Result<Program>,
    ) -> anyhow::Result<&Program> {
        self.kill();
        self.starts += 1;
        let log = self.dir.join(format!("{}-{}.log", self.name, self.starts));
        let program = start(&self.launch, log).context(self.name.clone())?;
        self.ending = false;
        Ok(self.running.insert(program))
    }

    /// Kills it (SIGKILL).
    pub(crate) fn kill(&mut self) {
        self.running = None;
    }

    /// Asks it to end (SIGTERM).
    pub(crate) fn terminate(&mut self) {
        self.ending = true;
        if let Some(program) = &self.running {
            program.server.terminate();
        }
    }

    /// Pauses it (SIGSTOP) or resumes it (SIGCONT).
    pub(crate) fn pause(&self, on: bool) {
        match &self.running {
            Some(program) if on => program.server.pause(),
            Some(program) => program.server.resume(),
            None => (),
        }
    }

    /// It need not keep running.
    pub(crate) fn may_end(&mut self) {
        self.ending = true;
    }

    /// The most memory that it has had, in bytes, since it was started.
    pub(crate) fn peak_memory(&self) -> Option<usize> {
        let pid = self.running.as_ref()?.server.pid()?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
        let kib: usize = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kib << 10)
    }

    pub(crate) fn program(&self) -> Option<&Program> {
        self.running.as_ref()
    }

    /// The end of its log if it has ended although nothing stopped it.
    pub(crate) fn crash(&mut self) -> Option<String> {
        let program = self.running.as_mut()?;
        if self.ending || !program.server.has_ended() {
            return None;
        }
        let log = program.log();
        let lines: Vec<_> = log.lines().rev().take(8).collect();
        let lines = lines.into_iter().rev().collect::<Vec<_>>().join("\n");
        Some(format!("{} ended by itself:\n{lines}", self.name))
    }
}

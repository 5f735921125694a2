//! Cores: the server under test has one of its own, and everything else has another.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The cores of this run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cores {
    pub(crate) server: usize,
    pub(crate) load: usize,
}

impl Cores {
    /// Two of the cores that this process may use. Returns nothing if there is one only.
    pub(crate) fn find() -> Option<Self> {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let list = status
            .lines()
            .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        let cores = parse(list.unwrap().trim());
        let (load, server) = (*cores.first()?, *cores.last()?);
        (load != server).then_some(Self { server, load })
    }

    /// Binds this process, with all that it starts, to its core.
    pub(crate) fn split(self) {
        bind(&self.load.to_string());
    }

    /// Lets this process, with all that it starts, have both.
    #[allow(dead_code, reason = "not every bench shares them")]
    pub(crate) fn share(self) {
        bind(&format!("{},{}", self.load, self.server));
    }

    /// Binds the thread that calls to a core.
    pub(crate) fn bind_thread(core: usize) {
        let thread = std::fs::read_link("/proc/thread-self").unwrap();
        let thread = thread.file_name().unwrap().to_str().unwrap();
        taskset(&["--cpu-list", "--pid", &core.to_string(), thread]);
    }
}

fn bind(list: &str) {
    let me = std::process::id().to_string();
    taskset(&["--all-tasks", "--cpu-list", "--pid", list, &me]);
}

fn taskset(args: &[&str]) {
    let bound = Command::new("taskset").args(args).output().unwrap();
    assert!(bound.status.success(), "{bound:?}");
}

/// The kernel kills whoever runs under this when its parent dies, however that happens.
const DIES_WITH_ITS_PARENT: &str = "--pdeathsig=KILL";

/// The program and the arguments that start a server on its core.
pub(crate) fn on_its_core(
    cores: Option<Cores>,
    program: &Path,
    args: Vec<String>,
) -> (PathBuf, Vec<String>) {
    let mut line = vec![DIES_WITH_ITS_PARENT.to_owned()];
    if let Some(Cores { server, .. }) = cores {
        line.extend(["taskset", "--cpu-list"].map(str::to_owned));
        line.push(server.to_string());
    }
    line.push(program.display().to_string());
    line.extend(args);
    ("setpriv".into(), line)
}

/// The numbers of a list of the kernel's, such as `0-2,5`.
fn parse(list: &str) -> Vec<usize> {
    let number = |text: &str| text.parse::<usize>().unwrap();
    list.split(',')
        .flat_map(|part| match part.split_once('-') {
            Some((first, last)) => number(first)..=number(last),
            None => number(part)..=number(part),
        })
        .collect()
}

//! The embedded broker as a process with a journal, so that it can be killed.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use datastream_e2e::{Launch, own_program};

use crate::network::{Network, Node, Side};
use crate::process::Process;

/// The broker, and where it is: at the same place after every restart, as a cluster's services are.
pub(crate) struct Broker {
    pub process: Process,
    pub address: String,
    control: String,
    journal: PathBuf,
    paused: bool,
}

impl Broker {
    /// Starts a broker with these topics (`NAME:PARTITIONS`) on a node. Its fault switches are at the node's other address.
    pub(crate) fn start(
        dir: &Path,
        (network, node): (Network, Node),
        topics: &[&str],
    ) -> anyhow::Result<Self> {
        let program = own_program("datastream-broker")?;
        let launch = |fluvio: &str, unit: &str, control: &str| {
            let mut args = vec![
                format!("--listen={fluvio}"),
                format!("--unit-listen={unit}"),
                format!("--control={control}"),
                format!("--journal={}", dir.join("journal").display()),
            ];
            if network.is_own() {
                args.push(format!("--advertise={}", network.ip(node, Side::Main)));
            }
            args.extend(topics.iter().map(|topic| format!("--topic={topic}")));
            Launch::new(&program, args).within(network.within(node))
        };
        let any = network.any_port(node, Side::Main);
        let switches = network.any_port(node, Side::Other);
        let mut first = Process::new("broker-first", launch(&any, &any, &switches), dir);
        let bound = first.start()?;
        let at = |listener| bound.address(listener).map(str::to_owned);
        let (address, unit, control) = (at("fluvio")?, at("unit")?, at("control")?);
        drop(first);
        let launch = launch(&address, &unit, &control);
        let mut process = Process::new("broker", launch, dir);
        process.start()?;
        Ok(Self {
            process,
            address,
            control,
            journal: dir.join("journal"),
            paused: false,
        })
    }

    /// Stops it in mid-air (SIGSTOP) or lets it go on (SIGCONT).
    pub(crate) fn pause(&mut self, on: bool) {
        self.paused = on;
        self.process.pause(on);
    }

    /// Another broker that has everything that this one ever had, also what was evicted.
    pub(crate) fn archive(&self, dir: &Path) -> anyhow::Result<(Process, String)> {
        let journal = dir.join("archive");
        std::fs::copy(&self.journal, &journal)?;
        let args = [
            "--listen=127.0.0.1:0".to_owned(),
            format!("--journal={}", journal.display()),
            "--forget-evictions".to_owned(),
        ];
        let launch = Launch::new(own_program("datastream-broker")?, args);
        let mut process = Process::new("archive", launch, dir);
        let address = process.start()?.address("fluvio")?.to_owned();
        Ok((process, address))
    }

    /// Drops the beginning of a partition, up to this offset at most. Tells what is left, if it is running.
    pub(crate) fn evict(
        &self,
        topic: &str,
        partition: usize,
        offset: u64,
    ) -> anyhow::Result<Option<u64>> {
        let start = self.tell(&format!("evict {topic} {partition} {offset}"))?;
        Ok(start.map(|start| start.parse()).transpose()?)
    }

    /// Gives it a command of its fault switches, and tells its answer. Does nothing while it does not
    /// run or is stopped.
    pub(crate) fn tell(&self, command: &str) -> anyhow::Result<Option<String>> {
        if self.paused || self.process.program().is_none() {
            return Ok(None);
        }
        let mut socket = TcpStream::connect(&self.control).context("the broker's control")?;
        socket.set_read_timeout(Some(Duration::from_secs(10)))?;
        writeln!(socket, "{command}")?;
        let mut answer = String::new();
        BufReader::new(socket).read_line(&mut answer)?;
        let answer = answer.trim().strip_prefix("ok");
        let answer = answer.with_context(|| format!("{command} is refused"))?;
        Ok(Some(answer.trim().to_owned()).filter(|answer| !answer.is_empty()))
    }
}

//! The embedded broker as a process with a journal, so that it can be killed.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use datastream_e2e::{Launch, own_program};

use crate::process::Process;

/// The broker, and where it is: at the same place after every restart, as a cluster's services are.
pub(crate) struct Broker {
    pub process: Process,
    pub address: String,
    control: String,
}

impl Broker {
    /// Starts a broker with these topics (`NAME:PARTITIONS`) on `ip`. `within` is a command to run it under.
    pub(crate) fn start(
        dir: &Path,
        ip: &str,
        topics: &[&str],
        within: &[&str],
    ) -> anyhow::Result<Self> {
        let program = own_program("datastream-broker")?;
        let launch = |fluvio: &str, unit: &str, control: &str| {
            let mut args = vec![
                format!("--listen={fluvio}"),
                format!("--unit-listen={unit}"),
                format!("--control={control}"),
                format!("--journal={}", dir.join("journal").display()),
            ];
            args.extend(topics.iter().map(|topic| format!("--topic={topic}")));
            Launch::new(&program, args).within(within)
        };
        let any = format!("{ip}:0");
        let mut first = Process::new("broker-first", launch(&any, &any, &any), dir);
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
        })
    }

    /// Gives it a command of its fault switches. Does nothing while it is not running.
    pub(crate) fn tell(&self, command: &str) -> anyhow::Result<()> {
        if self.process.program().is_none() {
            return Ok(());
        }
        let mut socket = TcpStream::connect(&self.control).context("the broker's control")?;
        socket.set_read_timeout(Some(Duration::from_secs(10)))?;
        writeln!(socket, "{command}")?;
        let mut answer = String::new();
        BufReader::new(socket).read_line(&mut answer)?;
        anyhow::ensure!(answer.trim() == "ok", "{command}: {answer}");
        Ok(())
    }
}

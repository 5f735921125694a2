//! The embedded broker as a process with a journal, so that it can be killed.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use datastream_e2e::{Launch, own_program};
use rand::RngExt as _;
use rand::rngs::StdRng;

use crate::certificates::Certificates;
use crate::network::{Network, Node, Side};
use crate::process::Process;

/// The broker, and where it is: at the same place after every restart, as a cluster's services are.
pub(crate) struct Broker {
    pub process: Process,
    pub address: String,
    control: String,
    journal: PathBuf,
    paused: bool,
    /// Journals as they were before each damage.
    kept: Vec<PathBuf>,
}

impl Broker {
    /// Starts a broker with these topics (`NAME:PARTITIONS`) on a node. Its fault switches are at the node's other address.
    pub(crate) fn start(
        dir: &Path,
        (network, node): (Network, Node),
        topics: &[&str],
        tls: Option<&Certificates>,
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
            if let Some(certificates) = tls {
                args.extend(certificates.of_server());
                let authority = certificates.authority();
                args.push(format!("--tls-client-ca={}", authority.display()));
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
            kept: vec![],
        })
    }

    /// Pauses it (SIGSTOP) or resumes it (SIGCONT).
    pub(crate) fn pause(&mut self, on: bool) {
        self.paused = on;
        self.process.pause(on);
    }

    /// Other brokers that have everything that this one ever had, also what was evicted: the last one what is left, those before it what
    /// was there before the journal was damaged.
    pub(crate) fn archives(&self, dir: &Path) -> anyhow::Result<Vec<(Process, String)>> {
        let journal = dir.join("archive");
        std::fs::copy(&self.journal, &journal)?;
        let all = self.kept.iter().chain([&journal]).enumerate();
        all.map(|(number, journal)| archive(number, journal, dir))
            .collect()
    }

    /// Keeps what the journal has now, and destroys one batch of a topic in it, while the broker does not run. Not the last one of its
    /// partition, whose offsets would be given to others, nor the first. Returns whether there was one.
    pub(crate) fn ruin(&mut self, topics: &[&str], rng: &mut StdRng) -> anyhow::Result<bool> {
        let mut journal = std::fs::read(&self.journal)?;
        let batches = batches(&journal, topics);
        let is_between = |number: &usize| {
            let (partition, _) = &batches[*number];
            let has = |part: &[Batch]| part.iter().any(|(other, _)| other == partition);
            has(&batches[..*number]) && has(&batches[number + 1..])
        };
        let candidates: Vec<_> = (0..batches.len()).filter(is_between).collect();
        let Some(number) = candidates.get(rng.random_range(0..candidates.len().max(1))) else {
            return Ok(false);
        };
        let kept = self
            .journal
            .with_extension(format!("kept-{}", self.kept.len()));
        std::fs::copy(&self.journal, &kept)?;
        self.kept.push(kept);
        let (_, place) = &batches[*number];
        let at = rng.random_range(place.clone());
        journal[at] ^= 1 << rng.random_range(0..8);
        std::fs::write(&self.journal, journal)?;
        Ok(true)
    }

    /// Drops the beginning of a partition, up to this offset at most. Returns the first offset that is left, if it is running.
    pub(crate) fn evict(
        &self,
        topic: &str,
        partition: usize,
        offset: u64,
    ) -> anyhow::Result<Option<u64>> {
        let start = self.command(&format!("evict {topic} {partition} {offset}"))?;
        Ok(start.map(|start| start.parse()).transpose()?)
    }

    /// Sends it a command of its fault switches, and returns the response. Does nothing while it does not
    /// run or is stopped.
    pub(crate) fn command(&self, command: &str) -> anyhow::Result<Option<String>> {
        if self.paused || self.process.program().is_none() {
            return Ok(None);
        }
        let mut socket = TcpStream::connect(&self.control).context("the broker's control")?;
        socket.set_read_timeout(Some(Duration::from_secs(10)))?;
        writeln!(socket, "{command}")?;
        let mut answer = String::new();
        BufReader::new(socket).read_line(&mut answer)?;
        let said = answer.trim().strip_prefix("ok");
        let answer = said.with_context(|| format!("{command} is refused: {answer}"))?;
        Ok(Some(answer.trim().to_owned()).filter(|answer| !answer.is_empty()))
    }
}

fn archive(number: usize, journal: &Path, dir: &Path) -> anyhow::Result<(Process, String)> {
    let args = [
        "--listen=127.0.0.1:0".to_owned(),
        format!("--journal={}", journal.display()),
        "--forget-evictions".to_owned(),
    ];
    let launch = Launch::new(own_program("datastream-broker")?, args);
    let mut process = Process::new(format!("archive-{number}"), launch, dir);
    let address = process.start()?.address("fluvio")?.to_owned();
    Ok((process, address))
}

/// Topic and partition of a batch, and where it is.
type Batch = ((String, u32), Range<usize>);

/// Returns the places of the batches of some topics in a journal, each with its topic and partition. An entry is `DSJ1`, its
/// number (8 bytes), the length of its body (4), two checksums (4 each), and the body: its kind (2 for a batch), the length of
/// the topic's name (2), the name, the partition (4).
fn batches(journal: &[u8], topics: &[&str]) -> Vec<Batch> {
    const HEADER: usize = 24;
    const BATCH: u8 = 2;
    let mut found = vec![];
    let mut at = 0;
    while let Some(header) = journal.get(at..at + HEADER) {
        if !header.starts_with(b"DSJ1") {
            at += 1;
            continue;
        }
        let length = u32::from_be_bytes([header[12], header[13], header[14], header[15]]) as usize;
        let Some(body) = journal.get(at + HEADER..at + HEADER + length) else {
            break;
        };
        let named = |topic: &&&str| {
            let length = (topic.len() as u16).to_be_bytes();
            body.get(1..3 + topic.len()) == Some(&[&length, topic.as_bytes()].concat())
        };
        if body.first() == Some(&BATCH)
            && let Some(topic) = topics.iter().find(named)
            && let Some(&[a, b, c, d]) = body.get(3 + topic.len()..7 + topic.len())
        {
            let place = at + HEADER + 7 + topic.len()..at + HEADER + length;
            found.push((
                ((*topic).to_owned(), u32::from_be_bytes([a, b, c, d])),
                place,
            ));
        }
        at += HEADER + length;
    }
    found
}

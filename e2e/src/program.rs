//! One of the project's programs as a process that says what it has bound.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;

use crate::process::{Launch, Server};

const PATIENCE: Duration = Duration::from_mins(1);

/// A process, its log, and what it said when it was bound: one line of JSON on its standard output.
#[derive(Debug)]
pub struct Program {
    /// The process.
    pub server: Server,
    log: PathBuf,
    bound: Value,
}

impl Program {
    /// Starts a program and waits until it says what it has bound.
    ///
    /// # Errors
    /// It cannot be started, or ends or says nothing in time; the message has its log.
    pub fn start(launch: &Launch, log: PathBuf) -> anyhow::Result<Self> {
        let (server, stdout) = launch.start_piped(&log)?;
        let (said, hears) = sync_channel(1);
        std::thread::spawn(move || {
            let mut line = String::new();
            let _ = BufReader::new(stdout).read_line(&mut line);
            let _ = said.send(line);
        });
        let line = hears.recv_timeout(PATIENCE).unwrap_or_default();
        let bound = serde_json::from_str(&line).with_context(|| {
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            format!("{} is not up: {log}", launch.name())
        })?;
        Ok(Self { server, log, bound })
    }

    /// Starts a program and does not wait for what it has to say.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn launch(launch: &Launch, log: PathBuf) -> anyhow::Result<Self> {
        let server = launch.start(&log)?;
        let bound = Value::Null;
        Ok(Self { server, log, bound })
    }

    /// HOST:PORT of one of its listeners.
    ///
    /// # Errors
    /// It has none of that name.
    pub fn address(&self, listener: &str) -> anyhow::Result<&str> {
        let address = self.bound[listener].as_str();
        let address = address.with_context(|| format!("{listener} is not in {}", self.bound))?;
        let bare = ["http://", "https://"]
            .into_iter()
            .find_map(|scheme| address.strip_prefix(scheme));
        Ok(bare.unwrap_or(address))
    }

    /// Returns what it has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The sum of a metric of its admin listener over all labels.
    ///
    /// # Errors
    /// The listener does not answer, or not with metrics.
    pub fn metric(&self, listener: &str, name: &str) -> anyhow::Result<f64> {
        let (_, text) = get(self.address(listener)?, "/metrics")?;
        text.lines()
            .filter(|line| line.starts_with(name))
            .map(|line| Ok(line.rsplit(' ').next().unwrap_or_default().parse::<f64>()?))
            .sum()
    }
}

/// A plain GET: status and body.
///
/// # Errors
/// Nobody answers in time, or not in HTTP.
pub fn get(address: &str, path: &str) -> anyhow::Result<(u16, String)> {
    request(address, "GET", path, "")
}

/// The status and the body of a request without a body, with these header lines.
///
/// # Errors
/// Nobody answers, or not with HTTP.
pub fn request(
    address: &str,
    method: &str,
    path: &str,
    lines: &str,
) -> anyhow::Result<(u16, String)> {
    let mut tcp = TcpStream::connect(address).with_context(|| address.to_owned())?;
    tcp.set_read_timeout(Some(PATIENCE))?;
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\n{lines}Connection: close\r\n\r\n");
    tcp.write_all(request.as_bytes())?;
    let mut answer = String::new();
    tcp.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
    let status = head.split(' ').nth(1).context("no HTTP status")?.parse()?;
    Ok((status, body.to_owned()))
}

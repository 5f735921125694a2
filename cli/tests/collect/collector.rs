//! The collector as a process.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use super::support::PATIENCE;

/// Interval at which a test looks whether something has happened that it cannot await.
const LOOK: Duration = Duration::from_millis(20);

/// A running collector. It is killed when this is dropped.
pub(crate) struct Collector {
    child: Child,
    metrics: SocketAddr,
    log: Arc<Mutex<String>>,
    /// Reads the log to its end.
    reader: JoinHandle<()>,
}

impl Collector {
    /// Starts one in this folder, with this configuration, and waits until it has read it.
    pub(crate) fn start(folder: &Path, config: &str) -> Self {
        let mut child = command(folder, "streams.yaml", config)
            .args(["--metrics", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let stderr = child.stderr.take().unwrap().into_owned_fd().unwrap();
        let lines = BufReader::new(std::fs::File::from(stderr)).lines();
        let out = log.clone();
        let reader = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut log = out.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        let stdout = child.stdout.take().unwrap().into_owned_fd().unwrap();
        let mut first = String::new();
        BufReader::new(std::fs::File::from(stdout))
            .read_line(&mut first)
            .unwrap();
        let Ok(first) = serde_json::from_str::<Value>(&first) else {
            panic!("it did not start: {}", log.lock().unwrap());
        };
        let address = first["metrics"].as_str().unwrap();
        Self {
            child,
            metrics: address.strip_prefix("http://").unwrap().parse().unwrap(),
            log,
            reader,
        }
    }

    /// Returns what it has logged.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// The status and the body of a GET.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let mut tcp = TcpStream::connect(self.metrics).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        tcp.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let read = timeout(PATIENCE, tcp.read_to_string(&mut answer)).await;
        read.expect("an answer in time").unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    }

    /// The value of a metric of a stream.
    pub(crate) async fn metric(&self, name: &str, stream: &str) -> Option<u64> {
        let (_, text) = self.get("/metrics").await;
        let prefix = format!("datastream_collector_{name}{{stream=\"{stream}\"}} ");
        let value = text.lines().find_map(|line| line.strip_prefix(&prefix))?;
        Some(value.parse().unwrap())
    }

    /// Waits until a metric of a stream has this value.
    pub(crate) async fn reaches(&self, name: &str, stream: &str, value: u64) {
        let reached = timeout(PATIENCE, async {
            while self.metric(name, stream).await != Some(value) {
                sleep(LOOK).await;
            }
        });
        if reached.await.is_err() {
            let found = self.metric(name, stream).await;
            panic!(
                "{name} of {stream} is {found:?}, not {value}\n{}",
                self.log()
            );
        }
    }

    /// Waits until it has logged this.
    pub(crate) async fn says(&self, text: &str) {
        let said = eventually(|| self.log().contains(text)).await;
        assert!(said, "{text:?} is not in\n{}", self.log());
    }

    /// Kills it, as nothing can be prepared for.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Asks it to stop, and waits until it has. Gives its log, too.
    pub(crate) async fn stop(self) -> (ExitStatus, String) {
        let pid = self.child.id().unwrap().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().await;
        assert!(sent.unwrap().success());
        self.ended().await
    }

    /// Waits until it ends by itself. Gives its log, too.
    pub(crate) async fn ended(mut self) -> (ExitStatus, String) {
        let ended = timeout(PATIENCE, self.child.wait()).await;
        let status = ended.expect("ends in time").unwrap();
        self.reader.join().unwrap();
        let log = self.log.lock().unwrap().clone();
        (status, log)
    }
}

/// Runs a collector that ends by itself: whether it succeeded, and what it wrote.
pub(crate) async fn run(folder: &Path, name: &str, config: &str) -> (bool, String) {
    let child = command(folder, name, config)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let output = timeout(PATIENCE, child.wait_with_output()).await;
    let output = output.expect("ends in time").unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

/// A collector with this configuration, in this folder.
pub(crate) fn command(folder: &Path, name: &str, config: &str) -> Command {
    let path = folder.join(name);
    std::fs::write(&path, config).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_datastream"));
    command
        .args(["collect", "--config"])
        .arg(path)
        .current_dir(folder)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Waits until something is so.
pub(crate) async fn eventually(mut is_so: impl FnMut() -> bool) -> bool {
    timeout(PATIENCE, async {
        while !is_so() {
            sleep(LOOK).await;
        }
    })
    .await
    .is_ok()
}

/// A folder for a test.
pub(crate) fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

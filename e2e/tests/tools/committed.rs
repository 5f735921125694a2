//! `datastream dev` with a subscription that remembers where its stream is, for programs that ask for the same URL each time.

use std::fs;
use std::ops::RangeInclusive;
use std::time::Duration;

use datastream_e2e::own_program;
use datastream_e2e::ports::fixed_port;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use crate::PATIENCE;
use crate::events;
use crate::http::request;
use crate::process::Process;
use crate::reader::Reader;

/// Seconds after which a server ends, whatever happens.
const LIFETIME: u32 = 120;
/// Pause between two looks at what a server reports, which it does not do often.
const LOOK: Duration = Duration::from_millis(500);

const MANIFEST: &str = "apiVersion: datastream.dev/v1alpha1
kind: DatastreamSubscription
metadata:
  name: committed
spec:
  eventTypes: [datapoint]
  resume: Committed
  heartbeat:
    intervalSeconds: 5
";

/// A server on ports that stay the same.
pub(crate) struct CommittedServer {
    folder: TempDir,
    process: Process,
    /// The port for clients.
    pub(crate) port: u16,
    admin: u16,
    /// The key of the stream.
    pub(crate) key: String,
}

/// Starts a server on the manifest and the journal in a folder. Returns the key of its stream, too.
async fn run(folder: &TempDir, port: u16, admin: u16) -> (Process, String) {
    let path = |name: &str| folder.path().join(name).display().to_string();
    let words = [
        own_program("datastream").unwrap().display().to_string(),
        "dev".to_owned(),
        "--output=json".to_owned(),
        format!("--listen=127.0.0.1:{port}"),
        format!("--admin=127.0.0.1:{admin}"),
        format!("--manifests={}", path("manifests")),
        format!("--journal={}", path("journal")),
    ];
    let process = Process::start(&words, LIFETIME);
    let is_up = process.has_written("URL of a stream", |output| output.lines.len() >= 2);
    let line: Value = serde_json::from_str(&is_up.await.lines[1]).unwrap();
    let url = line["url"].as_str().expect("the URL of the stream");
    let key = url.split_once("stream_key=").expect("a key").1;
    (process, key.to_owned())
}

impl CommittedServer {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let manifests = folder.path().join("manifests");
        fs::create_dir(&manifests).unwrap();
        fs::write(manifests.join("committed.yaml"), MANIFEST).unwrap();
        let (port, admin) = (fixed_port().unwrap(), fixed_port().unwrap());
        let (process, key) = run(&folder, port, admin).await;
        Self {
            folder,
            process,
            port,
            admin,
            key,
        }
    }

    /// Publishes events with these numbers.
    pub(crate) async fn publish(&self, numbers: RangeInclusive<u64>) {
        let lines = events::lines(numbers, 0);
        let published = request(self.admin, "POST", "/events", &lines).await;
        let (status, answer) = published.unwrap();
        assert_eq!(status, 200, "{answer}");
    }

    /// Ends it in this way, and starts it again.
    async fn restart(&mut self, end: fn(&Process)) {
        end(&self.process);
        self.process.ended().await;
        self.process = run(&self.folder, self.port, self.admin).await.0;
    }

    /// Waits until a client has the stream: the position of a subscription that has none yet is that of the next event.
    async fn is_connected(&self) {
        let target = format!("/stream?stream_key={}", self.key);
        let connected = timeout(PATIENCE, async {
            loop {
                let (_, report) = request(self.port, "GET", &target, "").await.unwrap();
                let report: Value = serde_json::from_str(&report).unwrap();
                if report["connected"] == true {
                    break;
                }
                sleep(LOOK).await;
            }
        });
        connected.await.expect("a client in time");
    }

    /// Publishes events, drains and kills the server, and looks that the program misses none and prints none twice.
    pub(crate) async fn is_followed_over_restarts(&mut self, reader: &Reader) {
        self.is_connected().await;
        self.publish(1..=20).await;
        reader.printed(20).await;
        self.restart(Process::terminate).await;
        self.publish(21..=40).await;
        reader.printed(40).await;
        self.restart(Process::kill).await;
        self.publish(41..=60).await;
        reader.printed(60).await;
        reader.has(1..=60);
    }
}

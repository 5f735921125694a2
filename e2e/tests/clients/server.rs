//! The development server, `datastream dev`, with one subscription; its events and key outlive a restart.

use std::fs;
use std::ops::RangeInclusive;
use std::path::PathBuf;
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

/// Seconds after which a server ends, whatever happens.
const LIFETIME: u32 = 170;
/// The same for a broker.
const BROKER_LIFETIME: u32 = 150;
/// Bytes that a broker keeps of a topic whose first events expire.
const RETENTION: usize = 20_000;
/// Bytes more in each of the events of such a topic.
const PADDING: usize = 50;
/// Pause between two looks at what a server reports, which it does not do often.
const LOOK: Duration = Duration::from_millis(500);

const MANIFEST: &str = "apiVersion: datastream.dev/v1alpha1
kind: DatastreamSubscription
metadata:
  name: all
spec:
  eventTypes: [datapoint]
  heartbeat:
    intervalSeconds: 5
";

/// A server on ports that stay the same.
pub(crate) struct Server {
    folder: TempDir,
    options: Vec<String>,
    process: Option<Process>,
    /// The port for clients.
    pub(crate) port: u16,
    admin: u16,
    /// Path and query of the stream.
    target: String,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// Starts a server with these options, too.
    pub(crate) async fn with(options: &[&str]) -> Self {
        Self::of(MANIFEST, options).await
    }

    /// Starts a server with another subscription and these options.
    pub(crate) async fn of(manifest: &str, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("manifests")).unwrap();
        let mut server = Self {
            folder,
            options: options.iter().map(|&option| option.to_owned()).collect(),
            process: None,
            port: fixed_port().unwrap(),
            admin: fixed_port().unwrap(),
            target: String::new(),
        };
        fs::write(server.manifest(), manifest).unwrap();
        server.run().await;
        server
    }

    /// Starts a server whose first events, of 500, have expired, with the broker that it uses.
    pub(crate) async fn with_expired() -> (Self, Process) {
        let broker = format!("127.0.0.1:{}", fixed_port().unwrap());
        let words = [
            own_program("datastream-broker")
                .unwrap()
                .display()
                .to_string(),
            format!("--listen={broker}"),
            "--topic=device-events".to_owned(),
            format!("--retention-bytes={RETENTION}"),
        ];
        let process = Process::start(&words, BROKER_LIFETIME);
        process
            .has_written("address", |output| !output.lines.is_empty())
            .await;
        let server = Self::with(&[&format!("--fluvio={broker}")]).await;
        for round in 0..10 {
            let first = round * 50 + 1;
            server.publish_padded(first..=first + 49, PADDING).await;
        }
        // What a server knows of the log's start is a moment old: all that has to go must be known to be gone.
        let line = events::lines(1..=1, PADDING).len();
        let rest_fits = |report: &Value| {
            let first = report["replay"]["first"].as_str();
            let first: Option<usize> = first.and_then(|first| first.parse().ok());
            first.is_some_and(|first| (501 - first) * line <= RETENTION)
        };
        server.reports("all that has expired", rest_fits).await;
        (server, process)
    }

    /// The file of its subscription.
    fn manifest(&self) -> PathBuf {
        self.folder.path().join("manifests/all.yaml")
    }

    async fn run(&mut self) {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        let mut words = vec![own_program("datastream").unwrap().display().to_string()];
        let fixed = [
            "dev",
            "--output=json",
            &format!("--listen=127.0.0.1:{}", self.port),
            &format!("--admin=127.0.0.1:{}", self.admin),
            &format!("--manifests={}", path("manifests")),
        ];
        words.extend(fixed.map(str::to_owned));
        // A broker of its own keeps what it has by itself.
        if !self
            .options
            .iter()
            .any(|option| option.starts_with("--fluvio"))
        {
            words.push(format!("--journal={}", path("journal")));
        }
        words.extend(self.options.clone());
        let process = Process::start(&words, LIFETIME);
        let is_up = process.has_written("URL of a stream", |output| output.lines.len() >= 2);
        let line: Value = serde_json::from_str(&is_up.await.lines[1]).unwrap();
        let url = line["url"].as_str().expect("the URL of the stream");
        let target = url.splitn(4, '/').nth(3).expect("a path");
        self.target = format!("/{target}");
        self.process = Some(process);
    }

    /// The URL of the stream at this port.
    pub(crate) fn url(&self, port: u16) -> String {
        format!("ws://127.0.0.1:{port}{}", self.target)
    }

    /// Publishes events with these numbers.
    pub(crate) async fn publish(&self, numbers: RangeInclusive<u64>) {
        self.publish_padded(numbers, 0).await;
    }

    /// Publishes events with these numbers that are so many bytes longer.
    pub(crate) async fn publish_padded(&self, numbers: RangeInclusive<u64>, padding: usize) {
        let lines = events::lines(numbers, padding);
        let answer = request(self.admin, "POST", "/events", &lines)
            .await
            .unwrap();
        assert_eq!(answer.0, 200, "{}", answer.1);
    }

    /// Its report about the stream.
    async fn report(&self) -> Value {
        let (status, body) = request(self.port, "GET", &self.target, "").await.unwrap();
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    /// Waits until this is true of its report about the stream.
    async fn reports(&self, what: &str, is_so: impl Fn(&Value) -> bool) {
        let reported = timeout(PATIENCE, async {
            while !is_so(&self.report().await) {
                sleep(LOOK).await;
            }
        });
        assert!(reported.await.is_ok(), "it does not report {what}");
    }

    /// Waits until a client has the stream.
    pub(crate) async fn is_connected(&self) {
        self.reports("a client", |report| report["connected"] == true)
            .await;
    }

    /// Kills it in mid-air.
    pub(crate) async fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
            process.ended().await;
        }
    }

    /// Asks it to end, and waits until it has taken leave of its clients.
    pub(crate) async fn drain(&mut self) {
        if let Some(process) = self.process.take() {
            process.terminate();
            process.ended().await;
        }
    }

    /// Starts it again.
    pub(crate) async fn start_again(&mut self) {
        self.run().await;
    }

    /// Deletes its subscription.
    pub(crate) fn delete_subscription(&self) {
        fs::remove_file(self.manifest()).unwrap();
    }
}

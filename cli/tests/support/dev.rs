//! `datastream dev` as a process.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::time::timeout;

use super::PATIENCE;

/// `datastream dev` as a process, on a folder of manifests.
pub(crate) struct Dev {
    pub(crate) child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    stderr: Option<Lines<BufReader<ChildStderr>>>,
    admin: SocketAddr,
    pub(crate) manifests: TempDir,
}

impl Dev {
    pub(crate) async fn start(manifests: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in manifests {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        Self::start_in(folder, &[]).await
    }

    pub(crate) async fn start_in(folder: TempDir, options: &[&str]) -> Self {
        Self::start_with(folder, options, Stdio::piped()).await
    }

    pub(crate) async fn start_with(folder: TempDir, options: &[&str], stderr: Stdio) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_datastream"))
            .args([
                "dev",
                "--listen",
                "127.0.0.1:0",
                "--admin",
                "127.0.0.1:0",
                "--output",
                "json",
                "--manifests",
            ])
            .arg(folder.path())
            .args(options)
            .stdout(Stdio::piped())
            .stderr(stderr)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        let stderr = child.stderr.take().map(|s| BufReader::new(s).lines());
        let first = json(&mut stdout).await;
        let admin = first["admin"]
            .as_str()
            .unwrap()
            .strip_prefix("http://")
            .unwrap()
            .parse()
            .unwrap();
        assert!(
            first["fluvio"]
                .as_str()
                .unwrap()
                .parse::<SocketAddr>()
                .unwrap()
                .ip()
                .is_loopback()
        );
        Self {
            child,
            stdout,
            stderr,
            admin,
            manifests: folder,
        }
    }

    /// The log, line by line.
    pub(crate) fn log(&mut self) -> &mut Lines<BufReader<ChildStderr>> {
        self.stderr.as_mut().unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        Path::new(self.manifests.path()).join(name)
    }

    /// The URL of the next stream that is printed, which must be of this name.
    pub(crate) async fn stream(&mut self, name: &str) -> String {
        let line = json(&mut self.stdout).await;
        assert_eq!(
            (&line["namespace"], &line["name"]),
            (&"default".into(), &name.into())
        );
        line["url"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn post(&self, lines: &str) -> (u16, Value) {
        self.post_to("/events", lines).await
    }

    pub(crate) async fn post_to(&self, target: &str, lines: &str) -> (u16, Value) {
        let mut tcp = TcpStream::connect(self.admin).await.unwrap();
        let length = lines.len();
        let head = format!(
            "POST {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
        );
        tcp.write_all(format!("{head}{lines}").as_bytes())
            .await
            .unwrap();
        let mut answer = String::new();
        timeout(PATIENCE, tcp.read_to_string(&mut answer))
            .await
            .expect("an answer in time")
            .unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (
            head.split(' ').nth(1).unwrap().parse().unwrap(),
            serde_json::from_str(body).unwrap(),
        )
    }
}

async fn json(lines: &mut Lines<BufReader<ChildStdout>>) -> Value {
    let line = timeout(PATIENCE, lines.next_line())
        .await
        .expect("a line in time")
        .unwrap()
        .expect("a line");
    serde_json::from_str(&line).unwrap()
}

//! A real PostgreSQL server, on loopback, in a folder of its own.

use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, NoTls};

use super::support::PATIENCE;

/// The server. It is stopped when this is dropped, and stops by itself after a while if the test was killed.
pub(crate) struct Database {
    folder: TempDir,
    port: u16,
    server: Option<Child>,
    options: Vec<String>,
}

/// A connection of the test, and what a collector has to know.
pub(crate) struct Postgres {
    /// For the configuration of a collector.
    pub(crate) url: String,
    /// The connection of the test.
    pub(crate) client: Client,
}

impl Database {
    /// Makes a server and starts it.
    pub(crate) async fn start() -> Self {
        let mut database = Self::make();
        database.resume().await;
        database
    }

    /// Makes a server that offers TLS, with a certificate of an authority of its own, and starts it.
    pub(crate) async fn start_with_tls() -> Self {
        let mut database = Self::make();
        database.certificate("authority", &[]);
        let authority = ["-CA", "authority.pem", "-CAkey", "authority.key"];
        let server = [
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-addext",
            "basicConstraints=CA:FALSE",
        ];
        let [certificate, key] =
            database.certificate("server", &[&authority[..], &server].concat());
        database.options = vec![
            "ssl=on".to_owned(),
            format!("ssl_cert_file={}", certificate.display()),
            format!("ssl_key_file={}", key.display()),
        ];
        database.resume().await;
        database
    }

    /// The certificate of the authority.
    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    fn make() -> Self {
        let folder = tempfile::tempdir().unwrap();
        own(folder.path());
        let data = folder.path().join("data");
        let made = as_user(&program("initdb"))
            .args([
                "--auth=trust",
                "--username=collector",
                "--no-sync",
                "--encoding=UTF8",
            ])
            .arg("--locale=C")
            .arg(&data)
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(made.success(), "initdb failed");
        // Free now; should another process take it, the server does not start, and the test says so.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        Self {
            folder,
            port,
            server: None,
            options: vec![],
        }
    }

    /// Makes a certificate and its key.
    fn certificate(&self, name: &str, signed: &[&str]) -> [PathBuf; 2] {
        let [certificate, key] =
            ["pem", "key"].map(|end| self.folder.path().join(name).with_extension(end));
        let subject = format!("/CN={name}");
        let made = as_user(Path::new("openssl"))
            .args([
                "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", &subject,
            ])
            .args(signed)
            .args([Path::new("-keyout"), &key, Path::new("-out"), &certificate])
            .current_dir(self.folder.path())
            .stderr(Stdio::null())
            .status();
        assert!(made.unwrap().success(), "openssl failed");
        [certificate, key]
    }

    /// Starts the server again.
    pub(crate) async fn resume(&mut self) {
        assert!(self.server.is_none());
        let mut command = as_user(&program("postgres"));
        command.arg("-D").arg(self.folder.path().join("data"));
        let port = format!("port={}", self.port);
        let sockets = format!("unix_socket_directories={}", self.folder.path().display());
        for setting in ["listen_addresses=127.0.0.1", "fsync=off", &port, &sockets] {
            command.args(["-c", setting]);
        }
        for setting in &self.options {
            command.args(["-c", setting]);
        }
        let log = std::fs::File::create(self.folder.path().join("log")).unwrap();
        self.server = Some(command.process_group(0).stderr(log).spawn().unwrap());
        self.connect().await;
    }

    /// Stops the server at once: its clients lose their connections.
    pub(crate) fn halt(&mut self) {
        let Some(mut server) = self.server.take() else {
            return;
        };
        // The first line of this file is the server's process; the child is the program that watches over it.
        let file = self.folder.path().join("data/postmaster.pid");
        let pid = std::fs::read_to_string(file).unwrap_or_default();
        if let Some(pid) = pid.lines().next() {
            let _ = Command::new("kill").args(["-INT", pid]).status();
        }
        let _ = server.wait();
    }

    /// The URL of its database.
    pub(crate) fn url(&self) -> String {
        format!("postgres://collector@127.0.0.1:{}/postgres", self.port)
    }

    /// Connects as soon as it answers.
    pub(crate) async fn connect(&self) -> Postgres {
        let url = self.url();
        let connected = timeout(PATIENCE, async {
            loop {
                match tokio_postgres::connect(&url, NoTls).await {
                    Ok(connected) => return connected,
                    Err(_) => sleep(std::time::Duration::from_millis(20)).await,
                }
            }
        });
        let Ok((client, connection)) = connected.await else {
            let log = std::fs::read_to_string(self.folder.path().join("log"));
            panic!("PostgreSQL does not start: {}", log.unwrap_or_default());
        };
        tokio::spawn(connection);
        Postgres { url, client }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.halt();
    }
}

impl Postgres {
    /// The first column of a query; nothing while there is no table.
    pub(crate) async fn texts(&self, query: &str) -> Vec<String> {
        let rows = self.client.query(query, &[]).await.unwrap_or_default();
        rows.iter().map(|row| row.get(0)).collect()
    }
}

/// A program of the server, of the newest version that is installed.
fn program(name: &str) -> PathBuf {
    let folder = std::fs::read_dir("/usr/lib/postgresql");
    let mut versions: Vec<_> = folder
        .expect("PostgreSQL is missing: scripts/install.sh installs it")
        .map(|entry| entry.unwrap().path())
        .collect();
    versions.sort();
    versions.pop().expect("a version").join("bin").join(name)
}

/// The server refuses to run as root: then it runs as `postgres`.
fn as_user(program: &Path) -> Command {
    // `timeout`, so that nothing outlives a test that is killed.
    let mut command = Command::new("timeout");
    command.args(["--signal=INT", "300"]);
    if is_root() {
        command.args([
            "setpriv",
            "--reuid=postgres",
            "--regid=postgres",
            "--clear-groups",
        ]);
    }
    command.arg(program).stdin(Stdio::null()).current_dir("/");
    command
}

fn own(folder: &Path) {
    if is_root() {
        let done = Command::new("chown").arg("postgres:").arg(folder).status();
        assert!(done.unwrap().success());
    }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout.trim_ascii() == b"0"
}

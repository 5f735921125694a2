//! A real PostgreSQL server, on loopback, in a folder of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tempfile::TempDir;

use crate::ports::fixed_port;
use crate::process::{Launch, Server};

const PATIENCE: Duration = Duration::from_mins(1);

/// The server. It ends when this is dropped, or the test is killed.
#[derive(Debug)]
pub struct Database {
    folder: TempDir,
    port: u16,
    server: Option<Server>,
    options: Vec<String>,
}

impl Database {
    /// Makes a server and starts it.
    ///
    /// # Errors
    /// PostgreSQL is missing, or does not start.
    pub fn start() -> anyhow::Result<Self> {
        let mut database = Self::make()?;
        database.resume()?;
        Ok(database)
    }

    /// Makes a server that offers TLS, with a certificate of an authority of its own, and starts it.
    ///
    /// # Errors
    /// PostgreSQL or openssl is missing, or it does not start.
    pub fn start_with_tls() -> anyhow::Result<Self> {
        let mut database = Self::make()?;
        database.certificate("authority", &[])?;
        let authority = ["-CA", "authority.pem", "-CAkey", "authority.key"];
        let server = [
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-addext",
            "basicConstraints=CA:FALSE",
        ];
        let [certificate, key] =
            database.certificate("server", &[&authority[..], &server].concat())?;
        database.options = vec![
            "ssl=on".to_owned(),
            format!("ssl_cert_file={}", certificate.display()),
            format!("ssl_key_file={}", key.display()),
        ];
        database.resume()?;
        Ok(database)
    }

    /// The certificate of the authority.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    fn make() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        if is_root()? {
            run(Command::new("chown").arg("postgres:").arg(folder.path()))?;
        }
        run(as_user(&program("initdb")?)?
            .args([
                "--auth=trust",
                "--username=collector",
                "--no-sync",
                "--encoding=UTF8",
                "--locale=C",
            ])
            .arg(folder.path().join("data")))?;
        let port = fixed_port()?;
        Ok(Self {
            folder,
            port,
            server: None,
            options: vec![],
        })
    }

    /// Makes a certificate and its key.
    fn certificate(&self, name: &str, signed: &[&str]) -> anyhow::Result<[PathBuf; 2]> {
        let [certificate, key] =
            ["pem", "key"].map(|end| self.folder.path().join(name).with_extension(end));
        let subject = format!("/CN={name}");
        run(as_user(Path::new("openssl"))?
            .args([
                "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", &subject,
            ])
            .args(signed)
            .args([Path::new("-keyout"), &key, Path::new("-out"), &certificate])
            .current_dir(self.folder.path()))?;
        Ok([certificate, key])
    }

    /// Starts the server again, and waits until it answers. After [`Database::crash`], it recovers first.
    ///
    /// # Errors
    /// It does not answer; the message has its log.
    pub fn resume(&mut self) -> anyhow::Result<()> {
        let folder = self.folder.path();
        let mut args = vec!["-D".to_owned(), folder.join("data").display().to_string()];
        let settings = [
            "listen_addresses=127.0.0.1".to_owned(),
            "fsync=off".to_owned(),
            format!("port={}", self.port),
            format!("unix_socket_directories={}", folder.display()),
        ];
        for setting in settings.iter().chain(&self.options) {
            args.extend(["-c".to_owned(), setting.clone()]);
        }
        let log = folder.join("log");
        let url = self.url();
        let launch = Launch::new(program("postgres")?, args).within(user()?);
        let server = self.server.insert(launch.start(&log)?);
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = query(&url, "SELECT 1") {
            if server.has_ended() || Instant::now() > deadline {
                let log = std::fs::read_to_string(log).unwrap_or_default();
                return Err(error.context(format!("PostgreSQL does not start: {log}")));
            }
        }
        Ok(())
    }

    /// Ends the server at once: its clients lose their connections, and what is not committed is gone.
    pub fn crash(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.quit();
            server.wait();
        }
    }

    /// The URL of its database.
    pub fn url(&self) -> String {
        format!("postgres://collector@127.0.0.1:{}/postgres", self.port)
    }

    /// The rows of a query, columns separated by `|`; none if there is no such table.
    ///
    /// # Errors
    /// The server does not answer, or not with rows.
    pub fn query(&self, sql: &str) -> anyhow::Result<Vec<String>> {
        match query(&self.url(), sql) {
            Err(error) if error.to_string().contains("does not exist") => Ok(vec![]),
            result => result,
        }
    }
}

impl Database {
    /// Carries out statements, all of them or none.
    ///
    /// # Errors
    /// The server does not answer or refuses one, or a table stays locked.
    pub fn execute(&self, sql: &str) -> anyhow::Result<()> {
        let mut command = Command::new(program("psql")?);
        command.env("PGOPTIONS", "-c lock_timeout=10s");
        let options = ["--no-psqlrc", "-q", "-v", "ON_ERROR_STOP=1", "-c", sql];
        run(command.arg(self.url()).args(options)).map(|_| ())
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Not killed: what a killed server leaves in shared memory stays there.
        self.crash();
    }
}

fn query(url: &str, sql: &str) -> anyhow::Result<Vec<String>> {
    let mut command = Command::new(program("psql")?);
    let rows = run(command.args([url, "--no-psqlrc", "-At", "-c", sql]))?;
    Ok(rows.lines().map(str::to_owned).collect())
}

/// A program of the server, of the newest version that is installed.
fn program(name: &str) -> anyhow::Result<PathBuf> {
    let missing = "PostgreSQL is missing: scripts/install.sh installs it";
    let folder = std::fs::read_dir("/usr/lib/postgresql").context(missing)?;
    let versions = folder.filter_map(|entry| Some(entry.ok()?.path()));
    let newest = versions.max().context(missing)?;
    Ok(newest.join("bin").join(name))
}

/// The server refuses to run as root: then it runs as `postgres`.
fn user() -> anyhow::Result<Vec<String>> {
    let switch = [
        "setpriv",
        "--reuid=postgres",
        "--regid=postgres",
        "--clear-groups",
    ];
    let switch = if is_root()? { &switch[..] } else { &[] };
    Ok(switch.iter().map(|part| (*part).to_owned()).collect())
}

fn as_user(program: &Path) -> anyhow::Result<Command> {
    // `timeout`, so that nothing outlives a test that is killed.
    let mut command = Command::new("timeout");
    command.args(["--signal=INT", "300"]);
    command.args(user()?).arg(program).current_dir("/");
    Ok(command)
}

fn is_root() -> anyhow::Result<bool> {
    Ok(run(Command::new("id").arg("-u"))?.trim() == "0")
}

fn run(command: &mut Command) -> anyhow::Result<String> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("{command:?}"))?;
    let error = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{command:?}: {}", error.trim());
    Ok(String::from_utf8(output.stdout)?)
}

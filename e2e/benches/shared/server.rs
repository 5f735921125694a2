//! Processes of a bench, and what they say.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use datastream_e2e::own_program;
use datastream_source::fluvio::FluvioTarget;

/// A process that dies with the bench, its limit of open files raised, and what it says line by line.
pub(crate) struct Server {
    pub child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    pub(crate) fn start(program: &Path, args: &[String], files: usize) -> Self {
        let mut child = Command::new("prlimit")
            .arg(format!("--nofile={files}:{files}"))
            .arg(program)
            .args(args)
            .env("RUST_LOG", "warn")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            stdin: child.stdin.take(),
            stdout: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    /// Starts a gateway on a topic, with routes from a folder and these arguments besides. Returns the addresses that it has bound, too.
    #[allow(dead_code, reason = "not every bench has a gateway like this")]
    pub(crate) fn gateway(
        target: &FluvioTarget,
        routes: &Path,
        more: &[String],
        files: usize,
    ) -> (Self, serde_json::Value) {
        let mut args = vec![
            "--listen=127.0.0.1:0".to_owned(),
            "--admin=127.0.0.1:0".to_owned(),
            format!("--fluvio={}", target.cluster.address()),
            format!("--topic={}", target.topic),
            format!("--routes-dir={}", routes.display()),
        ];
        args.extend_from_slice(more);
        let mut gateway = Self::start(&own_program("datastream-gateway").unwrap(), &args, files);
        let bound = serde_json::from_str(&gateway.line()).unwrap();
        (gateway, bound)
    }

    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        assert!(
            !line.is_empty(),
            "it ended (may it open so many files? see ulimit -Hn)"
        );
        line.trim().to_owned()
    }

    #[allow(dead_code, reason = "not every bench asks")]
    pub(crate) fn ask(&mut self, question: &str) -> Vec<u64> {
        writeln!(self.stdin.as_mut().unwrap(), "{question}").unwrap();
        let line = self.line();
        line.split(' ')
            .map(|number| number.parse().unwrap())
            .collect()
    }

    /// Hands out its standard input, which then asks nothing.
    #[allow(dead_code, reason = "not every bench writes events there")]
    pub(crate) fn take_stdin(&mut self) -> ChildStdin {
        self.stdin.take().unwrap()
    }
}

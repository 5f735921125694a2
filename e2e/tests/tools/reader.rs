//! A program that reads a stream and prints its events, one a line.

use std::ops::RangeInclusive;

use crate::events::assert_all;
use crate::process::{Output, Process};
use crate::server::Server;

/// Seconds after which it ends, whatever happens.
const LIFETIME: u32 = 120;

/// The program.
pub(crate) struct Reader {
    name: String,
    pub(crate) process: Process,
}

impl Reader {
    /// Starts a program with its arguments, and the key of a stream in `STREAM_KEY`.
    pub(crate) fn start(key: &str, words: &[&str]) -> Self {
        let key = format!("STREAM_KEY={key}");
        let words = ["env", &key].into_iter().chain(words.iter().copied());
        let words: Vec<_> = words.map(str::to_owned).collect();
        Self {
            name: words[2..].join(" "),
            process: Process::start(&words, LIFETIME),
        }
    }

    /// Waits until it has printed so many events.
    pub(crate) async fn printed(&self, count: u64) {
        let what = format!("{count} events of {}", self.name);
        let printed = |output: &Output| events(output).len() as u64 >= count;
        self.process.has_written(&what, printed).await;
    }

    /// Waits until it has noted so many lines with this text, on its standard error.
    pub(crate) async fn noted(&self, count: usize, text: &str) {
        let what = format!("{count} notes with {text:?} of {}", self.name);
        let of = |output: &Output| {
            let notes = output.notes.iter();
            notes.filter(|note| note.contains(text)).count()
        };
        let noted = |output: &Output| of(output) >= count;
        self.process.has_written(&what, noted).await;
    }

    /// Fails unless it has printed exactly these events so far, in order.
    pub(crate) fn has(&self, numbers: RangeInclusive<u64>) {
        assert_all(&self.name, &events(&self.process.output()), numbers);
    }

    /// Waits until it has ended well, with exactly these events. Returns what it has written.
    pub(crate) async fn ended_with(&self, numbers: RangeInclusive<u64>) -> Output {
        let output = self.process.ended().await;
        assert_eq!(output.code, Some(0), "{}: {:?}", self.name, output.notes);
        self.has(numbers);
        output
    }
}

/// The events among the lines that it has printed.
fn events(output: &Output) -> Vec<String> {
    let lines = output.lines.iter();
    let events = lines.filter(|line| line.starts_with(r#"{"seq""#));
    events.cloned().collect()
}

/// The key of the server's stream.
pub(crate) fn key(server: &Server) -> String {
    let url = server.url(server.port);
    let key = url.split_once("stream_key=").expect("a key").1;
    key.to_owned()
}

/// The URL of `/events` at a port of this machine.
pub(crate) fn events_at(port: u16) -> String {
    format!("http://127.0.0.1:{port}/events")
}

/// The URL of `/stream` at a port of this machine.
pub(crate) fn stream_at(port: u16) -> String {
    format!("ws://127.0.0.1:{port}/stream")
}

/// Publishes events, kills the server, drains it, and looks that the program misses none and gets none twice.
pub(crate) async fn resumes_over_restarts(server: &mut Server, reader: &Reader) {
    server.publish(1..=20).await;
    reader.printed(20).await;
    server.kill().await;
    server.start_again().await;
    server.publish(21..=40).await;
    reader.printed(40).await;
    server.drain().await;
    server.start_again().await;
    server.publish(41..=60).await;
    reader.printed(60).await;
    reader.has(1..=60);
}

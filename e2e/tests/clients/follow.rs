//! The program `follow` of a library, while it runs.

use crate::PATIENCE;
use crate::events::assert_all;
use crate::language::Language;
use crate::process::{Output, Process};

/// Seconds after which it ends, whatever happens.
const LIFETIME: u32 = 150;

/// A client.
pub(crate) struct Follow {
    name: &'static str,
    process: Process,
}

impl Follow {
    /// Starts a client of the stream at this URL, with these options.
    pub(crate) fn start(language: Language, url: &str, options: &[&str]) -> Self {
        let mut words = vec![language.program(), url.to_owned()];
        words.extend(options.iter().map(|&option| option.to_owned()));
        Self {
            name: language.name(),
            process: Process::start(&words, LIFETIME),
        }
    }

    /// Waits until it has printed this many events.
    pub(crate) async fn printed(&self, count: u64) {
        let what = format!("{count} events of {}", self.name);
        let printed = |output: &Output| output.lines.len() as u64 >= count;
        self.process.has_written(&what, printed).await;
    }

    /// Waits until it has noted a line with this text.
    pub(crate) async fn noted(&self, text: &str) {
        let what = format!("note with {text:?} of {}", self.name);
        let noted = |output: &Output| output.notes.iter().any(|note| note.contains(text));
        self.process.has_written(&what, noted).await;
    }

    /// The number of events that it has printed.
    pub(crate) fn count(&self) -> u64 {
        self.process.output().lines.len() as u64
    }

    /// Waits until it has ended well. Returns what it has written.
    pub(crate) async fn succeeded(&self) -> Output {
        let output = self.process.ended().await;
        assert_eq!(output.code, Some(0), "{}: {:?}", self.name, output.notes);
        output
    }

    /// Waits until it has ended well, with exactly these events.
    pub(crate) async fn succeeded_with(&self, first: u64, last: u64) -> Output {
        let output = self.succeeded().await;
        assert_all(self.name, &output.lines, first..=last);
        output
    }

    /// Waits until it has failed for good, and said why in its last line. Returns what it has written.
    pub(crate) async fn failed(&self, reason: &str) -> Output {
        let output = self.process.ended_within(PATIENCE.as_secs() as u32).await;
        let (name, notes) = (self.name, &output.notes);
        assert_eq!(output.code, Some(1), "{name}: {notes:?}");
        let last = notes.last().map(String::as_str).unwrap_or_default();
        assert!(last.starts_with(reason), "{name}: {notes:?}");
        output
    }
}

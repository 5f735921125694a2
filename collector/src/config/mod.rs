//! Configuration, what to collect and where to store it: `streams.yaml`, or the `config.json` of the DSS Collector.

mod check;
mod file;
mod original;
mod postgres_url;
mod units;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use datastream_service::yaml;

use super::source::Source;
pub(super) use postgres_url::PostgresUrl;

/// Everything that was asked for, checked.
#[derive(Debug)]
pub(super) struct Plan {
    /// The streams; no two have the same name.
    pub streams: Vec<StreamPlan>,
}

/// One stream.
#[derive(Debug)]
pub(super) struct StreamPlan {
    /// Its name: in file names, tables, labels and log lines.
    pub name: String,
    /// Its place in the configuration: first as in `streams[0]`, then with file and line before it.
    pub place: String,
    /// Its URL and its key.
    pub source: Source,
    /// The stores of its events: each event goes into every one of these, and there is one at least.
    pub stores: Vec<StorePlan>,
    /// The point from which it starts when nothing is stored.
    pub start: Start,
    /// The reaction when events have expired before they were stored.
    pub on_gap: OnGap,
    /// The file for events that a store does not take.
    pub dead_letter: Option<PathBuf>,
}

/// One place to store events.
#[derive(Debug)]
pub(super) enum StorePlan {
    /// Files of JSON lines.
    Jsonl(JsonlPlan),
    /// A database file.
    Sqlite(SqlitePlan),
    /// A database server.
    Postgres(PostgresPlan),
}

/// Settings of a store of JSON lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JsonlPlan {
    /// The folder; made if it is missing.
    pub dir: PathBuf,
    /// A new file is begun when the one that is written has this many bytes.
    pub rotate_bytes: u64,
    /// A new file is begun when the one that is written is this old.
    pub rotate_every: Option<Duration>,
}

/// A table of a SQLite file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SqlitePlan {
    /// The file; made if it is missing.
    pub path: PathBuf,
    /// The table; made if it is missing.
    pub table: String,
}

/// A table of a PostgreSQL database.
#[derive(Clone, Debug)]
pub(super) struct PostgresPlan {
    /// The database.
    pub url: PostgresUrl,
    /// The certificate authorities that are trusted, instead of those of the web.
    pub ca_file: Option<PathBuf>,
    /// The table, perhaps with a schema; made if it is missing.
    pub table: String,
    /// A collector's session that holds a lock and has been idle this long has no collector that lives.
    pub abandoned_after: Duration,
}

/// The point from which a stream starts of which nothing is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Start {
    /// Starts with what comes from now on.
    #[default]
    Latest,
    /// Starts with the earliest event that the topic still has.
    Earliest,
    /// Starts with the event that the server chooses.
    Committed,
    /// Starts with this sequence number.
    Seq(String),
    /// Starts with the first event that was stored at this time (RFC 3339) or later.
    Time(String),
}

/// The reaction when events have expired before they were stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum OnGap {
    /// Logs and records it, and resumes at the earliest event that is left.
    #[default]
    Earliest,
    /// Stop the stream.
    Stop,
}

/// A problem in the configuration, and its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {problem}")]
pub(super) struct ConfigError {
    file: String,
    line: u64,
    problem: Problem,
}

/// A problem in one value.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Problem {
    /// Its place, as in `streams[0].url`; empty for the file as a whole.
    path: String,
    reason: String,
}

impl Problem {
    fn new(path: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            reason: reason.into(),
        }
    }

    /// The same, further up: `path` before its own.
    fn within(mut self, path: &str) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') {
            ""
        } else {
            "."
        };
        self.path = format!("{path}{dot}{}", self.path);
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.reason),
            path => write!(f, "{path}: {}", self.reason),
        }
    }
}

/// Reads the configuration, in whichever of its two shapes.
///
/// # Errors
/// A file that cannot be read, or the first thing in it that is wrong.
pub(super) fn load(path: &Path) -> anyhow::Result<Plan> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| anyhow::anyhow!("cannot read the configuration {}: {e}", path.display()))?;
    Ok(parse(&path.display().to_string(), &text)?)
}

fn parse(file: &str, text: &str) -> Result<Plan, ConfigError> {
    let error = |line, problem| ConfigError {
        file: file.to_owned(),
        line,
        problem,
    };
    let documents = yaml::parse(text).map_err(|e| error(e.line, Problem::new("", e.reason)))?;
    let [document] = documents.as_slice() else {
        let reason = format!(
            "{} documents, but a configuration is one: a list of streams",
            documents.len()
        );
        return Err(error(1, Problem::new("", reason)));
    };
    let plan = match original::streams(document) {
        Some((path, streams)) => original::plan(streams).map_err(|p| p.within(path)),
        None => file::read(text)
            .map_err(|e| error(e.line, Problem::new("", e.reason)))
            .map(file::File::plan)?,
    };
    let plan = plan.and_then(check::check);
    let mut plan = plan.map_err(|problem| error(document.line_of(&problem.path), problem))?;
    for stream in &mut plan.streams {
        let line = document.line_of(&stream.place);
        stream.place = format!("{file}:{line}: {}", stream.place);
    }
    Ok(plan)
}

#[cfg(test)]
mod tests;

//! A collector's store of events, read back as anybody else can.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use datastream_e2e::Database;
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

/// The store of all streams of a collector.
#[derive(Clone)]
pub(crate) enum StoredEvents {
    /// A folder of JSON lines.
    Jsonl(PathBuf),
    /// A database file.
    Sqlite(PathBuf),
    /// A table of this name in a server.
    Postgres(SharedDatabase, String),
}

/// The server of all collectors that store events in one, to which much happens.
pub(crate) type SharedDatabase = Arc<Mutex<Database>>;

pub(crate) fn locked(server: &SharedDatabase) -> MutexGuard<'_, Database> {
    server.lock().unwrap_or_else(PoisonError::into_inner)
}

impl StoredEvents {
    /// The `store` of the configuration.
    pub(crate) fn config(&self) -> Value {
        match self {
            // So small that files are finished all the time.
            Self::Jsonl(dir) => json!({"jsonl": {"dir": dir, "rotateBytes": "256Ki"}}),
            Self::Sqlite(path) => json!({"sqlite": {"path": path}}),
            Self::Postgres(server, table) => {
                json!({"postgres": {"url": locked(server).url(), "table": table}})
            }
        }
    }

    /// Returns whether it knows where a stream begins.
    pub(crate) fn has_begun(&self, stream: &str) -> anyhow::Result<bool> {
        Ok(match self {
            Self::Jsonl(dir) => dir.join(format!("{stream}.position.json")).exists(),
            Self::Sqlite(path) => {
                let query = "SELECT seq_start FROM events_streams WHERE stream = ?1";
                path.exists() && !rows(path, query, stream)?.is_empty()
            }
            Self::Postgres(server, table) => {
                let query =
                    format!("SELECT seq_start FROM {table}_streams WHERE stream = '{stream}'");
                !locked(server).query(&query)?.is_empty()
            }
        })
    }

    /// The events of a stream, in the order in which they were stored; of a table, which has none, in the order of the topic.
    pub(crate) fn events(&self, stream: &str) -> anyhow::Result<Vec<String>> {
        match self {
            Self::Jsonl(dir) => lines(dir, stream),
            Self::Sqlite(path) => rows(
                path,
                "SELECT event FROM events WHERE stream = ?1 ORDER BY event_partition, event_offset",
                stream,
            ),
            Self::Postgres(server, table) => {
                // A row is a line, and an event may have line breaks.
                let query = format!(
                    "SELECT to_json(event) FROM {table} WHERE stream = '{stream}' ORDER BY event_partition, event_offset"
                );
                let rows = locked(server).query(&query)?;
                let event = |row: &String| Ok(serde_json::from_str(row)?);
                rows.iter().map(event).collect()
            }
        }
    }

    /// Returns whether an event is on one line: line breaks in it have become spaces.
    pub(crate) fn has_lines(&self) -> bool {
        matches!(self, Self::Jsonl(_))
    }

    /// The gaps that were recorded: what was asked for, and what was left.
    pub(crate) fn gaps(&self, stream: &str) -> anyhow::Result<Vec<(String, String)>> {
        let gaps = match self {
            Self::Jsonl(dir) => {
                let text = fs::read_to_string(dir.join(format!("{stream}.gaps.jsonl")));
                text.unwrap_or_default()
                    .lines()
                    .map(str::to_owned)
                    .collect()
            }
            Self::Sqlite(path) => rows(
                path,
                "SELECT json_object('asked_for', asked_for, 'went_on_at', went_on_at) FROM events_gaps WHERE stream = ?1",
                stream,
            )?,
            Self::Postgres(server, table) => locked(server).query(&format!(
                "SELECT json_build_object('asked_for', asked_for, 'went_on_at', went_on_at) FROM {table}_gaps WHERE stream = '{stream}'"
            ))?,
        };
        let gap = |line: &String| {
            let gap: Value = serde_json::from_str(line)?;
            let field = |name: &str| gap[name].as_str().map(str::to_owned);
            let both = field("asked_for").zip(field("went_on_at"));
            both.with_context(|| format!("{stream}: a gap {line}"))
        };
        gaps.iter().map(gap).collect()
    }
}

/// The files of JSON lines of a stream, oldest first; none while the folder is not there.
pub(crate) fn files(dir: &Path, stream: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = vec![];
    if !dir.exists() {
        return Ok(files);
    }
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(&format!("{stream}-")) && name.ends_with(".jsonl") {
            files.push(path.clone());
        }
    }
    files.sort();
    Ok(files)
}

/// The whole lines of all files: what was not written to its end is cut off by the next collector.
fn lines(dir: &Path, stream: &str) -> anyhow::Result<Vec<String>> {
    let mut all = vec![];
    for file in files(dir, stream)? {
        let bytes = fs::read(file)?;
        let whole = bytes.iter().rposition(|b| *b == b'\n').unwrap_or(0);
        let lines = bytes[..whole].split(|b| *b == b'\n');
        all.extend(lines.map(|line| String::from_utf8_lossy(line).into_owned()));
    }
    Ok(all)
}

/// The first column of a query about a stream; nothing while there is no table.
fn rows(path: &Path, query: &str, stream: &str) -> anyhow::Result<Vec<String>> {
    if !path.exists() {
        return Ok(vec![]);
    }
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.busy_timeout(Duration::from_secs(30))?;
    let mut statement = match connection.prepare(query) {
        Err(error) if error.to_string().contains("no such table") => return Ok(vec![]),
        statement => statement?,
    };
    let rows = statement.query_map([stream], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

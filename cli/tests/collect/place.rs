//! The places where events are stored, read back independently of the collector.

use std::fs;
use std::path::{Path, PathBuf};

use datastream_e2e::Database;
use serde_json::Value;

use super::database::Postgres;

/// A place that events go to.
pub(crate) enum Place {
    /// JSON lines in a folder.
    Jsonl(PathBuf),
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A table of its own in a PostgreSQL server.
    Postgres(Postgres, String),
}

impl Place {
    /// One of each.
    pub(crate) async fn all(folder: &Path, server: &Database) -> [Self; 3] {
        [
            Self::Jsonl(folder.join("lines")),
            Self::Sqlite(folder.join("events.db")),
            Self::Postgres(Postgres::connect(server).await, "events".to_owned()),
        ]
    }

    /// The `store` of the configuration.
    pub(crate) fn config(&self) -> String {
        match self {
            Self::Jsonl(dir) => format!("jsonl: {{dir: {}, rotateBytes: 16Ki}}", dir.display()),
            Self::Sqlite(path) => format!("sqlite: {{path: {}}}", path.display()),
            Self::Postgres(server, table) => {
                format!("postgres: {{url: '{}', table: {table}}}", server.url)
            }
        }
    }

    /// A configuration with one stream, named `all`.
    pub(crate) fn stream(&self, url: &str, more: &str) -> String {
        let store = self.config();
        format!("streams:\n  - name: all\n    url: {url}\n    store: {{{store}}}\n{more}")
    }

    /// Every event that is stored, in the order in which it was.
    pub(crate) async fn events(&self) -> Vec<Value> {
        let texts = match self {
            Self::Jsonl(dir) => lines(dir),
            Self::Sqlite(path) => sqlite(
                path,
                "SELECT event FROM events ORDER BY received_at, event_partition, event_offset",
            ),
            Self::Postgres(server, table) => {
                let order = "ORDER BY received_at, event_partition, event_offset";
                server
                    .texts(&format!("SELECT event FROM {table} {order}"))
                    .await
            }
        };
        let parse =
            |text: &String| serde_json::from_str(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        texts.iter().map(parse).collect()
    }

    /// The numbers of the events, in ascending order.
    pub(crate) async fn numbers(&self) -> Vec<u64> {
        let number = |event: &Value| event["datapoint"]["value"].as_u64().unwrap();
        let mut numbers: Vec<_> = self.events().await.iter().map(number).collect();
        numbers.sort_unstable();
        numbers
    }

    /// Returns whether the place knows where the stream begins.
    pub(crate) async fn has_begun(&self) -> bool {
        match self {
            Self::Jsonl(dir) => dir.join("all.position.json").exists(),
            Self::Sqlite(path) => {
                path.exists() && !sqlite(path, "SELECT seq_start FROM events_streams").is_empty()
            }
            Self::Postgres(server, table) => {
                let query = format!("SELECT seq_start FROM {table}_streams");
                !server.texts(&query).await.is_empty()
            }
        }
    }
}

/// The whole lines: what was not written to its end is not stored, and cut off by the next collector. Nothing while there
/// is no folder.
fn lines(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else {
        return vec![];
    };
    let mut files: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with("all-")
        })
        .collect();
    files.sort();
    let text = |path| {
        let mut text = fs::read_to_string(path).unwrap();
        text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
        text
    };
    let all: String = files.into_iter().map(text).collect();
    all.lines().map(str::to_owned).collect()
}

/// The first column of a query; nothing while there is no file or no table.
pub(crate) fn sqlite(path: &Path, query: &str) -> Vec<String> {
    if !path.exists() {
        return vec![];
    }
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.busy_timeout(super::support::PATIENCE).unwrap();
    let Ok(mut statement) = connection.prepare(query) else {
        return vec![];
    };
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

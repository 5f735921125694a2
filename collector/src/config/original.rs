//! The `config.json` of the DSS Collector: a list of `{id, name, url, key, persistence}`.
//!
//! Its `persistence` is `{"json": BOOL, "relational": BOOL}`; the first edition had none. It wrote JSON into
//! `./events/` and, by code that everybody had to write, rows into a database that the file does not name: here, JSON lines
//! and a SQLite file, both in `events`. Strings and objects that name stores are understood, too.

use std::path::PathBuf;

use datastream_service::yaml::{Node, Tree};

use super::file::{ABANDONED_AFTER, ROTATE_BYTES, TABLE};
use super::{
    JsonlPlan, OnGap, Plan, PostgresPlan, PostgresUrl, Problem, SqlitePlan, Start, StorePlan,
    StreamPlan,
};
use crate::source::{KeyFrom, Source};

/// The folder into which the DSS Collector writes, below the one that it is started in.
const FOLDER: &str = "events";
const DATABASE: &str = "events/events.sqlite";

/// The list of streams and its place in the file, if this is the configuration of a DSS Collector.
pub(super) fn streams(document: &Node) -> Option<(&'static str, &[Node])> {
    let list = |key| match &document.get(key)?.tree {
        Tree::List(items) => Some(items.as_slice()),
        _ => None,
    };
    let is_original = |items: &[Node]| {
        items
            .iter()
            .any(|item| item.get("id").or(item.get("persistence")).is_some())
    };
    match &document.tree {
        Tree::List(items) => Some(("", items)),
        _ => list("collectors")
            .map(|items| ("collectors", items))
            .or_else(|| {
                list("streams")
                    .filter(|items| is_original(items))
                    .map(|items| ("streams", items))
            }),
    }
}

/// Returns the plan that the list asks for. A stream that is to be stored nowhere is left out.
pub(super) fn plan(items: &[Node]) -> Result<Plan, Problem> {
    let mut streams = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let place = format!("[{index}]");
        let mut stream = stream(item).map_err(|p| p.within(&place))?;
        stream.place = place;
        if stream.stores.is_empty() {
            tracing::warn!(
                stream = stream.name,
                "not collected: its persistence is off (`datastream tail` shows a stream without storing it)"
            );
        } else {
            streams.push(stream);
        }
    }
    if streams.is_empty() && !items.is_empty() {
        let reason = "the persistence of every stream is off, so there is nothing to do: set persistence.json to true to store JSON lines";
        return Err(Problem::new("", reason));
    }
    Ok(Plan { streams })
}

fn stream(item: &Node) -> Result<StreamPlan, Problem> {
    let Tree::Map(entries) = &item.tree else {
        let reason = "not a stream: an object with id, name, url, key and persistence";
        return Err(Problem::new("", reason));
    };
    for (key, _) in entries {
        match key.as_str() {
            "id" | "name" | "url" | "key" | "persistence" => {}
            "service_url" | "subscription_type" | "event_stream_name" => {
                let reason = "not understood: this edition subscribes by itself; make a DatastreamSubscription, and name its url and key here";
                return Err(Problem::new(key, reason));
            }
            _ => {
                let reason = "not understood: a stream has id, name, url, key and persistence";
                return Err(Problem::new(key, reason));
            }
        }
    }
    let url = text(item, "url")?.ok_or_else(|| Problem::new("url", "is missing"))?;
    let key = match text(item, "key")? {
        Some(key) => KeyFrom::Given(key.into()),
        None => KeyFrom::Url,
    };
    let name = match (text(item, "id")?, text(item, "name")?) {
        (Some(id), _) => id,
        (None, Some(name)) => slug(&name),
        (None, None) => return Err(Problem::new("id", "is missing")),
    };
    let source =
        Source::of_url(&url.into(), key, None).map_err(|e| Problem::new("url", e.to_string()))?;
    let stores = stores(item.get("persistence")).map_err(|p| p.within("persistence"))?;
    Ok(StreamPlan {
        name,
        place: String::new(),
        source,
        stores,
        start: Start::default(),
        on_gap: OnGap::default(),
        dead_letter: None,
    })
}

/// A string, or a number as one; nothing if it is missing, null or blank.
fn text(item: &Node, key: &str) -> Result<Option<String>, Problem> {
    let text = match item.get(key).map(|node| &node.tree) {
        None | Some(Tree::Null) => return Ok(None),
        Some(Tree::String(text)) => text.trim().to_owned(),
        Some(Tree::Number(number)) => number.to_string(),
        Some(_) => return Err(Problem::new(key, "is no text")),
    };
    Ok(Some(text).filter(|t| !t.is_empty()))
}

/// A name for files, from a name for people.
fn slug(name: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || c == '_' {
            c
        } else {
            '-'
        }
    };
    name.chars().map(plain).collect()
}

fn stores(persistence: Option<&Node>) -> Result<Vec<StorePlan>, Problem> {
    let Some(node) = persistence else {
        return Ok(vec![jsonl(None)]);
    };
    match &node.tree {
        Tree::Null | Tree::Bool(true) => Ok(vec![jsonl(None)]),
        Tree::Bool(false) => Ok(vec![]),
        Tree::String(kind) => {
            kind_of(kind, None, None).ok_or_else(|| Problem::new("", not_understood(kind)))
        }
        Tree::Map(_) if node.get("type").is_some() => typed(node),
        Tree::Map(entries) => {
            let mut stores = Vec::new();
            for (key, value) in entries {
                if !is_on(key, value)? {
                    continue;
                }
                let store = kind_of(key, None, None);
                stores.extend(store.ok_or_else(|| Problem::new(key, not_understood(key)))?);
            }
            Ok(stores)
        }
        Tree::Number(_) | Tree::List(_) => Err(Problem::new("", not_understood("this"))),
    }
}

/// `{"type": KIND, …}` with a place under one of the names that people use.
fn typed(node: &Node) -> Result<Vec<StorePlan>, Problem> {
    let Tree::Map(entries) = &node.tree else {
        return Ok(vec![]);
    };
    let (mut place, mut table) = (None, None);
    for (key, _) in entries {
        match key.as_str() {
            "type" => {}
            "table" => table = text(node, key)?,
            "path" | "dir" | "directory" | "file" | "filename" | "url" | "connection"
            | "connectionString" | "connection_string" => place = text(node, key)?,
            _ => {
                let reason =
                    "not understood: beside the type, give a path or url, and perhaps a table";
                return Err(Problem::new(key, reason));
            }
        }
    }
    let kind = text(node, "type")?.unwrap_or_default();
    kind_of(&kind, place.as_deref(), table)
        .ok_or_else(|| Problem::new("type", not_understood(&kind)))
}

/// Returns the stores that a string stands for, perhaps none at all. `None` if it is unknown, or a place is missing.
fn kind_of(kind: &str, place: Option<&str>, table: Option<String>) -> Option<Vec<StorePlan>> {
    let table = table.unwrap_or_else(|| TABLE.to_owned());
    let url = if kind.contains("://") {
        Some(kind)
    } else {
        place
    };
    Some(match kind.to_ascii_lowercase().as_str() {
        "" | "none" | "off" | "console" | "stdout" => vec![],
        "json" | "jsonl" | "file" | "files" => vec![jsonl(place)],
        "relational" | "sqlite" | "sqlite3" => vec![StorePlan::Sqlite(SqlitePlan {
            path: place.unwrap_or(DATABASE).into(),
            table,
        })],
        kind if kind.starts_with("postgres") => vec![StorePlan::Postgres(PostgresPlan {
            url: PostgresUrl::Fixed(url?.into()),
            ca_file: None,
            table,
            abandoned_after: ABANDONED_AFTER,
        })],
        _ => return None,
    })
}

fn jsonl(dir: Option<&str>) -> StorePlan {
    StorePlan::Jsonl(JsonlPlan {
        dir: PathBuf::from(dir.unwrap_or(FOLDER)),
        rotate_bytes: ROTATE_BYTES,
        rotate_every: None,
    })
}

fn is_on(key: &str, value: &Node) -> Result<bool, Problem> {
    match &value.tree {
        Tree::Bool(on) => Ok(*on),
        Tree::Null => Ok(false),
        // One edition quoted them.
        Tree::String(text) if text == "true" => Ok(true),
        Tree::String(text) if text == "false" => Ok(false),
        _ => Err(Problem::new(key, "is neither true nor false")),
    }
}

fn not_understood(what: &str) -> String {
    format!(
        "{what:?} is not understood: it may be {{\"json\": true}} for JSON lines in {FOLDER}/, {{\"relational\": true}} for the SQLite file {DATABASE}, or {{\"type\": \"postgres\", \"url\": \"postgres://USER:PASSWORD@HOST/DATABASE\"}}; with more to say, write a streams.yaml"
    )
}

//! The documents name what is there: files, tests, commands and each other.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod commands;
mod markdown;
mod metrics;
mod sources;
mod wrapping;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use datastream_e2e::{checkout, own_program};
use datastream_gateway::event::Event;
use datastream_operator::spec::validate;
use datastream_protocol::event::EventType;
use datastream_routing::{KeyHash, Route};
use datastream_service::reference::assert_section;
use serde_json::{Value, json};

use markdown::{code_spans, links};

/// The files of the checkout that are, or would be, committed, with this ending.
fn files(ending: &str) -> Vec<PathBuf> {
    let root = checkout("");
    let pattern = format!("*{ending}");
    let listed = Command::new("git")
        .args([
            "-C",
            &root,
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            &pattern,
        ])
        .output()
        .unwrap();
    let paths = String::from_utf8(listed.stdout).unwrap();
    let paths: Vec<_> = paths
        .lines()
        .map(|path| Path::new(&root).join(path))
        .collect();
    assert!(!paths.is_empty(), "no files end with {ending}");
    paths.into_iter().filter(|path| path.exists()).collect()
}

#[test]
fn links_in_documents_lead_to_existing_files() {
    let mut broken = vec![];
    for document in files(".md") {
        let text = fs::read_to_string(&document).unwrap();
        let folder = document.parent().unwrap();
        for link in links(&text) {
            let path = link.split('#').next().unwrap();
            let is_elsewhere =
                link.contains("://") || link.starts_with("mailto:") || path.is_empty();
            if !is_elsewhere && !folder.join(path).exists() {
                broken.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// The documents on what is now, with their paths: all but the changelog, which names what was.
fn documents() -> Vec<(PathBuf, String)> {
    let current = files(".md").into_iter();
    let current = current.filter(|file| !file.ends_with("CHANGELOG.md"));
    current
        .map(|file| {
            let text = fs::read_to_string(&file).unwrap();
            (file, text)
        })
        .collect()
}

/// Names of other systems, and of examples.
const NAMED_ELSEWHERE: [&str; 10] = [
    "blue_led",
    "client_type",
    "connection_status",
    "container_memory_working_set_bytes",
    "date_suspended",
    "dpl_event",
    "is_suspended",
    "pg_control_system",
    "pg_input_is_valid",
    "room_temp_1",
];

/// Names in snake case: of functions, tests, metrics, fields.
fn names(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| {
        let is_whole = !word.starts_with('_') && !word.ends_with('_');
        word.contains('_') && is_whole && !word.contains(|c: char| c.is_ascii_uppercase())
    })
}

#[test]
fn names_that_documents_use_are_in_the_sources() {
    let mut known = BTreeSet::new();
    for file in files("") {
        // The reference is made of what the programs say.
        let is_document = file.extension().is_some_and(|ending| ending == "md");
        if !is_document || file.ends_with("docs/reference.md") {
            let content = fs::read(file).unwrap();
            let text = String::from_utf8_lossy(&content);
            known.extend(names(&text).map(str::to_owned));
        }
    }
    let mut missing = BTreeSet::new();
    for (document, text) in documents() {
        // Commands may name the beginning of several tests.
        let spans = code_spans(&text).into_iter();
        for span in spans.filter(|span| commands::selection(span).is_none()) {
            for name in names(&span) {
                if !known.contains(name) && !NAMED_ELSEWHERE.contains(&name) {
                    missing.insert(format!("{}: {name}", document.display()));
                }
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn files_named_in_documents_exist() {
    let root = PathBuf::from(checkout(""));
    let is_path = |span: &String| {
        let first = span.split('/').next().unwrap_or_default();
        let is_here = span.contains('/') && !first.is_empty() && root.join(first).is_dir();
        is_here && !span.contains([' ', '*', '{', '<', '$'])
    };
    // What is built is not committed.
    let ignored = fs::read_to_string(root.join(".gitignore")).unwrap();
    let is_built = |path: &str| ignored.lines().any(|line| line.trim_matches('/') == path);
    let mut missing = vec![];
    for (document, text) in documents() {
        for path in code_spans(&text).iter().filter(|span| is_path(span)) {
            let path = path.split(':').next().unwrap();
            if !root.join(path).exists() && !is_built(path) {
                missing.push(format!("{}: {path}", document.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// Rows of the table with this header, each as its cells without backticks.
fn rows(markdown: &str, header: &str) -> Vec<Vec<String>> {
    let rows = markdown.lines().skip_while(|line| *line != header).skip(2);
    let rows = rows.take_while(|line| line.starts_with('|'));
    rows.map(|row| code_spans(row).into_iter().collect())
        .collect()
}

/// The route of a subscription with this filter, which asks for every type of event.
fn route_with(filter: &Value) -> Route {
    let types: Vec<_> = EventType::ALL.iter().map(|t| t.as_str()).collect();
    let subscription = serde_json::from_value(json!({
        "apiVersion": "datastream.dev/v1alpha1",
        "kind": "DatastreamSubscription",
        "metadata": {"namespace": "team", "name": "example"},
        "spec": {"eventTypes": types, "filters": [filter]},
    }));
    let valid = validate(&subscription.unwrap()).unwrap();
    valid.route(KeyHash::of("k"))
}

/// Returns whether a gateway sends the event with this metadata on this route.
fn is_sent(route: &Route, metadata: &Value) -> bool {
    let name = metadata["event_type"].as_str().unwrap();
    let all = EventType::ALL.iter();
    let event_type = all.copied().find(|t| t.as_str() == name).unwrap();
    let mut record = json!({ "metadata": metadata });
    record[event_type.body_keys()[0]] = json!({});
    let record = serde_json::to_vec(&record).unwrap();
    let event = Event::decode(0, 0, record.into(), usize::MAX).unwrap();
    route.matches(&event.fields())
}

#[test]
fn the_examples_of_filters_match_as_the_document_says() {
    let text = fs::read_to_string(checkout("docs/filters.md")).unwrap();
    let rows = rows(&text, "| Filter | Matches | Does not match |");
    assert!(rows.len() > 20, "{} examples", rows.len());
    for row in rows {
        let cells: Vec<Value> = row
            .iter()
            .map(|cell| serde_saphyr::from_str(cell).unwrap())
            .collect();
        let [filter, matches, differs] = cells.try_into().unwrap();
        let route = route_with(&filter);
        assert!(is_sent(&route, &matches), "{}: {}", row[0], row[1]);
        assert!(!is_sent(&route, &differs), "{}: {}", row[0], row[2]);
    }
}

/// Adds a row for each field of an object's schema, and of those within it.
fn add_fields(schema: &Value, path: &str, rows: &mut String) {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        let items = &field["items"];
        let mut kind = field["type"].as_str().unwrap_or_default().to_owned();
        if kind == "array" {
            kind = format!("list of {}", items["type"].as_str().unwrap());
        }
        let mut bounds = vec![];
        if required.contains(&json!(name)) {
            bounds.push("required".to_owned());
        }
        for (what, key) in [
            ("default", "default"),
            ("at least", "minimum"),
            ("at most", "maximum"),
            ("characters at least", "minLength"),
            ("characters at most", "maxLength"),
            ("items at least", "minItems"),
            ("items at most", "maxItems"),
        ] {
            if let Some(value) = field.get(key) {
                // The schema has numbers as `5.0`.
                let value = value.as_f64().map_or(value.to_string(), |n| n.to_string());
                bounds.push(format!("{what} `{value}`"));
            }
        }
        for values in [&field["enum"], &items["enum"]] {
            let values = values.as_array().into_iter().flatten();
            let values: Vec<_> = values
                .map(|v| format!("`{}`", v.as_str().unwrap_or("null")))
                .collect();
            if !values.is_empty() {
                bounds.push(format!("one of {}", values.join(", ")));
            }
        }
        let text = field["description"].as_str().unwrap_or_default();
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let text = text.replace('|', "\\|");
        let bounds = bounds.join(", ");
        rows.push_str(
            &[
                "| `", &path, "` | ", &kind, " | ", &bounds, " | ", &text, " |\n",
            ]
            .concat(),
        );
        add_fields(field, &path, rows);
        add_fields(items, &format!("{path}[]"), rows);
    }
}

fn reference() -> PathBuf {
    checkout("docs/reference.md").into()
}

#[test]
fn the_reference_lists_every_field_of_the_resources() {
    for (plural, section) in [
        ("datastreamsubscriptions", "fields"),
        ("datastreamaccessrules", "fields of access rules"),
    ] {
        let definition = checkout(&format!("crds/generated/{plural}.yaml"));
        let definition = fs::read_to_string(definition).unwrap();
        let definition: Value = serde_saphyr::from_str(&definition).unwrap();
        let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        let mut table = "| field | type | bounds | meaning |\n|---|---|---|---|\n".to_owned();
        for part in ["spec", "status"] {
            if let Some(part_schema) = schema["properties"].get(part) {
                add_fields(part_schema, part, &mut table);
            }
        }
        assert_section(&reference(), section, &table);
    }
}

#[test]
fn the_reference_lists_every_flag() {
    let subcommands = [
        "dev",
        "simulate",
        "publish",
        "tail",
        "check",
        "access check",
        "collect",
        "size",
    ];
    let commands = subcommands.map(|name| ("datastream", Some(name)));
    let programs = [
        "datastream-gateway",
        "datastream-operator",
        "datastream-broker",
        "datastream-collector",
    ];
    let mut sections = vec![];
    let run = ("datastream-operator", Some("run"));
    for (program, subcommand) in commands
        .into_iter()
        .chain(programs.map(|name| (name, None)))
        .chain([run])
    {
        let path = own_program(program).unwrap();
        let mut help = Command::new(path);
        let words = subcommand.into_iter().flat_map(str::split_whitespace);
        help.args(words).arg("--help").env_clear();
        let help = String::from_utf8(help.output().unwrap().stdout).unwrap();
        let lines: Vec<_> = help.trim().lines().map(str::trim_end).collect();
        let name = [Some(program), subcommand].into_iter().flatten();
        let name = name.collect::<Vec<_>>().join(" ");
        sections.push(format!("### {name}\n\n```text\n{}\n```", lines.join("\n")));
    }
    assert_section(&reference(), "programs", &sections.join("\n\n"));
}

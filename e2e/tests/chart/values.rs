//! Every value is explained, in the schema, and in the chart's README.

use std::fmt::Write as _;
use std::path::Path;

use datastream_e2e::chart;
use serde_json::Value;

use super::{assert_golden, chart_file};

/// One thing that can be set.
#[derive(Debug)]
struct Entry {
    path: Vec<String>,
    text: String,
    /// Default as written; empty if it takes several lines.
    default: String,
}

/// Reads values.yaml. A key with a comment `# --` is one thing that can be set, with everything below it; one without must have some
/// below it.
fn entries() -> Vec<Entry> {
    let text = chart_file("values.yaml");
    let mut entries: Vec<Entry> = vec![];
    let mut path: Vec<(usize, String)> = vec![];
    let (mut comment, mut below) = (vec![], None);
    for (number, line) in (1..).zip(text.lines()) {
        let indent = line.len() - line.trim_start().len();
        let line = line.trim_start();
        if let Some(text) = line.strip_prefix("# --") {
            comment.push(text.trim());
        }
        if line.is_empty() || line.starts_with('#') || below.is_some_and(|leaf| indent > leaf) {
            continue;
        }
        below = None;
        path.retain(|(outer, _)| *outer < indent);
        let (key, default) = line
            .split_once(':')
            .unwrap_or_else(|| panic!("line {number}: {line}"));
        path.push((indent, key.to_owned()));
        let names: Vec<_> = path.iter().map(|(_, key)| key.clone()).collect();
        if comment.is_empty() {
            assert!(
                default.is_empty(),
                "values.yaml:{number}: {names:?} has no comment `# --`"
            );
            continue;
        }
        below = Some(indent);
        entries.push(Entry {
            path: names,
            text: comment.join(" "),
            default: default.trim().to_owned(),
        });
        comment.clear();
    }
    assert!(comment.is_empty(), "{comment:?} is about nothing");
    entries
}

/// The schema of what is at a path.
fn schema_at<'a>(schema: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(schema, |at, key| {
        let at = match at["$ref"].as_str() {
            Some(name) => schema.pointer(name.strip_prefix('#')?)?,
            None => at,
        };
        at["properties"].get(key)
    })
}

#[test]
fn every_value_is_in_the_schema() {
    let schema: Value = serde_json::from_str(&chart_file("values.schema.json")).unwrap();
    let entries = entries();
    assert!(entries.len() > 100, "{}", entries.len());
    for entry in &entries {
        let path = entry.path.join(".");
        assert!(
            schema_at(&schema, &entry.path).is_some(),
            "{path} is not in values.schema.json"
        );
        assert!(
            entry.text.ends_with('.') && entry.text.len() > 5,
            "{path}: {:?}",
            entry.text
        );
    }
    // Every object says what it may have: a typo is refused.
    let mut objects = vec![&schema];
    while let Some(object) = objects.pop() {
        if object == &schema["definitions"]["complete"] {
            continue;
        }
        if object["properties"].is_object() {
            let more = &object["additionalProperties"];
            assert!(more == false || more.is_object(), "{object}");
        }
        objects.extend(object.as_object().into_iter().flat_map(|o| o.values()));
        objects.extend(object.as_array().into_iter().flatten());
    }
    // And has no values that values.yaml does not explain.
    let groups = ["gateways", "global"];
    let top = schema["properties"].as_object().unwrap();
    for key in top.keys().filter(|key| !groups.contains(&key.as_str())) {
        assert!(entries.iter().any(|e| e.path[0] == *key), "{key}");
    }
}

/// Null takes away a default. Where the chart cannot do without, the schema says so, and the chart does not fail in the middle of
/// a template.
#[test]
fn values_that_must_not_be_null_are_required_by_the_schema() {
    let schema: Value = serde_json::from_str(&chart_file("values.schema.json")).unwrap();
    let complete = &schema["definitions"]["complete"];
    for entry in entries() {
        let may_be_null = schema_at(&schema, &entry.path).is_some_and(|at| {
            let at = match at["$ref"].as_str() {
                Some(name) => &schema.pointer(name.strip_prefix('#').unwrap()).unwrap()["type"],
                None => &at["type"],
            };
            at.as_array()
                .is_some_and(|kinds| kinds.contains(&"null".into()))
        });
        let is_nothing = [r#""""#, "{}", "[]", "null"].contains(&entry.default.as_str());
        let (last, above) = entry.path.split_last().unwrap();
        let mut at = complete;
        for key in above {
            let required = at["required"].as_array().unwrap();
            assert!(
                required.contains(&key.as_str().into()),
                "{key} in {above:?}"
            );
            at = &at["properties"][key];
        }
        let required = at["required"].as_array();
        let is_required = required.is_some_and(|keys| keys.contains(&last.as_str().into()));
        let expected = !is_nothing && !may_be_null;
        assert_eq!(
            is_required, expected,
            "{:?} in definitions.complete",
            entry.path
        );
    }
}

#[test]
fn the_readme_lists_every_value() {
    let mut table = String::from("| value | default | what it is |\n|---|---|---|\n");
    for entry in entries() {
        let default = match entry.default.as_str() {
            "" => "see values.yaml".to_owned(),
            default => format!("`{default}`"),
        };
        let text = entry.text.replace('|', "\\|");
        writeln!(table, "| `{}` | {default} | {text} |", entry.path.join(".")).unwrap();
    }
    let readme = chart_file("README.md");
    let (before, rest) = readme.split_once("## Values\n\n").expect("a heading");
    let after = rest
        .split_once("\n## ")
        .map(|(_, after)| format!("\n## {after}"));
    let expected = format!("{before}## Values\n\n{table}{}", after.unwrap_or_default());
    assert_golden(&Path::new(chart()).join("README.md"), &expected);
}

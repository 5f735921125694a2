//! Values made up from values.schema.json: whatever they are, what the chart renders of them is sound and a real API server takes
//! it, or they are refused in one line that says which value is wrong.

mod fit;
mod pools;
mod schema;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Mutex;

use datastream_e2e::{Helm, chart};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::Value;

use super::conformance::{cluster_with_every_api, dry_run};
use super::sound::{documents, problems};
use super::{chart_file, helm};
use schema::Generator;

const NAMESPACE: &str = "chart-made-up";
/// A namespace whose name looks like a number.
const NUMBER: &str = "1234567";
/// Renderings by each of the threads.
const CASES: u32 = 60;
const THREADS: usize = 2;
/// The text that Helm puts before the message of a guard. Anything else, as a nil pointer, is a fault of the chart.
const GUARD: &str = "execution error at (datastream/templates/";
const SCHEMA: &str = "values don't meet the specifications of the schema";

/// One installation that somebody might ask for.
#[derive(Clone, Debug)]
struct Case {
    release: String,
    values: Value,
}

fn cases() -> impl Strategy<Value = Case> {
    let schema = serde_json::from_str(&chart_file("values.schema.json")).unwrap();
    let values = Generator::new(schema).values();
    // Most of them fit together as the guards want it.
    let values = (values, prop::bool::weighted(0.9)).prop_map(|(mut values, fits)| {
        if fits {
            fit::together(&mut values);
        }
        values
    });
    let release = prop::sample::select(pools::RELEASES).prop_map(str::to_owned);
    (release, values).prop_map(|(release, values)| Case { release, values })
}

/// JSON as YAML with nothing but ASCII: parsers refuse control characters that are not escaped.
fn escaped(json: &str) -> String {
    let mut ascii = String::with_capacity(json.len());
    for character in json.chars() {
        if character.is_ascii_graphic() || character == ' ' {
            ascii.push(character);
        } else {
            write!(ascii, "\\U{:08x}", u32::from(character)).unwrap();
        }
    }
    ascii
}

/// Renders a case; none if it is refused as it should be.
fn render(helm: &Helm, dir: &Path, case: &Case) -> Result<Option<String>, String> {
    let file = dir.join("values.yaml");
    std::fs::write(&file, escaped(&case.values.to_string())).unwrap();
    let args = [
        "template",
        &case.release,
        chart(),
        "--namespace",
        NAMESPACE,
        "--kube-version",
        "1.33.0",
        "--values",
        file.to_str().unwrap(),
    ];
    let output = helm.run(&args).unwrap();
    if output.success {
        return Ok(Some(output.stdout));
    }
    if output.stderr.contains(GUARD) || output.stderr.contains(SCHEMA) {
        return Ok(None);
    }
    Err(output.stderr)
}

/// Renders cases, checks each by itself, and returns what was rendered with how many were tried.
fn rendered() -> (Vec<(Case, String)>, usize) {
    let (kept, tried) = (Mutex::new(vec![]), Mutex::new(0));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let (helm, dir) = (helm(), tempfile::tempdir().unwrap());
                let mut runner = TestRunner::new(Config {
                    cases: CASES,
                    max_shrink_iters: 200,
                    failure_persistence: None,
                    ..Config::default()
                });
                let result = runner.run(&cases(), |case| {
                    *tried.lock().unwrap() += 1;
                    let text = render(&helm, dir.path(), &case).map_err(TestCaseError::fail)?;
                    let Some(text) = text else { return Ok(()) };
                    let found = problems(&text);
                    prop_assert!(found.is_empty(), "{found:#?}\n{text}");
                    kept.lock().unwrap().push((case, text));
                    Ok(())
                });
                result.unwrap_or_else(|error| panic!("{error}"));
            });
        }
    });
    (kept.into_inner().unwrap(), tried.into_inner().unwrap())
}

#[test]
fn random_values_render_valid_objects_or_are_rejected_in_one_line() {
    let (kept, tried) = rendered();
    println!("{} of {tried} were rendered", kept.len());
    assert!(
        kept.len() * 2 > tried,
        "of {tried} only {} were rendered",
        kept.len()
    );

    let cluster = cluster_with_every_api(NAMESPACE);
    let made = cluster.kubectl(&["create", "namespace", NUMBER]).unwrap();
    assert!(made.success, "{}", made.stderr);
    // Many are the same: each once.
    let mut objects: BTreeMap<&str, usize> = BTreeMap::new();
    for (number, (_, text)) in kept.iter().enumerate() {
        for document in documents(text) {
            objects.entry(document).or_insert(number);
        }
    }
    let objects: Vec<_> = objects.into_iter().collect();
    let dir = tempfile::tempdir().unwrap();
    let refused = Mutex::new(BTreeSet::new());
    std::thread::scope(|scope| {
        for (number, part) in objects.chunks(objects.len().div_ceil(4)).enumerate() {
            let file = dir.path().join(format!("{number}.yaml"));
            let (cluster, refused) = (&cluster, &refused);
            scope.spawn(move || {
                let text: Vec<_> = part.iter().map(|(document, _)| *document).collect();
                std::fs::write(&file, text.join("\n---\n")).unwrap();
                let output = dry_run(cluster, &file);
                if output.success && output.stderr.is_empty() {
                    return;
                }
                // One by one, to know of which values they are.
                for (document, case) in part {
                    std::fs::write(&file, document).unwrap();
                    let output = dry_run(cluster, &file);
                    if !output.success || !output.stderr.is_empty() {
                        refused.lock().unwrap().insert((output.stderr, *case));
                    }
                }
            });
        }
    });
    let refused = refused.into_inner().unwrap();
    let messages: Vec<_> = refused
        .iter()
        .take(5)
        .map(|(said, case)| {
            let case = &kept[*case].0;
            format!("{said}\nrelease {}, values {}", case.release, case.values)
        })
        .collect();
    assert!(
        refused.is_empty(),
        "{}: {}",
        refused.len(),
        messages.join("\n")
    );
}

/// The checks see what they are there for.
#[test]
fn unsound_objects_are_found() {
    let deployment = |more: &str| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: a\nspec:\n  selector: {{matchLabels: {{app: a}}}}\n  \
             template:\n    metadata: {{labels: {{app: a}}}}\n    spec:\n      containers:\n        - name: a\n{more}"
        )
    };
    assert_eq!(problems(&deployment("")), Vec::<String>::new());
    for (text, expected) in [
        (deployment("          env: [{name: A, value: x}, {name: A, value: z}]"), "\"A\" is there twice"),
        (deployment("          env: [{name: A, value: 1}]"), "is no string"),
        (deployment("          env: [{name: A, value: no}]"), "is no string"),
        (deployment("").replace("labels: {app: a}", "labels: {app: b}"), "does not select"),
        (deployment("").replace("labels: {app: a}", "labels: {app: a, b: on}"), "is no string"),
        (deployment("").replace("labels: {app: a}", "labels: {app: a, app: a}"), "duplicate"),
        (deployment("").replace("name: a\nspec", "name: 1e3\nspec"), "name"),
        (deployment("").replace("kind: Deployment\n", ""), "kind"),
        (format!("{0}\n---\n{0}", deployment("")), "twice"),
        ("apiVersion: v1\nkind: NetworkPolicy\nmetadata: {name: a}\nspec: {ingress: [{from: []}]}".into(), "from"),
        ("apiVersion: v1\nkind: NetworkPolicy\nmetadata: {name: a}\nspec: {ingress: [{ports: [{port: metrics}]}]}".into(), "metrics"),
    ] {
        let found = problems(&text);
        assert!(
            found.iter().any(|problem| problem.contains(expected)),
            "{expected}: {found:?}\n{text}"
        );
    }
}

//! Reads one file of manifests as strictly as the API server would: schema, rules, and then the operator's own checks.

use std::sync::LazyLock;

use datastream_crds::DatastreamSubscription;
use datastream_operator::validate::{ValidSubscription, validate};
use datastream_routing::SubscriptionId;
use kube::CustomResourceExt as _;
use serde_json::Value;

use super::folder::{Manifest, Problem, Reading};
use super::{schema, yaml};

const API_VERSION: &str = "datastream.dev/v1alpha1";
const KIND: &str = "DatastreamSubscription";
/// As `kubectl` without `-n`.
const DEFAULT_NAMESPACE: &str = "default";

/// The structural schema of the spec, from the custom resource's definition.
static SPEC_SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let definition = serde_json::to_value(DatastreamSubscription::crd()).unwrap_or_default();
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"].clone()
});

/// Reads a file.
pub(super) fn read(file: &str, text: &str) -> Reading<ValidSubscription> {
    let mut reading = Reading::default();
    let problem = |line, reason: String| Problem {
        file: file.to_owned(),
        line,
        reason,
    };
    let documents = match yaml::parse(text) {
        Ok(documents) => documents,
        Err(error) => {
            reading.problems.push(problem(error.line, error.reason));
            reading.unknown = true;
            return reading;
        }
    };
    // An editor may empty a file before it writes it anew: nothing is taken away for that.
    if documents.iter().all(|d| matches!(d.tree, yaml::Tree::Null)) {
        let reason = "has no manifest: what it had stays in force; delete the file to delete its subscriptions";
        reading.problems.push(problem(0, reason.to_owned()));
        reading.unknown = true;
        return reading;
    }
    for document in documents {
        if matches!(document.tree, yaml::Tree::Null) {
            continue;
        }
        let id = identity(&document);
        match (check(&document), id) {
            (Ok(subscription), Some(id)) => {
                let manifest = Manifest {
                    line: document.line,
                    object: subscription,
                };
                if let Some(first) = reading.good.insert(id.clone(), manifest) {
                    let reason = format!(
                        "{id} is defined in this file already, on line {}",
                        first.line
                    );
                    reading.problems.push(problem(document.line, reason));
                    reading.good.insert(id, first);
                }
            }
            (Ok(_), None) => {
                reading.problems.push(problem(
                    document.line,
                    "metadata.name is missing".to_owned(),
                ));
                reading.unknown = true;
            }
            (Err(faults), id) => {
                reading.unknown |= id.is_none();
                reading.refused.extend(id);
                reading.problems.extend(
                    faults
                        .into_iter()
                        .map(|(line, reason)| problem(line, reason)),
                );
            }
        }
    }
    reading
}

fn identity(document: &yaml::Node) -> Option<SubscriptionId> {
    let metadata = document.get("metadata")?;
    let name = metadata.get("name")?.as_str()?;
    let namespace = metadata
        .get("namespace")
        .and_then(yaml::Node::as_str)
        .unwrap_or(DEFAULT_NAMESPACE);
    Some(SubscriptionId::new(namespace, name))
}

/// The subscription, or the line and the reason of everything that is wrong.
fn check(document: &yaml::Node) -> Result<ValidSubscription, Vec<(u64, String)>> {
    let at = |path: &str, reason: String| (document.line_of(path), reason);
    for (field, expected) in [("apiVersion", API_VERSION), ("kind", KIND)] {
        let found = document
            .get(field)
            .and_then(yaml::Node::as_str)
            .unwrap_or_default();
        if found != expected {
            return Err(vec![at(
                field,
                format!("{field} must be {expected}, not {found:?}"),
            )]);
        }
    }
    let mut manifest = document.to_json();
    let faults = schema::check(&SPEC_SCHEMA, &manifest["spec"], "spec");
    if !faults.is_empty() {
        return Err(faults
            .into_iter()
            .map(|f| at(&f.path, format!("{}: {}", f.path, f.reason)))
            .collect());
    }
    if manifest["metadata"]["namespace"].is_null() {
        manifest["metadata"]["namespace"] = DEFAULT_NAMESPACE.into();
    }
    let subscription: DatastreamSubscription =
        serde_json::from_value(manifest).map_err(|e| vec![at("spec", e.to_string())])?;
    subscription
        .validate_cel()
        .map_err(|e| vec![at("spec", e.to_string())])?;
    validate(&subscription).map_err(|invalid| {
        invalid
            .0
            .into_iter()
            .map(|e| at(&e.path, format!("{}: {}", e.path, e.reason)))
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        read("f.yaml", text)
            .problems
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    const HEAD: &str =
        "apiVersion: datastream.dev/v1alpha1\nkind: DatastreamSubscription\nmetadata:\n  name: a\n";

    #[test]
    fn every_example_is_read() {
        for entry in
            std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../crds/examples")).unwrap()
        {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            assert_eq!(problems(&text), [""; 0]);
        }
    }

    #[test]
    fn what_the_api_server_refuses_is_refused_here() {
        for entry in std::fs::read_dir(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../crds/tests/invalid"
        ))
        .unwrap()
        {
            let path = entry.unwrap().path();
            let reading = read("f.yaml", &std::fs::read_to_string(&path).unwrap());
            assert!(
                !reading.problems.is_empty() && reading.good.is_empty(),
                "{}",
                path.display()
            );
            assert!(
                reading
                    .refused
                    .contains(&SubscriptionId::new("default", "invalid")),
                "{}",
                path.display()
            );
        }
    }

    #[test]
    fn a_file_without_a_manifest_takes_nothing_away() {
        for text in ["", "# nothing\n", "---\n---\n"] {
            let reading = read("f.yaml", text);
            assert!(reading.unknown, "{text:?}");
            assert!(problems(text)[0].contains("has no manifest"), "{text:?}");
        }
    }

    #[test]
    fn problems_name_the_line() {
        let found = problems(&format!(
            "{HEAD}spec:\n  eventTypes:\n    - location\n    - reboot\n"
        ));
        assert_eq!(found.len(), 1);
        assert!(
            found[0].starts_with("f.yaml:8: spec.eventTypes[1]: "),
            "{found:?}"
        );
        let found = problems(&format!(
            "{HEAD}spec:\n  eventTypes: [location, location]\n"
        ));
        assert!(found[0].contains("must not name a type twice"), "{found:?}");
        assert!(problems("a: [")[0].starts_with("f.yaml:"));
        assert!(problems("kind: Pod\n")[0].contains("apiVersion must be"));
    }
}

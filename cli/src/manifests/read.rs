//! Reads one file of manifests as strictly as the API server would: fields, schema, rules, and then the operator's own
//! checks.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use datastream_crds::{DatastreamAccessRule, DatastreamSubscription};
use datastream_operator::routing::Budget;
use datastream_operator::spec::{FieldError, ValidSubscription, validate};
use datastream_routing::SubscriptionId;
use datastream_service::yaml::{self, Node, Tree};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;
use serde_json::Value;

use super::schema::{self, Fault};
use super::{Manifest, Object, ObjectId, Problem, Reading};

const GROUP: &str = "datastream.dev/";
const API_VERSION: &str = "datastream.dev/v1alpha1";
const KIND: &str = "DatastreamSubscription";
const ACCESS_RULE: &str = "DatastreamAccessRule";
/// Default group in the definition of the resource.
const DEFAULT_GROUP: &str = "default";
/// Namespace of `kubectl` without `-n`.
const DEFAULT_NAMESPACE: &str = "default";

const FIELDS: [&str; 5] = ["apiVersion", "kind", "metadata", "spec", "status"];
/// `ObjectMeta` of the Kubernetes API.
const METADATA_FIELDS: [&str; 15] = [
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// The structural schema of the spec, from the custom resource's definition.
static SPEC_SCHEMA: LazyLock<Value> = LazyLock::new(|| schema_of(&DatastreamSubscription::crd()));
static ACCESS_RULE_SCHEMA: LazyLock<Value> =
    LazyLock::new(|| schema_of(&DatastreamAccessRule::crd()));

fn schema_of(definition: &CustomResourceDefinition) -> Value {
    let definition = serde_json::to_value(definition).unwrap_or_default();
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"].clone()
}

/// Reads a file: YAML with any number of documents, or JSON; a `List` stands for its items. Objects of other groups
/// are left out, so that a folder that is meant for a cluster can be used as it is.
pub fn read(file: &str, text: &str) -> Reading<Object> {
    let mut reader = Reader {
        file,
        reading: Reading::default(),
    };
    match yaml::parse(text) {
        Err(error) => reader.unknown(error.line, error.reason),
        // An editor may empty a file before it rewrites it: that removes nothing.
        Ok(documents) if documents.iter().all(|d| matches!(d.tree, Tree::Null)) => {
            let reason = "has no manifest; in a folder that datastream dev watches, what it had stays in force until the file is deleted";
            reader.unknown(0, reason.to_owned());
        }
        Ok(documents) => documents.iter().for_each(|d| reader.document(d)),
    }
    reader.reading
}

struct Reader<'a> {
    file: &'a str,
    reading: Reading<Object>,
}

impl Reader<'_> {
    fn problem(&mut self, line: u64, reason: String) {
        self.reading.problems.push(Problem {
            file: self.file.to_owned(),
            line,
            reason,
        });
    }

    /// A problem of something that does not say which object it is: it might be any.
    fn unknown(&mut self, line: u64, reason: String) {
        self.reading.unknown = true;
        self.problem(line, reason);
    }

    fn document(&mut self, document: &Node) {
        if matches!(document.tree, Tree::Null) {
            return;
        }
        let text = |field: &str| {
            document
                .get(field)
                .and_then(Node::as_str)
                .unwrap_or_default()
        };
        match (text("apiVersion"), text("kind")) {
            ("v1", "List") => match document.get("items").map(|items| &items.tree) {
                Some(Tree::List(items)) => items.iter().for_each(|item| self.document(item)),
                _ => self.unknown(
                    document.line,
                    "items: a List needs a list of them".to_owned(),
                ),
            },
            (API_VERSION, KIND) => self.subscription(document),
            (API_VERSION, ACCESS_RULE) => self.access_rule(document),
            ("v1", "Namespace") => self.namespace(document),
            ("", _) => self.unknown(document.line, "apiVersion is required".to_owned()),
            (_, "") => self.unknown(document.line, "kind is required".to_owned()),
            (API_VERSION, kind) => {
                let line = document.line_of("kind");
                let reason = format!("kind must be {KIND} or {ACCESS_RULE}, not {kind:?}");
                self.unknown(line, reason);
            }
            (version, kind)
                if [KIND, ACCESS_RULE].contains(&kind) || version.starts_with(GROUP) =>
            {
                let line = document.line_of("apiVersion");
                let reason = format!("apiVersion must be {API_VERSION}, not {version:?}");
                self.unknown(line, reason);
            }
            (version, kind) => tracing::info!(
                "{}:{}: a {kind} of {version} means nothing here and is left out",
                self.file,
                document.line
            ),
        }
    }

    fn subscription(&mut self, document: &Node) {
        let Some(name) = self.name_of(document) else {
            return;
        };
        let namespace = document.get("metadata").and_then(|m| m.get("namespace"));
        let namespace = match namespace.map(|node| (node, node.as_str())) {
            None => DEFAULT_NAMESPACE,
            Some((_, Some(namespace))) => namespace,
            Some((node, None)) => {
                let reason = "metadata.namespace: must be a string";
                return self.unknown(node.line, reason.to_owned());
            }
        };
        let subscription = SubscriptionId::new(namespace, name);
        let id = ObjectId::Subscription(subscription.clone());
        self.define(document, id, |file| {
            let valid = check(document, &subscription)?;
            let group = document.get("spec").and_then(|s| s.get("gatewayGroup"));
            if let Some(group) = group.and_then(Node::as_str).filter(|g| *g != DEFAULT_GROUP) {
                tracing::info!(
                    "{}:{}: spec.gatewayGroup {group} means nothing here: one gateway serves every group",
                    file,
                    document.line_of("spec.gatewayGroup")
                );
            }
            let spec = document.get("spec");
            if spec.and_then(|s| s.get("clientCertificate")).is_some() {
                tracing::info!(
                    "{}:{}: spec.clientCertificate means nothing here: without TLS, the key alone opens the stream",
                    file,
                    document.line_of("spec.clientCertificate")
                );
            }
            Ok(Object::Subscription(Box::new(valid)))
        });
    }

    fn access_rule(&mut self, document: &Node) {
        let Some(name) = self.name_of(document) else {
            return;
        };
        let id = ObjectId::AccessRule(name.to_owned());
        self.define(document, id, |_| check_access_rule(document, name));
    }

    /// Of a namespace, only the name and the labels are looked at.
    fn namespace(&mut self, document: &Node) {
        let Some(name) = self.name_of(document) else {
            return;
        };
        let id = ObjectId::Namespace(name.to_owned());
        self.define(document, id, |_| {
            let labels = document.to_json()["metadata"]["labels"].take();
            let labels: Result<Option<BTreeMap<_, _>>, _> = serde_json::from_value(labels);
            labels
                .map(|labels| Object::Namespace(labels.unwrap_or_default()))
                .map_err(|error| vec![Fault::new("metadata.labels", error.to_string())])
        });
    }

    /// The name of an object, which is a problem if it is missing.
    fn name_of<'a>(&mut self, document: &'a Node) -> Option<&'a str> {
        let name = document.get("metadata").and_then(|m| m.get("name"));
        let name = name.and_then(Node::as_str);
        if name.is_none() {
            let line = document.line_of("metadata.name");
            let reason = "metadata.name: is required, and must be a string";
            self.unknown(line, reason.to_owned());
        }
        name
    }

    /// Adds the object that `check` makes of a document, or what is wrong with it. That it is in the file already is a problem, too.
    fn define(
        &mut self,
        document: &Node,
        id: ObjectId,
        check: impl FnOnce(&str) -> Result<Object, Vec<Fault>>,
    ) {
        if let Some(first) = self.reading.good.get(&id) {
            let line = first.line;
            let reason = format!("{id} is defined in this file already, on line {line}");
            return self.problem(document.line, reason);
        }
        match check(self.file) {
            Ok(object) => {
                let line = document.line;
                self.reading.good.insert(id, Manifest { line, object });
            }
            Err(faults) => {
                for Fault { path, reason } in faults {
                    self.problem(document.line_of(&path), format!("{path}: {reason}"));
                }
                self.reading.refused.insert(id);
            }
        }
    }
}

/// The subscription, or everything that is wrong, in the API server's order: fields, then rules; then the operator's.
fn check(document: &Node, id: &SubscriptionId) -> Result<ValidSubscription, Vec<Fault>> {
    let mut manifest = document.to_json();
    if let Some(fields) = manifest.as_object_mut() {
        // As the API server has it: the status is the operator's.
        fields.remove("status");
    }
    let mut faults = metadata(&manifest, &id.name, Some(&id.namespace));
    faults.extend(schema::check(&SPEC_SCHEMA, &manifest["spec"], "spec"));
    if !faults.is_empty() {
        return Err(faults);
    }
    manifest["metadata"]["namespace"] = (*id.namespace).into();
    let mut subscription: DatastreamSubscription = serde_json::from_value(manifest)
        .map_err(|error| vec![Fault::new("spec", error.to_string())])?;
    // These are given, not chosen.
    subscription.metadata.uid = None;
    subscription.metadata.generation = None;
    subscription.validate_cel().map_err(|e| rules_broken(&e))?;
    let mut valid = validate(&subscription).map_err(|invalid| {
        let fault = |error: FieldError| Fault::new(error.path, error.reason);
        invalid.0.into_iter().map(fault).collect::<Vec<_>>()
    })?;
    // Of TLS and tokens there is nothing here.
    valid.client_certificate = None;
    valid.labels.clear();
    // That of a namespace is left out: it is for what teams do to each other.
    match Budget::default().refuses(&valid.filters) {
        Some(denied) => {
            let reason = denied.cost().unwrap_or_default();
            Err(vec![Fault::new("spec.filters", reason)])
        }
        None => Ok(valid),
    }
}

/// The access rule, or everything that is wrong.
fn check_access_rule(document: &Node, name: &str) -> Result<Object, Vec<Fault>> {
    let manifest = document.to_json();
    let mut faults = metadata(&manifest, name, None);
    let spec = &manifest["spec"];
    faults.extend(schema::check(&ACCESS_RULE_SCHEMA, spec, "spec"));
    if !faults.is_empty() {
        return Err(faults);
    }
    let rule: DatastreamAccessRule = serde_json::from_value(manifest)
        .map_err(|error| vec![Fault::new("spec", error.to_string())])?;
    rule.validate_cel().map_err(|e| rules_broken(&e))?;
    Ok(Object::AccessRule(Box::new(rule.spec)))
}

/// The rules of a definition that an object breaks.
fn rules_broken(errors: &kube::core::cel::ValidationErrors) -> Vec<Fault> {
    let fault = |error: &kube::core::cel::ValidationError| {
        Fault::new(error.field_path.as_str(), error.message.as_str())
    };
    errors.as_slice().iter().map(fault).collect()
}

/// Checks what the API server checks of every object: its fields, and names as in RFC 1123.
fn metadata(manifest: &Value, name: &str, namespace: Option<&str>) -> Vec<Fault> {
    let mut faults = Vec::new();
    let none = Value::Null;
    for (object, path, known) in [
        (manifest, "", &FIELDS[..]),
        (
            manifest.get("metadata").unwrap_or(&none),
            "metadata.",
            &METADATA_FIELDS[..],
        ),
    ] {
        let names = object
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, _)| name);
        for name in names.filter(|name| !known.contains(&name.as_str())) {
            let reason = format!("unknown field; known here: {}", known.join(", "));
            faults.push(Fault::new(format!("{path}{name}"), reason));
        }
    }
    if name.len() > 253 || !name.split('.').all(is_label) {
        let reason = "must be lower-case letters, digits, '-' and '.', at most 253, with a letter or digit at both ends";
        faults.push(Fault::new("metadata.name", reason));
    }
    if namespace.is_some_and(|namespace| namespace.len() > 63 || !is_label(namespace)) {
        let reason = "must be lower-case letters, digits and '-', at most 63, with a letter or digit at both ends";
        faults.push(Fault::new("metadata.namespace", reason));
    }
    faults
}

fn is_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let ends = text.starts_with('-') || text.ends_with('-');
    !text.is_empty() && !ends && text.bytes().all(inner)
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

    #[test]
    fn every_example_manifest_is_accepted() {
        for entry in std::fs::read_dir("../crds/examples").unwrap() {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            assert_eq!(problems(&text), [""; 0]);
        }
    }

    #[test]
    fn filters_that_the_operator_rejects_as_too_costly_are_rejected_here() {
        let patterns = |filters: usize| {
            let items = (0..30).map(|n| format!("\"*{n:03}*0*aB*\""));
            let items = items.collect::<Vec<_>>().join(",");
            let filters = vec![format!("{{dsns: [{items}]}}"); filters].join(",");
            let spec = format!("{{eventTypes: [location], filters: [{filters}]}}");
            format!(
                "apiVersion: {API_VERSION}\nkind: {KIND}\nmetadata: {{name: a}}\nspec: {spec}\n"
            )
        };
        assert_eq!(problems(&patterns(1)), [""; 0]);
        let problems = problems(&patterns(8));
        assert!(
            problems[0].contains("spec.filters: cost") && problems[0].contains("limit"),
            "{problems:?}"
        );
    }

    #[test]
    fn manifests_that_the_api_server_rejects_are_rejected_here() {
        for entry in std::fs::read_dir("../crds/tests/invalid").unwrap() {
            let path = entry.unwrap().path();
            let reading = read("f.yaml", &std::fs::read_to_string(&path).unwrap());
            assert!(
                !reading.problems.is_empty() && reading.good.is_empty(),
                "{}",
                path.display()
            );
            let subscription = SubscriptionId::new("default", "invalid");
            let ids = [
                ObjectId::Subscription(subscription),
                ObjectId::AccessRule("invalid".to_owned()),
            ];
            let is_refused = ids.iter().any(|id| reading.refused.contains(id));
            assert!(is_refused, "{}", path.display());
        }
    }

    #[test]
    fn a_file_without_a_manifest_is_a_problem_and_removes_nothing() {
        for text in ["", "# nothing\n", "---\n---\n"] {
            let reading = read("f.yaml", text);
            assert!(reading.unknown, "{text:?}");
            assert!(problems(text)[0].contains("has no manifest"), "{text:?}");
        }
    }

    const GOOD: &str = "\
apiVersion: datastream.dev/v1alpha1
kind: DatastreamSubscription
metadata:
  name: leds
spec:
  eventTypes: [datapoint]
  filters:
    - propertyNames: ['*_LED']
";

    fn ids(text: &str) -> Vec<String> {
        read("f.yaml", text)
            .good
            .keys()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn each_yaml_document_is_read_and_objects_of_other_api_groups_are_ignored() {
        let other = "apiVersion: v1\nkind: Service\nmetadata: {name: x}\n";
        let second = GOOD.replace("name: leds", "name: more\n  namespace: team-a");
        let bad = GOOD
            .replace("leds", "bad")
            .replace("eventTypes", "eventtypes");
        let reading = read("f.yaml", &[other, GOOD, &bad, &second].join("---\n"));
        let found: Vec<_> = reading.good.keys().map(ToString::to_string).collect();
        assert_eq!(found, ["default/leds", "team-a/more"]);
        let bad = ObjectId::Subscription(SubscriptionId::new("default", "bad"));
        assert!(reading.refused.contains(&bad));
        assert!(!reading.unknown);
    }

    #[test]
    fn lists_and_json_manifests_are_accepted() {
        let item = GOOD.replace('\n', "\n    ");
        let list = format!("apiVersion: v1\nkind: List\nitems:\n  - {item}");
        assert_eq!(ids(&list), ["default/leds"]);
        let json = yaml::parse(GOOD).unwrap()[0].to_json();
        let json = serde_json::to_string_pretty(&json).unwrap();
        assert_eq!(ids(&json), ["default/leds"]);
        assert!(problems("apiVersion: v1\nkind: List\n")[0].contains("items"));
    }

    #[test]
    fn manifest_errors_name_the_line_and_the_path() {
        for (from, to, line, reason) in [
            (
                "v1alpha1",
                "v9",
                1,
                "apiVersion must be datastream.dev/v1alpha1, not \"datastream.dev/v9\"",
            ),
            (
                "kind: DatastreamSubscription",
                "kind: Subscription",
                2,
                "kind must be DatastreamSubscription",
            ),
            ("kind: DatastreamSubscription\n", "", 1, "kind is required"),
            (
                "name: leds",
                "name: Leds",
                4,
                "metadata.name: must be lower-case",
            ),
            (
                "name: leds",
                "name: a.b\n  namespace: a.b",
                5,
                "metadata.namespace: must be lower-case",
            ),
            (
                "name: leds",
                "name: a\n  namespace: 7",
                5,
                "metadata.namespace: must be a string",
            ),
            ("name: leds", "nmae: leds", 3, "metadata.name: is required"),
            (
                "name: leds",
                "name: a\n  lables: {}",
                5,
                "metadata.lables: unknown field",
            ),
            ("[datapoint]", "[datapint]", 6, "spec.eventTypes[0]: "),
            ("[datapoint]", "[]", 6, "spec.eventTypes: "),
            (
                "eventTypes:",
                "eventType:",
                6,
                "spec.eventType: unknown field",
            ),
            (
                "propertyNames:",
                "propertyName:",
                8,
                "spec.filters[0].propertyName: unknown field",
            ),
            (
                "['*_LED']",
                "'*_LED'",
                8,
                "spec.filters[0].propertyNames: must be of type array",
            ),
            ("spec:", "sepc:", 5, "sepc: unknown field"),
            (
                "propertyNames: ['*_LED']",
                "{}",
                8,
                "spec.filters[0]: a filter needs at least one of",
            ),
            (
                "[datapoint]",
                "[location]",
                5,
                "spec: propertyNames can only match datapoint",
            ),
            ("['*_LED']", "[' ']", 8, "spec.filters[0].propertyNames: "),
        ] {
            let text = GOOD.replace(from, to);
            let found = problems(&text);
            let expected = format!("f.yaml:{line}: {reason}");
            assert!(
                found.iter().any(|p| p.starts_with(&expected)),
                "{expected} not in {found:?}"
            );
            assert!(ids(&text).is_empty());
        }
        assert!(problems("a: [")[0].starts_with("f.yaml:"));
    }

    #[test]
    fn the_first_of_two_definitions_in_one_file_is_used() {
        let text = [GOOD, GOOD].join("---\n");
        assert_eq!(
            problems(&text),
            ["f.yaml:10: default/leds is defined in this file already, on line 1"]
        );
        assert_eq!(ids(&text), ["default/leds"]);
    }

    #[test]
    fn access_rules_and_namespaces_are_read() {
        let text = "\
apiVersion: datastream.dev/v1alpha1
kind: DatastreamAccessRule
metadata: {name: lights}
spec:
  effect: Deny
  namespaces: {matchLabels: {team: lights}}
---
apiVersion: v1
kind: Namespace
metadata: {name: team, labels: {team: lights}}
";
        let reading = read("f.yaml", text);
        assert_eq!(reading.problems, []);
        assert_eq!(ids(text), ["access rule lights", "namespace team"]);
        let wrong = text
            .replace("Deny", "Refuse")
            .replace("{team: lights}}", "{team: 7}}");
        let found = problems(&wrong);
        assert!(found[0].starts_with("f.yaml:5: spec.effect: "), "{found:?}");
        assert!(
            found.iter().any(|p| p.contains("metadata.labels")),
            "{found:?}"
        );
    }
}

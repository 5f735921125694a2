//! Values of the chart.

use std::path::Path;

use datastream_e2e::Helm;
use serde_json::Value;

use crate::evaluation::{Call, Evaluation, KUBE_VERSION, yaml};
use crate::root;

pub(crate) fn problems(evaluation: &Evaluation) -> Vec<String> {
    let charts = evaluation.calls("helm");
    charts.flat_map(of_chart).collect()
}

fn of_chart(chart: &Call) -> Vec<String> {
    let folder = root().join(chart.arguments["paths"].as_str().unwrap());
    let known = yaml(&folder.join("values.yaml")).unwrap().remove(0);
    let text = |path: &Path| path.display().to_string();
    let mut lint = [
        "lint",
        "--strict",
        "--quiet",
        "--kube-version",
        KUBE_VERSION,
    ]
    .map(str::to_owned)
    .to_vec();
    lint.push(text(&folder));
    let mut unknown = Vec::new();
    for file in chart.strings("values") {
        let file = root().join(file);
        lint.extend(["--values".to_owned(), text(&file)]);
        for values in yaml(&file).unwrap() {
            find_unknown(&values, &known, "", &mut unknown);
        }
    }
    for pair in chart.strings("set") {
        lint.extend(["--set".to_owned(), pair.to_owned()]);
        let path = pair.split('=').next().unwrap();
        let pointer = format!("/{}", path.replace('.', "/"));
        if known.pointer(&pointer).is_none() {
            unknown.push(path.to_owned());
        }
    }
    let mut problems: Vec<_> = unknown
        .iter()
        .map(|path| chart.problem(format!("the chart has no value {path}")))
        .collect();
    let output = Helm::new(None).and_then(|helm| helm.run(&lint)).unwrap();
    if !output.success {
        problems.push(chart.problem(output.stdout + &output.stderr));
    }
    problems
}

/// The paths of what is set and not known. What is an empty map by default takes anything.
fn find_unknown(set: &Value, known: &Value, path: &str, unknown: &mut Vec<String>) {
    let (Some(set), Some(known)) = (set.as_object(), known.as_object()) else {
        return;
    };
    for (key, value) in set.iter().filter(|_| !known.is_empty()) {
        let path = if path.is_empty() {
            key.clone()
        } else {
            format!("{path}.{key}")
        };
        match known.get(key) {
            Some(known) => find_unknown(value, known, &path, unknown),
            None => unknown.push(path),
        }
    }
}

#[test]
fn a_value_that_the_chart_does_not_have_is_found() {
    let known = serde_json::json!({"gateway": {"replicas": 2, "pod": {}}});
    let set = serde_json::json!({"gateway": {"replica": 1, "pod": {"a": 1}}, "gatewy": {}});
    let mut unknown = Vec::new();
    find_unknown(&set, &known, "", &mut unknown);
    assert_eq!(unknown, ["gateway.replica", "gatewy"]);
}

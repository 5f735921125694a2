//! Names of resources, of objects and of buttons.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::evaluation::{Call, Evaluation};
use crate::files::mentions;
use crate::root;

/// Kinds that Tilt makes a resource of, called like the object.
const WORKLOADS: [&str; 5] = ["Deployment", "StatefulSet", "DaemonSet", "Job", "Pod"];

pub(crate) fn problems(evaluation: &Evaluation) -> Vec<String> {
    let workloads: Vec<_> = evaluation
        .objects
        .iter()
        .filter(|o| WORKLOADS.iter().any(|kind| o["kind"] == *kind))
        .collect();
    let mut resources: BTreeSet<_> = workloads.iter().map(|o| name(o)).collect();
    resources.extend(evaluation.named("local_resource", "name"));
    resources.extend(evaluation.named("k8s_resource", "new_name"));
    let none = |call: &Call, name: &str| call.problem(format!("no resource is called {name}"));

    let mut problems = Vec::new();
    for call in evaluation.calls("k8s_resource") {
        if let Some(workload) = call.arguments["workload"].as_str() {
            match workloads.iter().find(|o| name(o) == workload) {
                None => problems.push(call.problem(format!("no workload is called {workload}"))),
                Some(object) => problems.extend(closed_ports(call, object)),
            }
        }
        for selector in call.strings("objects") {
            let matching = evaluation.objects.iter().filter(|o| selects(selector, o));
            let count = matching.count();
            if count != 1 {
                problems.push(call.problem(format!("{count} objects are {selector}")));
            }
        }
    }
    let dependents = ["k8s_resource", "local_resource"];
    for call in dependents.iter().flat_map(|f| evaluation.calls(f)) {
        let needed = call.strings("resource_deps").into_iter();
        problems.extend(
            needed
                .filter(|n| !resources.contains(n))
                .map(|n| none(call, n)),
        );
    }
    for (call, command) in evaluation.commands() {
        match command[..] {
            ["tilt", "trigger", resource] if !resources.contains(resource) => {
                problems.push(none(call, resource));
            }
            _ => {}
        }
        let script = command.first().map(|script| root().join(script));
        let text = script.and_then(|path| std::fs::read_to_string(path).ok());
        for deployment in text.iter().flat_map(|text| deployments(text)) {
            if !workloads.iter().any(|o| name(o) == deployment) {
                problems.push(call.problem(format!("no deployment is called {deployment}")));
            }
        }
        let log = call.arguments["annotations"]["tilt.dev/resource"].as_str();
        problems.extend(
            log.filter(|n| !resources.contains(n))
                .map(|n| none(call, n)),
        );
    }
    problems.extend(buttons(evaluation));
    problems
}

/// Every button starts a command, every command of a button has one.
fn buttons(evaluation: &Evaluation) -> Vec<String> {
    let mut problems = Vec::new();
    for button in evaluation.calls("v1alpha1.ui_button") {
        let name = button.arguments["name"].as_str().unwrap();
        let starts = |c: &Call| mentions(&c.arguments["start_on"]["ui_buttons"], name);
        if !evaluation.calls("v1alpha1.cmd").any(starts) {
            problems.push(button.problem(format!("{name} starts nothing")));
        }
    }
    for command in evaluation.calls("v1alpha1.cmd") {
        let started = command.arguments["start_on"]["ui_buttons"].as_array();
        let started = started.into_iter().flatten().filter_map(Value::as_str);
        for name in started {
            if !evaluation
                .named("v1alpha1.ui_button", "name")
                .any(|n| n == name)
            {
                problems.push(command.problem(format!("no button is called {name}")));
            }
        }
    }
    problems
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// NAME or NAME:KIND, as Tilt selects objects.
fn selects(selector: &str, object: &Value) -> bool {
    let kind = object["kind"].as_str().unwrap_or_default();
    match selector.split_once(':') {
        Some((wanted, of)) => wanted == name(object) && kind.eq_ignore_ascii_case(of),
        None => selector == name(object),
    }
}

/// Returns a problem for each port that is forwarded to and that no container of the workload has open.
fn closed_ports(call: &Call, workload: &Value) -> Vec<String> {
    let containers = workload["spec"]["template"]["spec"]["containers"].as_array();
    let open: Vec<_> = containers
        .into_iter()
        .flatten()
        .filter_map(|c| c["ports"].as_array())
        .flatten()
        .filter_map(|p| p["containerPort"].as_u64())
        .collect();
    let forwards = call.arguments["port_forwards"].as_array();
    forwards
        .into_iter()
        .flatten()
        .filter_map(|f| f["container_port"].as_u64())
        .filter(|port| !open.contains(port))
        .map(|port| call.problem(format!("{} has no port {port}", name(workload))))
        .collect()
}

/// Deployments that a script names to kubectl, as deployment/NAME.
fn deployments(script: &str) -> impl Iterator<Item = &str> {
    let words = script.split_whitespace();
    words.filter_map(|word| word.strip_prefix("deployment/"))
}

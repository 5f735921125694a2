//! The Tiltfile: every file, image, value and name in it is one that there is. It is evaluated without Tilt and without a cluster, by
//! `e2e/cluster/tilt`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod evaluation;
mod files;
mod images;
mod live_update;
mod planted;
mod resources;
mod samples;
mod values;

use std::path::{Path, PathBuf};

use datastream_e2e::checkout;
use evaluation::Evaluation;

/// A command that is started, with its settings.
type Start = (&'static str, &'static [&'static str]);
const STARTS: [Start; 5] = [
    ("up", &[]),
    ("up", &["--fluvio=chart"]),
    ("ci", &[]),
    ("ci", &["--fluvio=chart"]),
    ("down", &[]),
];

/// The root of the checkout.
fn root() -> PathBuf {
    PathBuf::from(checkout(""))
}

fn tiltfile() -> PathBuf {
    root().join("Tiltfile")
}

/// Returns the problems of a Tiltfile when it is started in these ways.
fn problems(tiltfile: &Path, starts: &[Start]) -> Vec<String> {
    let mut problems = Vec::new();
    for (subcommand, settings) in starts {
        match Evaluation::of(tiltfile, subcommand, settings) {
            Err(error) => problems.push(error.to_string()),
            Ok(evaluation) => {
                for check in [
                    files::problems,
                    images::problems,
                    values::problems,
                    resources::problems,
                ] {
                    problems.extend(check(&evaluation));
                }
            }
        }
    }
    problems.sort();
    problems.dedup();
    problems
}

#[test]
fn everything_that_the_tiltfile_names_exists() {
    let problems = problems(&tiltfile(), &STARTS);
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn the_tiltfile_has_the_documented_ports_buttons_and_resources() {
    let up = Evaluation::of(&tiltfile(), "up", &[]).unwrap();
    let mut ports: Vec<_> = up
        .calls("port_forward")
        .map(|call| call.arguments["local_port"].as_u64().unwrap())
        .collect();
    ports.sort_unstable();
    assert_eq!(ports, [8080, 8081, 9090]);
    let buttons: Vec<_> = up.named("v1alpha1.ui_button", "name").collect();
    assert_eq!(buttons, ["publish-samples", "run-e2e"]);
    for image in ["datastream-operator", "datastream-gateway"] {
        let mut builds = up.calls("docker_build");
        let build = builds.find(|c| c.arguments["ref"] == image).unwrap();
        let steps = build.arguments["live_update"].as_array().unwrap();
        let steps: Vec<_> = steps.iter().map(|s| &s["function"]).collect();
        assert_eq!(steps, ["sync", "run"], "{image}");
    }
    for kind in ["CustomResourceDefinition", "DatastreamSubscription"] {
        assert!(up.objects.iter().any(|o| o["kind"] == kind), "{kind}");
    }
}

#[test]
fn end_to_end_tests_run_in_ci_and_otherwise_on_their_button() {
    for (subcommand, runs) in [("up", false), ("ci", true)] {
        let evaluation = Evaluation::of(&tiltfile(), subcommand, &[]).unwrap();
        let mut resources = evaluation.calls("local_resource");
        let e2e = resources.find(|c| c.arguments["name"] == "e2e").unwrap();
        assert_eq!(e2e.arguments["auto_init"], runs, "{subcommand}");
        let after = e2e.strings("resource_deps");
        assert_eq!(after.contains(&"subscriptions-ready"), runs, "{after:?}");
    }
}

#[test]
fn the_cluster_has_the_registry_beside_it() {
    let documents = evaluation::yaml(&root().join("tilt/cluster.yaml")).unwrap();
    let [registry, cluster] = &documents[..] else {
        panic!("{documents:?}")
    };
    assert_eq!(registry["kind"], "Registry");
    assert_eq!(cluster["kind"], "Cluster");
    assert_eq!(cluster["product"], "kind");
    assert_eq!(cluster["registry"], registry["name"]);
    // ctlptl refuses other names of clusters of kind.
    assert!(cluster["name"].as_str().unwrap().starts_with("kind-"));
}

//! The custom resource on a real API server: what it accepts, what it rejects, and with which messages.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::PathBuf;

use datastream_e2e::{ControlPlane, checkout};

fn manifests(folder: &str) -> Vec<PathBuf> {
    let folder = checkout(&format!("crds/{folder}"));
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    paths.sort();
    paths
}

#[test]
fn the_api_server_accepts_the_examples_and_rejects_invalid_specs_with_clear_messages() {
    let cluster = ControlPlane::start().unwrap();
    for plural in ["datastreamaccessrules", "datastreamsubscriptions"] {
        let crd = checkout(&format!("crds/generated/{plural}.yaml"));
        let applied = cluster
            .kubectl(&["apply", "--server-side", "-f", &crd])
            .unwrap();
        assert!(applied.success, "{}", applied.stderr);
        assert_eq!(
            applied.stderr, "",
            "the API server warns about the definition"
        );
        let name = format!("crd/{plural}.datastream.dev");
        let established = cluster
            .kubectl(&[
                "wait",
                "--for=condition=Established",
                "--timeout=30s",
                &name,
            ])
            .unwrap();
        assert!(established.success, "{}", established.stderr);
    }

    for path in manifests("examples") {
        let applied = cluster
            .kubectl(&["apply", "-f", path.to_str().unwrap()])
            .unwrap();
        assert!(
            applied.success && applied.stderr.is_empty(),
            "{}: {}",
            path.display(),
            applied.stderr
        );
    }
    let mut wrong = vec![];
    for path in manifests("tests/invalid") {
        let text = std::fs::read_to_string(&path).unwrap();
        let expected = text
            .lines()
            .next()
            .unwrap()
            .strip_prefix("# expect: ")
            .expect("an expectation on line 1");
        let applied = cluster
            .kubectl(&["apply", "-f", path.to_str().unwrap()])
            .unwrap();
        if applied.success || !applied.stderr.contains(expected) {
            wrong.push(format!(
                "{}: wanted {expected:?}, got: {}",
                path.display(),
                applied.stderr
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    let listed = cluster.kubectl(&["get", "dss"]).unwrap().stdout;
    let header: Vec<_> = listed
        .lines()
        .next()
        .unwrap()
        .split("  ")
        .map(str::trim)
        .filter(|c| !c.is_empty())
        .collect();
    assert_eq!(
        header,
        [
            "NAME",
            "EVENT TYPES",
            "READY",
            "CONNECTION",
            "SUSPENDED",
            "AGE"
        ],
        "{listed}"
    );
    // By name: their age grows meanwhile.
    let names = |what: &str| {
        let listed = cluster.kubectl(&["get", what, "-o", "name"]).unwrap();
        listed.stdout
    };
    assert!(names("dss").lines().count() >= 5);
    assert_eq!(
        names("datastream"),
        names("dss"),
        "the category lists them, too"
    );
    let explained = cluster
        .kubectl(&["explain", "dss.spec.heartbeat.intervalSeconds"])
        .unwrap()
        .stdout;
    assert!(explained.contains("Unset: 30"), "{explained}");
    let defaults = [
        "get",
        "dss",
        "all-events",
        "-o",
        "jsonpath={.spec.heartbeat.intervalSeconds} {.spec.resume}",
    ];
    assert_eq!(cluster.kubectl(&defaults).unwrap().stdout, "30 Latest");
}

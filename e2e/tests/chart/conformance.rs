//! Every rendered object, of every set of values, before a real API server: a dry run on the server checks each against its
//! schema, its validation and Restricted Pod Security.

use std::path::{Path, PathBuf};
use std::process::Command;

use datastream_e2e::{ControlPlane, Output, checkout};
use serde_json::Value;

use super::sound::{documents, objects};
use super::{helm, sets, succeeded};

const NAMESPACE: &str = "chart-conformance";

/// The definitions of other projects' APIs that the chart makes objects of.
fn definitions() -> Vec<PathBuf> {
    let script = checkout("e2e/cluster/apis.sh");
    let output = Command::new("timeout")
        .args(["300", &script])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let files: Vec<_> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(PathBuf::from)
        .collect();
    assert_eq!(files.len(), 5, "{files:?}");
    files
}

fn kubectl(cluster: &ControlPlane, args: &[&str]) -> String {
    succeeded(cluster.kubectl(args).unwrap())
}

/// Has a file checked by the API server as if it were applied.
pub(crate) fn dry_run(cluster: &ControlPlane, file: &Path) -> Output {
    apply(cluster, file, &[])
}

fn apply(cluster: &ControlPlane, file: &Path, more: &[&str]) -> Output {
    let file = file.to_str().unwrap();
    let args = [
        "apply",
        "--server-side",
        "--dry-run=server",
        "--force-conflicts",
        "-f",
        file,
    ];
    cluster.kubectl(&[&args[..], more].concat()).unwrap()
}

/// A control plane with every API that the chart makes objects of, and a namespace under Restricted Pod Security.
pub(crate) fn cluster_with_every_api(namespace: &str) -> ControlPlane {
    let cluster = ControlPlane::start().unwrap();
    for file in definitions() {
        // Those that a foreign cluster has stay as they are.
        let created = cluster
            .kubectl(&["create", "-f", file.to_str().unwrap()])
            .unwrap();
        assert!(
            created.success || created.stderr.contains("AlreadyExists"),
            "{}",
            created.stderr
        );
    }
    let plural = [
        "certificates.cert-manager.io",
        "podmonitors.monitoring.coreos.com",
        "prometheusrules.monitoring.coreos.com",
        "servicemonitors.monitoring.coreos.com",
        "httproutes.gateway.networking.k8s.io",
    ];
    for name in plural {
        kubectl(
            &cluster,
            &[
                "wait",
                "--for=condition=Established",
                &format!("crd/{name}"),
                "--timeout=30s",
            ],
        );
    }
    kubectl(&cluster, &["create", "namespace", namespace]);
    kubectl(
        &cluster,
        &[
            "label",
            "namespace",
            namespace,
            "pod-security.kubernetes.io/enforce=restricted",
            "pod-security.kubernetes.io/warn=restricted",
        ],
    );
    // A control plane without controllers makes none.
    let account = ["create", "serviceaccount", "default", "-n", namespace];
    let created = cluster.kubectl(&account).unwrap();
    assert!(
        created.success || created.stderr.contains("already exists"),
        "{}",
        created.stderr
    );
    cluster
}

/// Checks that the API server would store objects of other projects' APIs as they were rendered: Argo CD and `kubectl diff`
/// compare the two, and a default that only the definition knows is a difference for ever.
fn compare(cluster: &ControlPlane, rendered: &str, dir: &Path) {
    let foreign = |document: &&str| {
        [
            "monitoring.coreos.com",
            "cert-manager.io",
            "gateway.networking",
        ]
        .iter()
        .any(|api| document.contains(&format!("apiVersion: {api}")))
    };
    for document in documents(rendered).into_iter().filter(foreign) {
        let file = dir.join("foreign.yaml");
        std::fs::write(&file, document).unwrap();
        let stored = succeeded(apply(cluster, &file, &["-o", "json"]));
        let stored: Value = serde_json::from_str(&stored).unwrap();
        assert_eq!(stored["spec"], objects(document).unwrap()[0]["spec"]);
    }
}

#[test]
fn the_api_server_accepts_every_object_without_warnings_and_adds_no_defaults_to_foreign_kinds() {
    let cluster = cluster_with_every_api(NAMESPACE);
    for namespace in ["datastream-routes", "team-a", "123"] {
        kubectl(&cluster, &["create", "namespace", namespace]);
    }
    let (helm, dir) = (helm(), tempfile::tempdir().unwrap());
    let mut kinds = std::collections::BTreeSet::new();
    for (name, values) in sets() {
        let values = values.to_str().unwrap();
        let rendered = succeeded(helm.template(NAMESPACE, &["--values", values]).unwrap());
        let file = dir.path().join(format!("{name}.yaml"));
        std::fs::write(&file, &rendered).unwrap();
        let output = dry_run(&cluster, &file);
        assert!(
            output.success && output.stderr.is_empty(),
            "{name}: {}",
            output.stderr
        );
        let objects = rendered
            .lines()
            .filter(|line| line.starts_with("kind: "))
            .count();
        assert_eq!(
            output.stdout.lines().count(),
            objects,
            "{name}: {}",
            output.stdout
        );
        compare(&cluster, &rendered, dir.path());
        kinds.extend(
            rendered
                .lines()
                .filter_map(|l| l.strip_prefix("kind: "))
                .map(str::to_owned),
        );
    }
    assert!(kinds.len() >= 20, "{kinds:?}");

    // The server is strict: what it takes has been looked at.
    for (from, to, expected) in [
        ("maxSurge: 1", "maxSurge: one", "maxSurge"),
        (
            "readOnlyRootFilesystem: true",
            "readOnlyRootFilesystems: true",
            "readOnlyRootFilesystems",
        ),
        (
            "allowPrivilegeEscalation: false",
            "allowPrivilegeEscalation: true",
            "PodSecurity",
        ),
    ] {
        let minimal = std::fs::read_to_string(dir.path().join("minimal.yaml")).unwrap();
        assert!(minimal.contains(from));
        let file = dir.path().join("wrong.yaml");
        std::fs::write(&file, minimal.replace(from, to)).unwrap();
        let output = dry_run(&cluster, &file);
        assert!(output.stderr.contains(expected), "{to}: {}", output.stderr);
    }
    kubectl(
        &cluster,
        &["delete", "namespace", NAMESPACE, "--wait=false"],
    );
}

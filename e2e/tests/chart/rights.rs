//! The operator asks for the rights that the chart gives it, for all of them and for no others.

use std::collections::BTreeSet;

use datastream_e2e::{ControlPlane, Launch, Program, own_program};
use serde_json::Value;

use super::{NAMESPACE, succeeded};

/// `VERB RESOURCE` of every rule of a role.
fn rights(cluster: &ControlPlane, role: &[&str]) -> Vec<String> {
    let args = [&["get"], role, &["-o", "json"]].concat();
    let role: Value = serde_json::from_str(&succeeded(cluster.kubectl(&args).unwrap())).unwrap();
    let words = |rule: &Value, field: &str| -> Vec<String> {
        let words = rule[field].as_array().unwrap().iter();
        words
            .map(|word| word.as_str().unwrap().to_owned())
            .collect()
    };
    let mut rights = vec![];
    for rule in role["rules"].as_array().unwrap() {
        for resource in words(rule, "resources") {
            rights.extend(
                words(rule, "verbs")
                    .iter()
                    .map(|verb| format!("{verb} {resource}")),
            );
        }
    }
    rights
}

#[test]
fn an_operator_without_rights_reports_every_right_that_the_chart_grants() {
    let cluster = ControlPlane::start().unwrap();
    cluster.install(NAMESPACE).unwrap();
    let mut given = rights(&cluster, &["clusterrole", "datastream-operator"]);
    for role in ["datastream-operator-routes", "datastream-operator-leader"] {
        given.extend(rights(&cluster, &["role", role, "-n", NAMESPACE]));
    }
    let given: BTreeSet<_> = given.into_iter().collect();

    succeeded(
        cluster
            .kubectl(&["create", "serviceaccount", "nobody", "-n", NAMESPACE])
            .unwrap(),
    );
    let kubeconfig = cluster.service_account(NAMESPACE, "nobody").unwrap();
    let args = [
        "run".to_owned(),
        format!("--routes-namespace={NAMESPACE}"),
        "--groups=default=ws://datastream.test/stream".to_owned(),
        "--listen=127.0.0.1:0".to_owned(),
    ];
    let dir = tempfile::tempdir().unwrap();
    let launch = Launch::new(own_program("datastream-operator").unwrap(), args)
        .env("KUBECONFIG", kubeconfig);
    let refusal = Program::start(&launch, dir.path().join("operator.log")).unwrap_err();
    let refusal = format!("{refusal:#}");
    let asked = refusal
        .split_once("this account may not ")
        .and_then(|(_, rest)| rest.split_once(": give it"));
    let asked = asked.unwrap_or_else(|| panic!("{refusal}")).0;
    let asked: BTreeSet<_> = asked.split(", ").map(str::to_owned).collect();
    assert_eq!(asked, given);
    // Gateways beside the operator have every right to Leases, and none to the ConfigMap that is its lock here.
    let may = |account: &str, verb: &str, object: &str| {
        let account = format!("--as=system:serviceaccount:{NAMESPACE}:{account}");
        let args = ["auth", "can-i", verb, object, "-n", NAMESPACE, &account];
        cluster.kubectl(&args).unwrap().success
    };
    let lock = "configmap/datastream-operator";
    for verb in [
        "get", "list", "watch", "create", "update", "patch", "delete",
    ] {
        assert!(!may("datastream-gateway", verb, lock), "{verb}");
    }
    for (verb, object, expected) in [
        ("get", lock, true),
        ("patch", lock, true),
        ("create", "configmaps", true),
        ("get", "configmap/other", false),
        ("delete", lock, false),
        ("patch", "lease/datastream-gateway-0", false),
    ] {
        let is_allowed = may("datastream-operator", verb, object);
        assert_eq!(is_allowed, expected, "{verb} {object}");
    }
}

//! The fewest rights that the chart can give: routing objects in a namespace of their own, and an operator of named namespaces.

use datastream_e2e::{Output, Program};
use serde_json::json;

use super::assert_no_forbidden;
use super::stack::{NAMESPACE, Stack};

const ROUTES: &str = "datastream-routes";
const LEASE: &str = "lease/datastream-operator";

/// Gives the programs the rights that the chart has for these watched namespaces.
fn install(stack: &Stack, watched: &[&str]) {
    let watched = watched.join(",");
    let values = [
        format!("routes.namespace={ROUTES}"),
        format!("operator.watchNamespaces={{{watched}}}"),
    ];
    stack.cluster.install_with(NAMESPACE, &values).unwrap();
}

fn operator(stack: &mut Stack, identity: &str, watched: &str) -> Program {
    let leader = format!("--leader-namespace={NAMESPACE}");
    let watched = format!("--watch-namespaces={watched}");
    let groups = "default=ws://datastream.test/stream";
    stack.operator_with(identity, groups, &[&leader, &watched])
}

fn subscribe(stack: &Stack, namespace: &str) {
    let mut leds = super::subscription("leds", &json!({"eventTypes": ["datapoint"]}));
    leds["metadata"]["namespace"] = json!(namespace);
    stack.apply(&leds);
}

fn wait_ready(stack: &Stack, namespace: &str) {
    let ready = "--for=condition=Ready";
    stack.kubectl(&["wait", ready, "dss/leds", "-n", namespace, "--timeout=60s"]);
}

/// Runs kubectl with the rights of a service account of the release.
fn run_as(stack: &Stack, account: &str, args: &[&str]) -> Output {
    let account = format!("--as=system:serviceaccount:{NAMESPACE}:{account}");
    stack
        .cluster
        .kubectl(&[args, &[&account]].concat())
        .unwrap()
}

fn assert_forbidden(stack: &Stack, account: &str, args: &[&str]) {
    let output = run_as(stack, account, args);
    let is_forbidden = !output.success && output.stderr.contains("Forbidden");
    assert!(is_forbidden, "{account} {args:?}: {output:?}");
}

fn assert_allowed(stack: &Stack, account: &str, args: &[&str]) {
    let output = run_as(stack, account, args);
    assert!(output.success, "{account} {args:?}: {output:?}");
}

/// The routes that are published.
fn routes(stack: &Stack, expected: impl Fn(&str) -> bool) {
    let all = "go-template={{range .items}}{{range .data}}{{. | base64decode}}{{end}}{{end}}";
    stack.eventually(&["get", "secrets", "-n", ROUTES, "-o", all], expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_minimal_rights_only_watched_namespaces_are_served_and_accessible() {
    let mut stack = Stack::with_routes_in(ROUTES).await;
    // As if they had never been installed with the defaults.
    for kind in ["clusterrole", "clusterrolebinding"] {
        stack.kubectl(&["delete", kind, "datastream-operator"]);
    }
    stack.kubectl(&["delete", "roles,rolebindings", "--all", "-n", NAMESPACE]);
    for namespace in ["team-a", "team-b"] {
        stack.kubectl(&["create", "namespace", namespace]);
    }
    install(&stack, &["team-a"]);
    for namespace in ["team-a", "team-b"] {
        subscribe(&stack, namespace);
    }
    let first = operator(&mut stack, "operator-0", "team-a,team-c");
    let gateway = stack.gateway("gateway-0");
    wait_ready(&stack, "team-a");

    // The operator's Lease is there, and the gateways' account has no part in it.
    let holder = "jsonpath={.spec.holderIdentity}";
    let holder = stack.kubectl(&["get", LEASE, "-n", NAMESPACE, "-o", holder]);
    assert_eq!(holder, "operator-0");
    let gateways = "datastream-gateway";
    let steal = "{\"spec\":{\"holderIdentity\":\"gateway\"}}";
    for args in [
        &["get", LEASE, "-n", NAMESPACE][..],
        &["patch", LEASE, "-n", NAMESPACE, "--type=merge", "-p", steal],
        &["delete", LEASE, "-n", NAMESPACE],
        &["get", "secrets", "-n", NAMESPACE],
        &["get", "secrets", "-n", "team-a"],
        &["get", "secret", "leds-stream-key", "-n", "team-a"],
    ] {
        assert_forbidden(&stack, gateways, args);
    }
    assert_allowed(&stack, gateways, &["get", "secrets", "-n", ROUTES]);

    let operators = "datastream-operator";
    for args in [
        &["get", "secrets", "-n", "team-b"][..],
        &["get", "secrets", "-n", NAMESPACE],
        &["get", "secrets", "-A"],
        &["get", "dss", "-n", "team-b"],
        &["delete", "secret", "leds-stream-key", "-n", "team-a"],
        &["get", "namespace", "team-b"],
    ] {
        assert_forbidden(&stack, operators, args);
    }
    assert_allowed(&stack, operators, &["get", "secrets", "-n", "team-a"]);

    // What is outside is not touched.
    let status = [
        "get",
        "dss/leds",
        "-n",
        "team-b",
        "-o",
        "jsonpath={.status}",
    ];
    assert_eq!(stack.kubectl(&status), "");
    let secrets = ["get", "secrets", "-n", "team-b", "-o", "name"];
    assert_eq!(stack.kubectl(&secrets), "");

    // A namespace that comes later, with its rights.
    assert!(first.log().contains("team-c"), "{}", first.log());
    stack.kubectl(&["create", "namespace", "team-c"]);
    install(&stack, &["team-a", "team-c"]);
    subscribe(&stack, "team-c");
    wait_ready(&stack, "team-c");

    // One that is not watched any more loses its routes; its objects stay as they are.
    drop(first);
    let _second = operator(&mut stack, "operator-0", "team-c");
    routes(&stack, |routes| {
        routes.contains("\"team-c\"") && !routes.contains("\"team-a\"")
    });
    stack.kubectl(&["get", "secret", "leds-stream-key", "-n", "team-a"]);
    assert_no_forbidden(&[&gateway]);
}

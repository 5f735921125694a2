//! Objects that cannot be read, writes that are refused, keys that have to end, and an API server that goes away.

use std::time::Instant;

use datastream_e2e::{Program, checkout};
use serde_json::{Value, json};

use super::client::Client;
use super::stack::{NAMESPACE, PATIENCE, Stack};
use super::{condition, leds, subscription};

/// Waits until a metric of an operator has this value.
fn metric(program: &Program, name: &str, expected: u32) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = program.metric("listen", name).unwrap();
        if (found - f64::from(expected)).abs() < 0.5 {
            return;
        }
        let late = format!("{name} is {found}, not {expected}: {}", program.log());
        assert!(Instant::now() < deadline, "{late}");
    }
}

fn message(stack: &Stack, name: &str, type_: &str, part: &str) {
    let path =
        format!("jsonpath={{range .status.conditions[?(@.type==\"{type_}\")]}}{{.message}}{{end}}");
    stack.eventually(&["get", "dss", name, "-o", &path], |found| {
        found.contains(part)
    });
}

fn locations(name: &str) -> Value {
    subscription(name, &json!({"eventTypes": ["location"]}))
}

/// The definition of a later version, with one more event type.
fn apply_definition(stack: &Stack, is_later: bool) {
    let definition = checkout("crds/generated/datastreamsubscriptions.yaml");
    let mut text = std::fs::read_to_string(definition).unwrap();
    if is_later {
        let enumeration = "                  enum:\n                  - connectivity";
        assert!(text.contains(enumeration));
        text = text.replace(
            enumeration,
            &enumeration.replace("enum:\n", "enum:\n                  - alarm\n"),
        );
    }
    let args = ["apply", "--server-side", "--force-conflicts", "-f"];
    stack.apply_with(&args, &text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_of_a_later_version_and_a_malformed_status_do_not_stop_the_others() {
    let mut stack = Stack::start().await;
    let operator = stack.operator("operator-0");
    let gateway = stack.gateway("gateway-0");
    let address = gateway.address("stream").unwrap();
    for name in ["later", "deleted", "rekeyed"] {
        stack.apply(&locations(name));
    }
    let keys = ["later", "deleted", "rekeyed"].map(|name| {
        stack.wait_ready(name);
        stack.key(name)
    });

    // Edited with a later release, which is then rolled back.
    apply_definition(&stack, true);
    let later = json!({"spec": {"eventTypes": ["location", "alarm"]}});
    let edit = |patch: &Value| {
        stack.kubectl(&[
            "patch",
            "dss",
            "later",
            "--type=merge",
            "-p",
            &patch.to_string(),
        ])
    };
    let deadline = Instant::now() + PATIENCE;
    // The API server takes a moment to follow the definition.
    while !stack
        .cluster
        .kubectl(&[
            "patch",
            "dss",
            "later",
            "--type=merge",
            "-p",
            &later.to_string(),
        ])
        .unwrap()
        .success
    {
        assert!(Instant::now() < deadline);
    }
    edit(&later);
    apply_definition(&stack, false);
    // What anybody who may write a status can write.
    let status = json!({"status": {
        "connection": {"state": "Offline", "since": "2026-11-24T06:14:44+99:99"},
        "conditions": [{"type": "Theirs", "status": "True", "reason": "R", "message": "", "lastTransitionTime": "9999-12-31T23:59:59-23:59"}],
    }});
    stack.kubectl(&[
        "patch",
        "dss",
        "rekeyed",
        "--subresource=status",
        "--type=merge",
        "-p",
        &status.to_string(),
    ]);
    drop(operator);
    let operator = stack.operator("operator-0");
    metric(&operator, "datastream_operator_listed", 1);
    metric(&operator, "datastream_operator_unreadable_objects", 1);
    condition(&stack, "later", "Accepted", "False Unreadable");
    message(
        &stack,
        "later",
        "Ready",
        "spec.eventTypes[1]: unknown variant `alarm`",
    );

    // The one that cannot be read keeps its stream; keys of the others end; new ones come.
    assert!(
        Client::connect_until(address, &keys[0], 101)
            .await
            .is_some()
    );
    stack.kubectl(&["delete", "dss", "deleted"]);
    stack.kubectl(&["delete", "secret", "rekeyed-stream-key"]);
    for key in &keys[1..] {
        assert!(Client::connect_until(address, key, 401).await.is_none());
    }
    stack.apply(&locations("new"));
    for name in ["rekeyed", "new"] {
        stack.wait_ready(name);
    }

    // Its own key ends with it.
    stack.kubectl(&["delete", "dss", "later"]);
    assert!(
        Client::connect_until(address, &keys[0], 401)
            .await
            .is_none()
    );
    metric(&operator, "datastream_operator_unreadable_objects", 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_writes_are_reported_and_retried_until_they_succeed() {
    let mut stack = Stack::start().await;
    stack
        .cluster
        .start_only(&["resourcequota-controller"])
        .unwrap();
    let _operator = stack.operator("operator-0");
    let _gateway = stack.gateway("gateway-0");
    let quota = |namespace: &str| {
        stack.kubectl(&[
            "create",
            "quota",
            "none",
            "--hard=count/secrets=0",
            "-n",
            namespace,
        ]);
        let probe = [
            "create",
            "secret",
            "generic",
            "probe",
            "--dry-run=server",
            "-n",
            namespace,
        ];
        let deadline = Instant::now() + PATIENCE;
        // The API server takes a moment to know of it.
        while stack.cluster.kubectl(&probe).unwrap().success {
            assert!(Instant::now() < deadline);
        }
    };
    let lift = |namespace: &str| {
        stack.kubectl(&["delete", "quota", "none", "-n", namespace]);
    };
    quota("default");
    stack.apply(&leds("A"));
    condition(&stack, "leds", "Accepted", "False SecretNotWritten");
    message(&stack, "leds", "Ready", "quota");
    quota(NAMESPACE);
    lift("default");
    condition(&stack, "leds", "Accepted", "True Accepted");
    condition(&stack, "leds", "Ready", "False NotPublished");
    message(&stack, "leds", "Programmed", "quota");
    lift(NAMESPACE);
    stack.wait_ready("leds");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_a_removed_group_are_revoked_and_a_copied_key_takes_over_no_stream() {
    let mut stack = Stack::start().await;
    let both = "default=ws://datastream.test/stream,eu=ws://eu.test/stream";
    let operator = stack.operator_of("operator-0", both);
    let gateway = stack.gateway_with("gateway-eu", &["--group=eu"]);
    let address = gateway.address("stream").unwrap();
    let eu = json!({"eventTypes": ["location"], "gatewayGroup": "eu"});
    for name in ["eu1", "eu2", "eu3"] {
        stack.apply(&subscription(name, &eu));
    }
    let keys = ["eu1", "eu2", "eu3"].map(|name| {
        stack.wait_ready(name);
        stack.key(name)
    });

    // Whoever knows a key and has a subscription.
    let copied = json!({"stringData": {"stream_key": keys[2]}}).to_string();
    stack.kubectl(&["patch", "secret", "eu2-stream-key", "-p", &copied]);
    condition(&stack, "eu2", "Accepted", "False KeyInUse");
    message(&stack, "eu2", "Ready", "is that of subscription eu3");
    assert!(
        Client::connect_until(address, &keys[1], 401)
            .await
            .is_none()
    );
    assert!(
        Client::connect_until(address, &keys[2], 101)
            .await
            .is_some()
    );
    condition(&stack, "eu3", "Ready", "True Ready");
    stack.kubectl(&["delete", "secret", "eu2-stream-key"]);
    stack.wait_ready("eu2");
    let second = stack.key("eu2");

    // The group is removed from the operator, and its gateway keeps serving.
    drop(operator);
    let _operator = stack.operator("operator-0");
    condition(&stack, "eu3", "Accepted", "False Invalid");
    stack.kubectl(&["delete", "dss", "eu1"]);
    stack.kubectl(&["delete", "secret", "eu2-stream-key"]);
    for key in [&keys[0], &second] {
        assert!(Client::connect_until(address, key, 401).await.is_none());
    }
    assert!(
        Client::connect_until(address, &keys[2], 101)
            .await
            .is_some()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_the_api_server_changes_no_status() {
    let mut stack = Stack::start().await;
    if !stack.cluster.is_own() {
        return;
    }
    let operator = stack.operator("operator-0");
    let _gateway = stack.gateway("gateway-0");
    stack.apply(&leds("A"));
    stack.wait_ready("leds");
    let version = [
        "get",
        "dss",
        "leds",
        "-o",
        "jsonpath={.metadata.resourceVersion}",
    ];
    let before = stack.kubectl(&version);
    // For longer than Leases last: the operator stops leading meanwhile.
    stack.cluster.stop_api_server().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !operator.log().contains("not leading any more") {
        assert!(Instant::now() < deadline, "{}", operator.log());
    }
    stack.cluster.start_api_server().unwrap();
    metric(&operator, "datastream_operator_listed", 1);
    metric(&operator, "datastream_operator_gateways", 1);
    assert_eq!(stack.kubectl(&version), before);
    let written = operator.metric("listen", "datastream_operator_statuses_written_total");
    stack.apply(&leds("B"));
    stack.wait_ready("leds");
    assert!(written.unwrap() < 3.5, "{}", operator.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_survives_a_restore_if_the_subscription_says_so() {
    let mut stack = Stack::start().await;
    // Without it, what is deleted with its dependents left alone stays there for ever.
    stack.cluster.start_garbage_collector().unwrap();
    let _operator = stack.operator("operator-0");
    let _gateway = stack.gateway("gateway-0");
    stack.apply(&leds("A"));
    stack.wait_ready("leds");
    let key = stack.key("leds");
    // As a backup has it: the Secret without its owner, the subscription with a new uid.
    stack.kubectl(&["delete", "dss", "leds", "--cascade=orphan"]);
    let orphan = json!({"metadata": {"ownerReferences": null}}).to_string();
    stack.kubectl(&[
        "patch",
        "secret",
        "leds-stream-key",
        "--type=merge",
        "-p",
        &orphan,
    ]);
    stack.apply(&leds("A"));
    condition(&stack, "leds", "Accepted", "False SecretConflict");
    message(&stack, "leds", "Ready", "datastream.dev/adopt-secret=true");
    stack.kubectl(&[
        "annotate",
        "dss",
        "leds",
        "datastream.dev/adopt-secret=true",
    ]);
    stack.wait_ready("leds");
    assert_eq!(stack.key("leds"), key);
}

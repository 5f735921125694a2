//! Access rules: what they deny, to whom, and how soon streams that are open learn of it.

use std::time::Instant;

use datastream_e2e::get;
use serde_json::{Value, json};

use super::client::{Client, Received};
use super::stack::{NAMESPACE, PATIENCE, Stack};
use super::{condition, datapoint, subscription};

const URL: &str = "default=ws://datastream.test/stream";

fn rule(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "datastream.dev/v1alpha1",
        "kind": "DatastreamAccessRule",
        "metadata": {"name": name},
        "spec": spec,
    })
}

fn subscribe(stack: &Stack, name: &str, dsn: &str) -> String {
    let filters = json!([{"dsns": [dsn]}]);
    let spec = json!({"eventTypes": ["datapoint"], "filters": filters});
    stack.apply(&subscription(name, &spec));
    stack.wait_ready(name);
    stack.key(name)
}

/// Waits until a condition of a subscription has this status and reason, and returns its message.
fn message_of(stack: &Stack, name: &str, type_: &str, expected: &str) -> String {
    condition(stack, name, type_, expected);
    let path = format!("jsonpath={{.status.conditions[?(@.type==\"{type_}\")].message}}");
    stack.kubectl(&["get", "dss", name, "-o", &path])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_that_rules_deny_is_refused_until_they_allow_it() {
    let mut stack = Stack::start().await;
    let _operator = stack.operator("operator-0");
    let gateway = stack.gateway("gateway-0");
    let address = gateway.address("stream").unwrap();
    // Without a rule, everything is allowed.
    let (few, all) = (
        subscribe(&stack, "few", "A*"),
        subscribe(&stack, "all", "*"),
    );
    let mut few_stream = Client::connect(address, &few).await.ok().unwrap();
    let mut all_stream = Client::connect(address, &all).await.ok().unwrap();
    stack.produce(&[datapoint("B", 1)]).await;
    assert_eq!(all_stream.value().await, 1);

    // With one, what it does not allow is denied: the stream ends, and no new one opens.
    let begun = Instant::now();
    let allow = json!({"effect": "Allow", "filters": [{"dsns": ["A*", "C"]}]});
    stack.apply(&rule("devices", &allow));
    assert_eq!(all_stream.next().await, Received::Closed(1008));
    println!(
        "a rule reached an open stream {:?} after kubectl was started",
        begun.elapsed()
    );
    assert!(Client::connect_until(address, &all, 403).await.is_none());
    let (_, body) = get(address, &format!("/stream?stream_key={all}")).unwrap();
    let reason = "no access rule allows datapoint events of dsns * (spec.filters[0])";
    assert!(
        body.contains("access_denied") && body.contains(reason),
        "{body}"
    );
    let message = message_of(&stack, "all", "Accepted", "False AccessDenied");
    assert!(message.starts_with(reason), "{message}");
    condition(&stack, "all", "Ready", "False AccessDenied");
    stack.produce(&[datapoint("A", 2)]).await;
    assert_eq!(few_stream.value().await, 2);

    // An edit that asks for more is not accepted, and the stream goes on with what it had.
    let edit = json!({"spec": {"filters": [{"dsns": ["A*", "B"]}]}}).to_string();
    stack.kubectl(&["patch", "dss", "few", "--type=merge", "-p", &edit]);
    let message = message_of(&stack, "few", "Accepted", "False AccessDenied");
    assert!(
        message.ends_with("the gateways go on with generation 1"),
        "{message}"
    );
    stack.produce(&[datapoint("B", 3), datapoint("A", 4)]).await;
    assert_eq!(few_stream.value().await, 4);

    // A rule that denies wins, for the namespaces with its label.
    let deny = json!({"effect": "Deny", "namespaces": {"matchLabels": {"trial": "over"}}});
    stack.apply(&rule("trial", &deny));
    assert!(
        few_stream
            .stays_for(std::time::Duration::from_millis(300))
            .await
    );
    stack.kubectl(&["label", "namespace", "default", "trial=over"]);
    assert_eq!(few_stream.next().await, Received::Closed(1008));
    let message = message_of(&stack, "few", "Accepted", "False AccessDenied");
    assert!(message.starts_with("access rule trial denies"), "{message}");

    // Without it, both are allowed again, with their keys.
    stack.kubectl(&["delete", "datastreamaccessrules", "--all"]);
    condition(&stack, "all", "Accepted", "True Accepted");
    condition(&stack, "few", "Ready", "True Ready");
    let mut all_stream = Client::connect_until(address, &all, 101).await.unwrap();
    stack.produce(&[datapoint("B", 5)]).await;
    assert_eq!(all_stream.value().await, 5);
    assert_eq!(stack.key("all"), all);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_that_is_narrowed_gets_what_is_allowed_live_and_replayed() {
    let mut stack = Stack::start().await;
    let operator = stack.operator_with("operator-0", URL, &["--access-rules=narrow"]);
    let gateway = stack.gateway("gateway-0");
    let address = gateway.address("stream").unwrap();
    let admin = gateway.address("admin").unwrap();
    let all = subscribe(&stack, "all", "*");
    let deny = json!({"effect": "Deny", "filters": [{"dsns": ["B"]}]});
    stack.apply(&rule("everything", &json!({"effect": "Allow"})));
    stack.apply(&rule("b", &deny));
    let message = message_of(&stack, "all", "Accepted", "True Narrowed");
    assert!(message.contains("access rule b denies"), "{message}");
    condition(&stack, "all", "Ready", "True Ready");
    // The status is the operator's; that the gateway has the rules, it says itself.
    let deadline = Instant::now() + PATIENCE;
    while !get(admin, "/routing")
        .unwrap()
        .1
        .contains("access_rules\":\"")
    {
        assert!(Instant::now() < deadline);
    }
    let mut stream = Client::connect(address, &all).await.ok().unwrap();
    let events = [("A", 1), ("B", 2), ("A", 3)].map(|(dsn, value)| datapoint(dsn, value));
    stack.produce(&events).await;
    assert_eq!((stream.value().await, stream.value().await), (1, 3));
    stream.leave().await;
    let mut replay = Client::connect_from(address, &all, "0").await.ok().unwrap();
    assert_eq!((replay.value().await, replay.value().await), (1, 3));
    assert!(gateway_metric(admin, "events_denied_total") >= 1.0);

    // A gateway that starts without the rules serves nobody: that there are some stands in the list of the routing objects.
    drop(operator);
    stack.kubectl(&[
        "delete",
        "secret",
        "datastream-default-access",
        "-n",
        NAMESPACE,
    ]);
    let late = stack.gateway("gateway-1");
    let late = late.address("stream").unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (status, body) = get(late, &format!("/stream?stream_key={all}")).unwrap();
        assert_eq!(status, 503, "{body}");
        if body.contains("access rules") {
            break;
        }
        assert!(Instant::now() < deadline, "{body}");
    }
    let _operator = stack.operator_with("operator-1", URL, &["--access-rules=narrow"]);
    assert!(Client::connect_until(late, &all, 101).await.is_some());
}

/// A metric of a gateway.
fn gateway_metric(admin: &str, name: &str) -> f64 {
    let (_, text) = get(admin, "/metrics").unwrap();
    let name = format!("datastream_gateway_{name} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&name));
    line.unwrap().parse().unwrap()
}

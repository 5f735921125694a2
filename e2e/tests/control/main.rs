//! Subscriptions on a real API server, with operator and gateway as processes under the rights that they ship with.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod access;
mod client;
mod faults;
mod gateway;
mod identities;
mod ownership;
mod rights;
mod rollout;
mod shed;
mod stack;

use std::time::Instant;

use client::{Client, Received};
use datastream_e2e::{Program, checkout, get};
use serde_json::{Value, json};
use stack::{NAMESPACE, PATIENCE, Stack};

fn subscription(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "datastream.dev/v1alpha1",
        "kind": "DatastreamSubscription",
        "metadata": {"name": name, "namespace": "default"},
        "spec": spec,
    })
}

fn leds(dsn: &str) -> Value {
    subscription(
        "leds",
        &json!({"eventTypes": ["datapoint"], "filters": [{"dsns": [dsn]}]}),
    )
}

fn datapoint(dsn: &str, value: i64) -> Value {
    json!({
        "metadata": {
            "event_type": "datapoint", "dsn": dsn, "oem_id": "0dfc7900", "oem_model": "ledevb",
            "property_name": "Blue_LED",
        },
        "datapoint": {"value": value},
    })
}

fn assert_no_forbidden(processes: &[&Program]) {
    for process in processes {
        let log = process.log();
        assert!(!log.to_lowercase().contains("forbidden"), "{log}");
    }
}

/// A condition's `STATUS REASON` of a subscription.
fn condition(stack: &Stack, name: &str, type_: &str, expected: &str) {
    let path = format!(
        "jsonpath={{range .status.conditions[?(@.type==\"{type_}\")]}}{{.status}} {{.reason}}{{end}}"
    );
    stack.eventually(&["get", "dss", name, "-o", &path], |found| {
        found == expected
    });
}

/// The versions of everything that the operator writes.
fn versions(stack: &Stack) -> String {
    let version =
        "jsonpath={range .items[*]}{.kind}/{.metadata.name}={.metadata.resourceVersion} {end}";
    ["dss", "secrets", "events.events.k8s.io"]
        .map(|kind| stack.kubectl(&["get", kind, "-A", "-o", version]))
        .join("")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_becomes_a_stream_and_follows_its_manifest() {
    let mut stack = Stack::start().await;
    stack.cluster.start_garbage_collector().unwrap();
    stack.log_everything();
    let operator = stack.operator("operator-0");
    stack.apply(&leds("A"));
    condition(&stack, "leds", "Accepted", "True Accepted");
    condition(&stack, "leds", "Ready", "False NoGateways");
    let gateway = stack.gateway("gateway-0");
    let address = gateway.address("stream").unwrap();
    stack.wait_ready("leds");

    let key = stack.key("leds");
    assert!(
        key.len() == 32 && key.bytes().all(|b| b.is_ascii_hexdigit()),
        "{key}"
    );
    let url = format!("ws://datastream.test/stream?stream_key={key}");
    assert_eq!(stack.secret("leds", "url"), url);
    let routing = stack.kubectl(&[
        "get",
        "secrets",
        "-n",
        NAMESPACE,
        "-o",
        "go-template={{range .items}}{{range .data}}{{. | base64decode}}{{end}}{{end}}",
    ]);
    assert!(
        routing.contains("\"leds\"") && !routing.contains(&key),
        "{routing}"
    );

    // Exactly the matching events.
    let mut stream = Client::connect(address, &key).await.ok().unwrap();
    stack
        .produce(&[datapoint("A", 1), datapoint("B", 2), datapoint("A", 3)])
        .await;
    assert_eq!((stream.value().await, stream.value().await), (1, 3));

    // An edit takes effect on the open stream, without closing it.
    stack.apply(&leds("B"));
    stack.wait_ready("leds");
    stack.produce(&[datapoint("A", 4), datapoint("B", 5)]).await;
    assert_eq!(stream.value().await, 5);

    // A refused edit changes nothing.
    let file = checkout("crds/tests/invalid");
    let refused = std::fs::read_dir(file)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let refused = stack
        .cluster
        .kubectl(&["apply", "-f", refused.to_str().unwrap()])
        .unwrap();
    assert!(!refused.success);

    // Suspended: the stream ends with a reason, and a new one is refused; resumed with the same key.
    let suspend = |on: bool| format!("{{\"spec\":{{\"suspended\":{on}}}}}");
    stack.kubectl(&["patch", "dss", "leds", "--type=merge", "-p", &suspend(true)]);
    assert_eq!(stream.next().await, Received::Closed(1008));
    assert!(Client::connect_until(address, &key, 403).await.is_none());
    condition(&stack, "leds", "Ready", "False Suspended");
    stack.kubectl(&[
        "patch",
        "dss",
        "leds",
        "--type=merge",
        "-p",
        &suspend(false),
    ]);
    let mut stream = Client::connect_until(address, &key, 101).await.unwrap();

    // Rotated: the key before stays good for the overlap, and so does its stream. A shorter overlap ends both.
    stack.kubectl(&["annotate", "dss", "leds", "datastream.dev/rotate-key=1"]);
    let digits = |text: &str| text.len() == 32 && text != key;
    let template = "go-template={{.data.stream_key | base64decode}}";
    let secret = ["get", "secret", "leds-stream-key", "-o", template];
    let rotated = stack.eventually(&secret, digits);
    stack.wait_ready("leds");
    stack.produce(&[datapoint("B", 6)]).await;
    assert_eq!(stream.value().await, 6);
    for good in [&key, &rotated] {
        let report = get(address, &format!("/stream?stream_key={good}"));
        assert_eq!(report.unwrap().0, 200);
    }
    // Somebody else has written the notes, too, as whoever restores a Secret.
    let notes = ["previous-key-sha256", "previous-key-until"].map(|note| {
        let note = format!("datastream.dev/{note}");
        let path = format!("go-template={{{{index .metadata.annotations {note:?}}}}}");
        let value = stack.kubectl(&["get", "secret", "leds-stream-key", "-o", &path]);
        (note, Value::from(value))
    });
    let restored = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "leds-stream-key", "annotations": serde_json::Map::from_iter(notes)},
    });
    let apply = ["apply", "--server-side", "--field-manager=other", "-f"];
    stack.apply_with(&apply, &restored.to_string());
    let none = r#"{"spec":{"keyRotation":{"overlap":"0s"}}}"#;
    stack.kubectl(&["patch", "dss", "leds", "--type=merge", "-p", none]);
    assert_eq!(stream.next().await, Received::Closed(1008));
    assert!(Client::connect_until(address, &key, 401).await.is_none());
    let mut stream = Client::connect_until(address, &rotated, 101).await.unwrap();
    let mut keys = vec![key, rotated.clone()];
    let key = rotated;

    // A deleted Secret: a new key, and the old one is worth nothing.
    stack.kubectl(&["delete", "secret", "leds-stream-key"]);
    let deadline = Instant::now() + PATIENCE;
    while !stack
        .cluster
        .kubectl(&["get", "secret", "leds-stream-key"])
        .unwrap()
        .success
    {
        assert!(Instant::now() < deadline, "{}", operator.log());
    }
    let new = stack.key("leds");
    assert_ne!(new, key);
    assert_eq!(stream.next().await, Received::Closed(1008));
    assert!(Client::connect_until(address, &key, 401).await.is_none());
    let mut stream = Client::connect_until(address, &new, 101).await.unwrap();

    // A key that is no key is replaced.
    let broken = r#"{"stringData":{"stream_key":"short"}}"#;
    stack.kubectl(&["patch", "secret", "leds-stream-key", "-p", broken]);
    assert_eq!(stream.next().await, Received::Closed(1008));
    stack.wait_ready("leds");
    let third = stack.key("leds");
    assert!(third != new && third.len() == 32, "{third}");
    let mut stream = Client::connect_until(address, &third, 101).await.unwrap();

    // What people read.
    let described = stack.kubectl(&["describe", "dss", "leds"]);
    for word in [
        "StreamKeyIssued",
        "Suspended",
        "Ready",
        "every live gateway serves it",
    ] {
        assert!(described.contains(word), "{word}: {described}");
    }
    assert!(!described.contains(&third), "{described}");

    // Deleted: the stream ends, the key is unknown, the Secret goes.
    stack.kubectl(&["delete", "dss", "leds"]);
    assert_eq!(stream.next().await, Received::Closed(1008));
    assert!(Client::connect_until(address, &third, 401).await.is_none());
    stack.eventually(&["get", "secret", "--no-headers"], str::is_empty);

    // Created again: another key.
    stack.apply(&leds("A"));
    stack.wait_ready("leds");
    assert_ne!(stack.key("leds"), third);
    assert_no_forbidden(&[&operator, &gateway]);

    // Whatever there is to read but for the Secret, no key is in it.
    keys.extend([new, third, stack.key("leds")]);
    let everything = ["get", "dss,events,leases,configmaps", "-A", "-o", "yaml"];
    let mut written = vec![stack.kubectl(&everything)];
    for (program, listener) in [(&operator, "listen"), (&gateway, "admin")] {
        let log = program.log();
        assert!(log.contains("TRACE"), "{log}");
        written.push(log);
        let address = program.address(listener).unwrap();
        written.push(get(address, "/metrics").unwrap().1);
    }
    for key in &keys {
        for text in &written {
            let lines: Vec<_> = text.lines().filter(|line| line.contains(key)).collect();
            assert!(lines.is_empty(), "{key}: {lines:#?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_of_someone_else_is_left_alone() {
    let mut stack = Stack::start().await;
    let operator = stack.operator("operator-0");
    let mine = [
        "create",
        "secret",
        "generic",
        "leds-stream-key",
        "--from-literal=stream_key=mine",
    ];
    stack.kubectl(&mine);
    stack.apply(&leds("A"));
    condition(&stack, "leds", "Accepted", "False SecretConflict");
    condition(&stack, "leds", "Ready", "False SecretConflict");
    assert_eq!(stack.key("leds"), "mine");
    assert_no_forbidden(&[&operator]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_survive_restarts_of_operators_and_the_api_server() {
    let mut stack = Stack::start().await;
    let first = stack.operator("operator-0");
    let gateway = stack.gateway("gateway-0");
    let (address, other) = (
        gateway.address("stream").unwrap(),
        stack.gateway("gateway-1"),
    );
    stack.apply(&leds("A"));
    stack.wait_ready("leds");
    let key = stack.key("leds");
    let mut stream = Client::connect(address, &key).await.ok().unwrap();

    // A gateway that is stopped is not waited for.
    other.server.terminate();
    stack.eventually(
        &["get", "leases", "-n", NAMESPACE, "-o", "name"],
        |leases| !leases.contains("gateway-1"),
    );
    drop(other);
    stack.apply(&leds("B"));
    stack.wait_ready("leds");

    // What someone does to a routing object is undone, and nobody notices.
    let routes = "datastream.dev/component=routes";
    let list = [
        "get", "secrets", "-n", NAMESPACE, "-l", routes, "-o", "name",
    ];
    let name = stack.kubectl(&list);
    let name = name.trim();
    let bytes = [
        "get",
        name,
        "-n",
        NAMESPACE,
        "-o",
        "jsonpath={.data.routes\\.json}",
    ];
    let good = stack.kubectl(&bytes);
    let broken = r#"{"stringData":{"routes.json":"broken by hand"}}"#;
    stack.kubectl(&["patch", name, "-n", NAMESPACE, "-p", broken]);
    stack.eventually(&bytes, |found| found == good);
    stack.kubectl(&["delete", name, "-n", NAMESPACE]);
    stack.eventually(&bytes, |found| found == good);
    stack.wait_ready("leds");
    stack.produce(&[datapoint("B", 1)]).await;
    assert_eq!(stream.value().await, 1);

    // A second replica stands by, and takes over when the first is killed, without writing anything.
    let second = stack.operator("operator-1");
    assert!(
        second
            .metric("listen", "datastream_operator_leads")
            .unwrap()
            < 0.5
    );
    let connection = [
        "get",
        "dss",
        "leds",
        "-o",
        "jsonpath={.status.connection.state}",
    ];
    stack.eventually(&connection, |state| state == "Online");
    let before = versions(&stack);
    drop(first.server);
    let deadline = Instant::now() + PATIENCE;
    while second
        .metric("listen", "datastream_operator_reconciles_total")
        .unwrap()
        < 1.0
    {
        assert!(Instant::now() < deadline, "{}", second.log());
    }
    assert_eq!(versions(&stack), before);
    for written in [
        "secrets_written",
        "statuses_written",
        "routing_objects_written",
    ] {
        let name = format!("datastream_operator_{written}_total");
        assert!(second.metric("listen", &name).unwrap() < 0.5, "{name}");
    }
    stack.apply(&leds("C"));
    stack.wait_ready("leds");

    // Now, because an API server that starts refuses everything until it has read its roles.
    assert_no_forbidden(&[&second, &gateway]);

    // Without the API server streams continue, and clients connect; when it is back, changes take effect.
    if stack.cluster.is_own() {
        stack.cluster.stop_api_server().unwrap();
        stack.produce(&[datapoint("C", 2)]).await;
        assert_eq!(stream.value().await, 2);
        drop(stream);
        stream = Client::connect_until(address, &key, 101).await.unwrap();
        stack.cluster.start_api_server().unwrap();
        stack.apply(&leds("D"));
        stack.wait_ready("leds");
        stack.produce(&[datapoint("D", 3)]).await;
        assert_eq!(stream.value().await, 3);
    }
    assert_eq!(stack.key("leds"), key);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_that_prevent_an_operator_from_starting_are_one_line() {
    let mut stack = Stack::start().await;
    let crd = "crd/datastreamsubscriptions.datastream.dev";
    let start = |stack: &mut Stack| {
        let run = std::panic::AssertUnwindSafe(|| stack.operator("operator-0"));
        let panic = std::panic::catch_unwind(run).expect_err("it does not start");
        panic.downcast_ref::<String>().unwrap().clone()
    };
    stack.kubectl(&["delete", crd]);
    let log = start(&mut stack);
    assert!(
        log.contains("datastream-operator crd | kubectl apply"),
        "{log}"
    );
    let definition = checkout("crds/generated/datastreamsubscriptions.yaml");
    let newer = std::fs::read_to_string(definition).unwrap();
    stack.apply_text(&newer.replace("name: v1alpha1", "name: v2"));
    stack.kubectl(&["wait", "--for=condition=Established", crd, "--timeout=30s"]);
    let log = start(&mut stack);
    assert!(
        log.contains("in another version (v2) than this operator")
            && log.contains("run the operator of the release"),
        "{log}"
    );
    assert_eq!(log.matches("ERROR").count(), 1, "{log}");
    stack.kubectl(&["delete", "clusterrolebinding", "datastream-operator"]);
    let log = start(&mut stack);
    assert!(
        log.contains("may not list datastreamsubscriptions"),
        "{log}"
    );
    assert!(log.contains("give it the role"), "{log}");
    assert_eq!(log.matches("ERROR").count(), 1, "{log}");
}

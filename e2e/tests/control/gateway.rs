//! A gateway process on a real API server, with the rights that it ships with: it follows routing Secrets and acknowledges them.

use datastream_routing::{Bucket, BucketHash, KeyHash, Route, SubscriptionId};

use super::assert_no_forbidden;
use super::stack::{NAMESPACE, Stack};

fn bucket(generation: i64) -> Bucket {
    let id = SubscriptionId::new("default", "a");
    let route = Route {
        uid: "1".to_owned(),
        generation,
        ..Route::new(id.clone(), KeyHash::of("0123456789abcdef0123456789abcdef"))
    };
    Bucket::new(id.bucket(), vec![route])
}

fn publish(stack: &Stack, bytes: &[u8]) {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    stack.apply(&serde_json::json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": format!("datastream-default-routes-{}", bucket(1).id),
            "namespace": NAMESPACE,
            "labels": {"datastream.dev/component": "routes", "datastream.dev/gateway-group": "default"},
        },
        "stringData": {"routes.json": text},
    }));
}

/// Waits until an annotation of the gateway's Lease is what it should be.
fn acknowledged(stack: &Stack, annotation: &str, expected: &str) {
    let path = format!("jsonpath={{.metadata.annotations.datastream\\.dev/{annotation}}}");
    let lease = [
        "get",
        "lease",
        "datastream-gateway-test-0",
        "-n",
        NAMESPACE,
        "-o",
        &path,
    ];
    stack.eventually(&lease, |found| found == expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_follows_routing_secrets_and_acknowledges_them() {
    let mut stack = Stack::start().await;
    publish(&stack, &bucket(1).encode().unwrap());
    let gateway = stack.gateway("test-0");
    acknowledged(&stack, "ready", "true");
    for generation in [1, 2] {
        let bytes = bucket(generation).encode().unwrap();
        publish(&stack, &bytes);
        let held = format!(
            "{{\"{}\":\"{}\"}}",
            bucket(generation).id,
            BucketHash::of(&bytes)
        );
        acknowledged(&stack, "buckets", &held);
    }
    assert_no_forbidden(&[&gateway]);
}

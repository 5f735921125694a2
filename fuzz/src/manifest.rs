//! Files of manifests as `datastream dev` reads them: problems have their lines, and what is good is good for a gateway, too.

use datastream_cli::manifests::{Object, read};
use datastream_operator::spec::ValidSubscription;
use datastream_routing::{Bucket, KeyHash};
use serde_json::json;

const FILE: &str = "f.yaml";

/// Reads a file of manifests.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let reading = read(FILE, text);
    let breaks = text.bytes().filter(|b| matches!(b, b'\n' | b'\r')).count();
    let lines = breaks as u64 + 1;
    for problem in &reading.problems {
        let shown = problem.to_string();
        assert!(shown.starts_with(FILE), "{shown:?}");
        assert!(!shown.contains(char::is_control), "{shown:?}");
        assert!(problem.line <= lines, "{shown} of {lines} lines");
    }
    let is_faulty = reading.unknown || !reading.refused.is_empty();
    assert!(!is_faulty || !reading.problems.is_empty(), "{reading:?}");
    for (id, manifest) in &reading.good {
        assert!((1..=lines).contains(&manifest.line), "{manifest:?}");
        if let Object::Subscription(subscription) = &manifest.object {
            assert_eq!(subscription.id.to_string(), id.to_string());
            reaches_gateways(subscription);
            is_read_again(subscription);
        }
    }
}

/// A gateway reads what an operator would publish.
fn reaches_gateways(subscription: &ValidSubscription) {
    let route = subscription.route(KeyHash::of("k"));
    let bucket = Bucket::new(route.id.bucket(), vec![route]);
    let bytes = bucket.encode().unwrap();
    assert_eq!(Bucket::decode(&bytes).unwrap(), bucket);
}

/// A manifest that says all that a subscription is, as JSON, stands for the same subscription.
fn is_read_again(subscription: &ValidSubscription) {
    let id = &subscription.id;
    let manifest = json!({
        "apiVersion": "datastream.dev/v1alpha1",
        "kind": "DatastreamSubscription",
        "metadata": {"namespace": &*id.namespace, "name": &*id.name},
        "spec": {
            "eventTypes": subscription.event_types,
            "filters": subscription.filters,
            "suspended": subscription.suspended,
            "heartbeat": subscription.heartbeat,
            "resume": subscription.resume,
        },
    });
    let reading = read(FILE, &manifest.to_string());
    assert!(reading.problems.is_empty(), "{:?}", reading.problems);
    let again: Vec<_> = reading.good.values().map(|m| &m.object).collect();
    assert_eq!(
        again,
        [&Object::Subscription(Box::new(subscription.clone()))]
    );
}

//! A gateway process on a real API server, with the rights that it ships with: it follows routing Secrets and acknowledges them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, Instant};

use datastream_broker::{Broker, BrokerOptions};
use datastream_e2e::{ControlPlane, Server, own_program};
use datastream_routing::{
    Bucket, BucketHash, EventType, Heartbeat, KeyHash, Resume, Route, SubscriptionId,
};

const PATIENCE: Duration = Duration::from_mins(1);
const NAMESPACE: &str = "datastream-system";

fn bucket(generation: i64) -> Bucket {
    let id = SubscriptionId::new("default", "a");
    let route = Route {
        id: id.clone(),
        uid: "1".to_owned(),
        generation,
        key_sha256: KeyHash::of("0123456789abcdef0123456789abcdef"),
        suspended: false,
        event_types: EventType::ALL.into_iter().collect(),
        filters: vec![],
        heartbeat: Heartbeat::default(),
        resume: Resume::Latest,
    };
    Bucket::new(id.bucket(), vec![route])
}

fn publish(cluster: &ControlPlane, dir: &std::path::Path, bytes: &[u8]) {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let secret = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": format!("datastream-default-routes-{}", bucket(1).id),
            "namespace": NAMESPACE,
            "labels": {"datastream.dev/component": "routes", "datastream.dev/gateway-group": "default"},
        },
        "stringData": {"routes.json": text},
    });
    let file = dir.join("routes.json");
    std::fs::write(&file, secret.to_string()).unwrap();
    let applied = cluster
        .kubectl(&["apply", "-f", file.to_str().unwrap()])
        .unwrap();
    assert!(applied.success, "{}", applied.stderr);
}

/// Waits until an annotation of the gateway's Lease is what it should be.
fn acknowledged(cluster: &ControlPlane, annotation: &str, expected: &str) {
    let path = format!("jsonpath={{.metadata.annotations.datastream\\.dev/{annotation}}}");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let lease = [
            "get",
            "lease",
            "datastream-gateway-test-0",
            "-n",
            NAMESPACE,
            "-o",
            &path,
        ];
        let found = cluster.kubectl(&lease).unwrap();
        if found.stdout == expected {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "wanted {expected}, found {found:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_follows_routing_secrets_and_acknowledges_them() {
    let broker = Broker::start(BrokerOptions::default()).await.unwrap();
    broker.create_topic("device-events", 1).unwrap();
    let cluster = ControlPlane::start().unwrap();
    let dir = tempfile::tempdir().unwrap();
    assert!(
        cluster
            .kubectl(&["create", "namespace", NAMESPACE])
            .unwrap()
            .success
    );
    let rbac = concat!(env!("CARGO_MANIFEST_DIR"), "/../gateway/rbac.yaml");
    let applied = cluster.kubectl(&["apply", "-f", rbac]).unwrap();
    assert!(applied.success, "{}", applied.stderr);
    let kubeconfig = cluster
        .service_account(NAMESPACE, "datastream-gateway")
        .unwrap();
    publish(&cluster, dir.path(), &bucket(1).encode().unwrap());

    let fluvio = format!("--fluvio={}", broker.address());
    let args = [
        "--listen=127.0.0.1:0",
        "--admin=127.0.0.1:0",
        &fluvio,
        "--routes-namespace=datastream-system",
        "--pod=test-0",
    ];
    let args: Vec<_> = args.iter().map(ToString::to_string).collect();
    let log = dir.path().join("gateway.log");
    let gateway = own_program("datastream-gateway").unwrap();
    let _gateway =
        Server::start_with(&gateway, &args, &log, &[("KUBECONFIG", &kubeconfig)]).unwrap();

    acknowledged(&cluster, "ready", "true");
    for generation in [1, 2] {
        let bytes = bucket(generation).encode().unwrap();
        publish(&cluster, dir.path(), &bytes);
        let held = format!(
            "{{\"{}\":\"{}\"}}",
            bucket(generation).id,
            BucketHash::of(&bytes)
        );
        acknowledged(&cluster, "buckets", &held);
    }
    let log = std::fs::read_to_string(log).unwrap();
    assert!(
        !log.contains("forbidden") && !log.contains("Forbidden"),
        "{log}"
    );
}

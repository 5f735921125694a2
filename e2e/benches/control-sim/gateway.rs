//! Gateways that hold what the routing objects say, and do nothing else: they acknowledge it in their Leases as gateways do.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use datastream_routing::names::{
    COMPONENT, GROUP, HELD, PEER_TLS, READY, ROUTES_KEY, STREAMS, encode_held, routes_bucket,
    selector,
};
use datastream_routing::{BucketHash, BucketId};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use serde_json::json;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::changes::Manager;
use crate::operator::NAMESPACE;
use crate::selector::Selector;
use crate::server::Server;
use crate::store::{Change, Type};
use crate::target::Target;

/// The times of `gateway/src/ownership/lease_renewer.rs`: changes within the first are acknowledged together, a pause follows for each
/// bucket that was new, and a Lease is renewed so often.
const SETTLE: Duration = Duration::from_millis(20);
const PACE: Duration = Duration::from_millis(4);
const RENEW_EVERY: Duration = Duration::from_secs(5);

/// Runs until dropped.
pub(crate) async fn run(server: Arc<Server>, pod: String) {
    let routes = Selector::default().with_labels(&selector("routes", "default"));
    let mut watcher = server.store.follow("secrets", routes, 0);
    let mut held = BTreeMap::new();
    let mut changed = 0;
    loop {
        renew(&server, &pod, &held);
        let next = Instant::now() + RENEW_EVERY;
        let settled = Instant::now() + PACE * changed;
        changed = 0;
        let Ok(changes) = timeout_at(next, watcher.next()).await else {
            continue;
        };
        changed += hold(&mut held, &changes.unwrap());
        let settled = settled.max(Instant::now() + SETTLE);
        while let Ok(changes) = timeout_at(settled, watcher.next()).await {
            changed += hold(&mut held, &changes.unwrap());
        }
        sleep_until(settled).await;
    }
}

/// Takes in changes of routing objects. Returns their number.
fn hold(held: &mut BTreeMap<BucketId, BucketHash>, changes: &[Change]) -> u32 {
    let mut changed = 0;
    for change in changes {
        let Some(bucket) = routes_bucket(&change.object.name.1) else {
            continue;
        };
        changed += 1;
        if change.type_ == Type::Deleted {
            held.remove(&bucket);
            continue;
        }
        let secret: Secret = serde_json::from_slice(&change.object.json).unwrap();
        held.insert(bucket, BucketHash::of(&secret.data.unwrap()[ROUTES_KEY].0));
    }
    changed
}

fn renew(server: &Server, pod: &str, held: &BTreeMap<BucketId, BucketHash>) {
    let name = format!("datastream-gateway-{pod}");
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ");
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {
            "name": name,
            "labels": {COMPONENT: "gateway", GROUP: "default"},
            "annotations": {HELD: encode_held(held), READY: "true", STREAMS: "0", PEER_TLS: "false"},
        },
        "spec": {"holderIdentity": pod, "leaseDurationSeconds": 3 * RENEW_EVERY.as_secs(), "renewTime": now.to_string()},
    });
    let target = Target::new("leases", NAMESPACE, &name);
    let manager = Manager::new("datastream-gateway", "Apply");
    server.apply(&target, &lease, &manager).unwrap();
}

//! The least that so many subscriptions can take: how long the API server is busy with the objects themselves, which one client
//! writes as fast as it can while no program of the project runs.

use std::time::{Duration, Instant};

use datastream_e2e::ControlPlane;
use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::harness::{CONCURRENCY, NAMESPACE, connect, subscriptions};
use crate::manifest::manifest;

/// Measures writes to the API server, for each subscription: the object, its Secret, its status once.
pub(crate) async fn measure(count: usize) -> Duration {
    let cluster = ControlPlane::start().unwrap();
    cluster.install(NAMESPACE).unwrap();
    let client = connect(&cluster).await;
    let subscriptions = subscriptions(&client);
    let secrets: Api<Secret> = Api::namespaced(client, "default");
    let (subscriptions, secrets) = (&subscriptions, &secrets);
    let begun = Instant::now();
    futures_util::stream::iter((0..count).map(|number| async move {
        let params = PostParams::default();
        let manifest = serde_json::from_value(manifest(number)).unwrap();
        let created = subscriptions.create(&params, &manifest).await.unwrap();
        let (name, uid) = (
            created.metadata.name.unwrap(),
            created.metadata.uid.unwrap(),
        );
        let secret = serde_json::from_value(secret(&name, &uid)).unwrap();
        secrets.create(&params, &secret).await.unwrap();
        let params = PatchParams::apply("bench").force();
        let status = Patch::Apply(status(&uid, &name));
        let written = subscriptions.patch_status(&name, &params, &status);
        written.await.unwrap();
    }))
    .buffer_unordered(CONCURRENCY)
    .for_each(|()| async {})
    .await;
    begun.elapsed()
}

/// Makes the Secret that the operator would write.
fn secret(name: &str, uid: &str) -> Value {
    json!({
        "metadata": {
            "name": format!("{name}-stream-key"),
            "labels": {"datastream.dev/component": "stream-key"},
            "ownerReferences": [{
                "apiVersion": "datastream.dev/v1alpha1", "kind": "DatastreamSubscription", "name": name, "uid": uid, "controller": true,
            }],
        },
        "type": "Opaque",
        "stringData": {
            "stream_key": "0123456789abcdef0123456789abcdef",
            "url": "ws://datastream.test/stream?stream_key=0123456789abcdef0123456789abcdef",
        },
    })
}

fn status(uid: &str, name: &str) -> Value {
    let condition = |type_: &str, message: &str| {
        json!({
            "type": type_, "status": "True", "reason": type_, "message": message, "observedGeneration": 1,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        })
    };
    json!({
        "apiVersion": "datastream.dev/v1alpha1", "kind": "DatastreamSubscription", "metadata": {"uid": uid},
        "status": {
            "observedGeneration": 1, "secretName": format!("{name}-stream-key"), "endpoint": "ws://datastream.test/stream",
            "conditions": [
                condition("Accepted", "the stream key is in its Secret"),
                condition("Programmed", "every live gateway serves it"),
                condition("Ready", "clients can connect"),
            ],
        },
    })
}

//! The leader's work as a whole, over an API server that knows some objects and keeps what is written.

use std::sync::Mutex;

use http_body_util::BodyExt as _;
use hyper::{Request, Response, StatusCode};
use kube::client::Body;
use serde_json::{Value, json};
use tokio::time::timeout;

use datastream_routing::object::{INDEX_KEY, decode_index};

use super::*;
use crate::groups::Limits;

const KEY: &str = "0123456789abcdef0123456789abcdef";
const PATIENCE: Duration = Duration::from_mins(1);

/// Requests that write: method, path and body.
type Written = Arc<Mutex<Vec<(String, String, Value)>>>;

/// An API server that answers lists of `kind` (the last part of a path) with these items, others with none, and takes every write.
/// Watches are never answered: nothing happens.
fn server(items: impl Fn(&str) -> Vec<Value> + Send + 'static) -> (Client, Written) {
    let (service, mut handle) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
    let written = Written::default();
    let log = written.clone();
    tokio::spawn(async move {
        let mut silent = vec![];
        while let Some((request, respond)) = handle.next_request().await {
            let (parts, body) = request.into_parts();
            let bytes = body.collect().await.unwrap().to_bytes();
            let path = parts.uri.path().to_owned();
            let answer = if parts.method != "GET" {
                let mut body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
                let method = parts.method.to_string();
                log.lock().unwrap().push((method, path, body.clone()));
                body["metadata"]["resourceVersion"] = json!("9");
                body
            } else if parts.uri.query().unwrap_or_default().contains("watch") {
                silent.push(respond);
                continue;
            } else {
                let is_all = !path.contains("/namespaces/");
                let kind = path.rsplit('/').next().unwrap_or_default();
                let items = if is_all { items(kind) } else { vec![] };
                json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": "5"}, "items": items})
            };
            let mut response = Response::new(Body::from(answer.to_string().into_bytes()));
            *response.status_mut() = StatusCode::OK;
            respond.send_response(response);
        }
    });
    (Client::new(service, "default"), written)
}

fn subscription(name: &str, types: &[&str], status: Value) -> Value {
    json!({
        "apiVersion": "datastream.dev/v1alpha1", "kind": "DatastreamSubscription",
        "metadata": {"namespace": "team", "name": name, "uid": name, "generation": 1, "resourceVersion": "1"},
        "spec": {"eventTypes": types}, "status": status,
    })
}

fn secret(name: &str) -> Value {
    let text = |text: &str| json!(k8s_openapi::ByteString(text.as_bytes().to_vec()));
    json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {
            "namespace": "team", "name": format!("{name}-stream-key"), "resourceVersion": "1",
            "labels": {"datastream.dev/component": "stream-key"},
            "ownerReferences": [{"apiVersion": "datastream.dev/v1alpha1", "kind": "DatastreamSubscription", "name": name, "uid": name, "controller": true}],
        },
        "data": {"stream_key": text(KEY), "url": text(&format!("ws://h/stream?stream_key={KEY}"))},
    })
}

fn settings() -> Settings {
    Settings {
        routes_namespace: "system".to_owned(),
        groups: vec!["default=ws://h/stream".parse().unwrap()],
        listen: ([127, 0, 0, 1], 0).into(),
        identity: "test".to_owned(),
        limits: Limits::default(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_cannot_be_read_is_told_so_and_another_one_with_a_bad_status_is_published()
 {
    let bad_status =
        json!({"connection": {"state": "Offline", "since": "2026-11-24T06:14:44+99:99"}});
    let (client, written) = server(move |kind| match kind {
        "datastreamsubscriptions" => vec![
            subscription("later", &["location", "alarm"], json!({})),
            subscription("leds", &["location"], bad_status.clone()),
        ],
        "secrets" => vec![secret("leds")],
        _ => vec![],
    });
    let metrics = Arc::new(Metrics::new(["default"]).unwrap());
    metrics.leads.set(1);
    let running = tokio::spawn(run(client, settings(), metrics.clone()));
    let find = |part: &str| {
        let written = written.lock().unwrap();
        let found = written.iter().find(|(_, path, _)| path.contains(part));
        found.map(|(_, _, body)| body.clone())
    };
    let both = async {
        loop {
            let told = find("/datastreamsubscriptions/later/status");
            let published = find("/namespaces/system/secrets/datastream-default-routes-");
            if let (Some(told), Some(published)) = (told, published) {
                return (told, published);
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    let (told, published) = timeout(PATIENCE, both).await.expect("both are written");
    let conditions = told["status"]["conditions"].as_array().unwrap();
    assert!(
        conditions
            .iter()
            .all(|c| c["reason"] == "Unreadable" && c["status"] == "False")
    );
    let message = conditions[0]["message"].as_str().unwrap();
    assert!(
        message.contains("spec.eventTypes[1]: unknown variant `alarm`"),
        "{message}"
    );
    let list = find("/namespaces/system/secrets/datastream-default-routes").unwrap();
    let secret: Secret = serde_json::from_value(list).unwrap();
    let listed = decode_index(&secret.data.unwrap()[INDEX_KEY].0);
    let leds = SubscriptionId::new("team", "leds").bucket();
    assert_eq!(listed, Ok(BTreeSet::from([leds])));
    let secret: Secret = serde_json::from_value(published).unwrap();
    let (_, _, bytes) = decode_object(&secret).unwrap();
    let text = std::str::from_utf8(bytes).unwrap();
    assert!(text.contains("leds") && !text.contains("later"), "{text}");
    let exposed = datastream_service::probes::Probes::metrics(metrics.as_ref()).unwrap();
    for line in [
        "datastream_operator_unreadable_objects{objects=\"subscriptions\"} 1",
        "datastream_operator_listed 1",
    ] {
        assert!(exposed.contains(line), "{exposed}");
    }
    assert!(!running.is_finished());
    running.abort();
}

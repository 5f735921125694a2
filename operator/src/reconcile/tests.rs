//! What a reconcile asks of the API server, scenario by scenario.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use datastream_routing::SubscriptionId;
use http_body_util::BodyExt as _;
use hyper::{Request, Response, StatusCode};
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::client::Body;
use kube::runtime::events::Reporter;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::*;
use crate::gather::{Found, Secrets};
use crate::groups::Groups;
use crate::metrics::Metrics;
use crate::troubles::Troubles;

const KEY: &str = "0123456789abcdef0123456789abcdef";

/// An API server that answers from what it holds, and remembers every request.
#[derive(Clone, Default)]
struct Server {
    secret: Arc<Mutex<Option<Value>>>,
    status: Arc<Mutex<Option<Value>>>,
    requests: Arc<Mutex<Vec<String>>>,
    down: Arc<Mutex<bool>>,
    /// What the operator remembers.
    troubles: Troubles,
}

impl Server {
    fn answer(&self, method: &str, path: &str, body: Value) -> (StatusCode, Value) {
        let short = path.split('/').skip_while(|p| *p != "team").nth(1);
        let status = if path.ends_with("/status") {
            "/status"
        } else {
            ""
        };
        let request = format!("{method} {}{status}", short.unwrap_or(path));
        self.requests.lock().unwrap().push(request);
        if *self.down.lock().unwrap() {
            let error = json!({"kind": "Status", "status": "Failure", "code": 500, "reason": "InternalError", "message": "down"});
            return (StatusCode::INTERNAL_SERVER_ERROR, error);
        }
        match (method, short) {
            ("GET", Some("secrets")) => match self.secret.lock().unwrap().clone() {
                Some(secret) => (StatusCode::OK, secret),
                None => (
                    StatusCode::NOT_FOUND,
                    json!({"kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound"}),
                ),
            },
            ("POST", Some("secrets")) if self.secret.lock().unwrap().is_some() => (
                StatusCode::CONFLICT,
                json!({"kind": "Status", "status": "Failure", "code": 409, "reason": "AlreadyExists"}),
            ),
            (_, Some("secrets")) => {
                *self.secret.lock().unwrap() = Some(body.clone());
                (StatusCode::OK, body)
            }
            (_, Some("datastreamsubscriptions")) => {
                *self.status.lock().unwrap() = Some(body["status"].clone());
                (StatusCode::OK, subscription(json!({}), None))
            }
            _ => (StatusCode::CREATED, body),
        }
    }

    fn client(&self) -> Client {
        let (service, mut handle) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
        let this = self.clone();
        tokio::spawn(async move {
            while let Some((request, respond)) = handle.next_request().await {
                let (parts, body) = request.into_parts();
                let bytes = body.collect().await.unwrap().to_bytes();
                let body = serde_json::from_slice(&bytes).unwrap_or_default();
                let (status, answer) = this.answer(parts.method.as_str(), parts.uri.path(), body);
                let mut response = Response::new(Body::from(answer.to_string().into_bytes()));
                *response.status_mut() = status;
                respond.send_response(response);
            }
        });
        Client::new(service, "default")
    }

    /// Reconciles before the watch has brought the Secret, and tells what was asked of the API server.
    async fn reconcile(&self, subscription: Value) -> (Result<Action, Error>, Vec<String>) {
        self.reconcile_with(Secrets::default(), subscription).await
    }

    /// Reconciles when the watch has brought the Secret.
    async fn reconcile_watched(&self, subscription: Value) -> (Result<Action, Error>, Vec<String>) {
        let secrets = Secrets::default();
        secrets.set(SubscriptionId::new("team", "leds"), Some(self.held()));
        self.reconcile_with(secrets, subscription).await
    }

    async fn reconcile_with(
        &self,
        secrets: Secrets,
        subscription: Value,
    ) -> (Result<Action, Error>, Vec<String>) {
        let client = self.client();
        let metrics = Metrics::new([]).unwrap();
        let reporter = Reporter::from("test");
        let (events, teller) =
            events::channel(client.clone(), reporter, metrics.events_left_out.clone());
        let context = Arc::new(Context {
            client,
            secrets,
            groups: Groups::new(
                &["default=wss://host/stream".parse().unwrap()],
                Duration::ZERO,
            ),
            complete: watch::channel(true).1,
            events,
            metrics: Arc::new(metrics),
            troubles: self.troubles.clone(),
        });
        let subscription = Arc::new(serde_json::from_value(subscription).unwrap());
        let result = super::reconcile(subscription, context).await;
        // It ends when everything is told, now that nobody can leave more.
        teller.run().await.unwrap_err();
        (result, std::mem::take(&mut self.requests.lock().unwrap()))
    }

    fn held(&self) -> Found {
        let secret = self.secret.lock().unwrap().clone().unwrap();
        let secret: Secret = serde_json::from_value(secret).unwrap();
        Found::in_secret(&secret, "leds")
    }

    fn held_key(&self) -> String {
        self.held().key.unwrap().expose().to_owned()
    }

    fn condition(&self, type_: &str) -> (String, String) {
        let status = self.status.lock().unwrap().clone().unwrap();
        let conditions = status["conditions"].as_array().unwrap().clone();
        let found = conditions.iter().find(|c| c["type"] == type_).unwrap();
        let text = |field: &str| found[field].as_str().unwrap().to_owned();
        (text("status"), text("reason"))
    }
}

fn subscription(spec: Value, status: Option<Value>) -> Value {
    let mut whole = json!({"eventTypes": ["location"]});
    whole
        .as_object_mut()
        .unwrap()
        .extend(spec.as_object().unwrap().clone());
    let mut subscription = json!({
        "apiVersion": "datastream.dev/v1alpha1", "kind": "DatastreamSubscription",
        "metadata": {"namespace": "team", "name": "leds", "uid": "u1", "generation": 1},
        "spec": whole,
    });
    if let Some(status) = status {
        subscription["status"] = status;
    }
    subscription
}

fn secret(owner_uid: Option<&str>, key: &str) -> Value {
    let owners: Vec<_> = owner_uid
        .map(|uid| json!({"apiVersion": "datastream.dev/v1alpha1", "kind": "DatastreamSubscription", "name": "leds", "uid": uid, "controller": true}))
        .into_iter()
        .collect();
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {"namespace": "team", "name": "leds-stream-key", "resourceVersion": "7", "ownerReferences": owners,
            "labels": {"datastream.dev/component": "stream-key"}},
        "data": {"stream_key": base64_of(key), "url": base64_of(&format!("wss://host/stream?stream_key={key}"))},
    })
}

fn base64_of(text: &str) -> Value {
    json!(k8s_openapi::ByteString(text.as_bytes().to_vec()))
}

#[tokio::test(start_paused = true)]
async fn a_new_subscription_gets_a_key_and_a_second_reconcile_writes_nothing() {
    let server = Server::default();
    let (result, asked) = server.reconcile(subscription(json!({}), None)).await;
    assert_eq!(result.unwrap(), Action::requeue(WORTH_TELLING));
    assert_eq!(asked, ["POST secrets", "POST events"]);
    let key = server.held_key();

    // Usually it is everywhere before it is worth a word that it is on its way.
    tokio::time::advance(WORTH_TELLING.saturating_sub(Duration::from_secs(1))).await;
    let (result, asked) = server.reconcile(subscription(json!({}), None)).await;
    assert_eq!(result.unwrap(), Action::requeue(Duration::from_secs(1)));
    assert_eq!(
        asked,
        ["POST secrets", "GET secrets"],
        "the watch has not brought it yet"
    );
    tokio::time::advance(Duration::from_secs(1)).await;
    let (result, asked) = server
        .reconcile_watched(subscription(json!({}), None))
        .await;
    assert_eq!(result.unwrap(), Action::requeue(PENDING_AGAIN));
    assert_eq!(asked, ["PATCH datastreamsubscriptions/status"]);
    assert_eq!(
        server.condition("Accepted"),
        ("True".into(), "Accepted".into())
    );
    assert_eq!(
        server.condition("Ready"),
        ("False".into(), "Pending".into())
    );
    let status = server.status.lock().unwrap().clone();
    let (result, asked) = server
        .reconcile_watched(subscription(json!({}), status))
        .await;
    assert!(result.is_ok());
    assert_eq!(asked, [""; 0]);
    assert_eq!(server.held_key(), key);
}

#[tokio::test]
async fn a_key_of_its_own_is_kept_and_a_changed_url_mended() {
    let server = Server::default();
    let mut held = secret(Some("u1"), KEY);
    held["data"]["url"] = base64_of("ws://elsewhere");
    *server.secret.lock().unwrap() = Some(held);
    let (_, asked) = server.reconcile(subscription(json!({}), None)).await;
    assert_eq!(asked, ["POST secrets", "GET secrets", "PATCH secrets"]);
    assert_eq!(server.held_key(), KEY);
    let written = server.secret.lock().unwrap().clone().unwrap();
    assert_eq!(
        written["metadata"]["resourceVersion"], "7",
        "what was read is what is replaced"
    );
}

#[tokio::test]
async fn a_malformed_key_and_one_of_a_deleted_subscription_are_replaced() {
    for held in [secret(Some("u1"), "short"), secret(Some("u0"), KEY)] {
        let server = Server::default();
        *server.secret.lock().unwrap() = Some(held);
        let (_, asked) = server
            .reconcile_watched(subscription(json!({}), None))
            .await;
        assert_eq!(asked[0], "PATCH secrets");
        assert_ne!(server.held_key(), KEY);
    }
}

#[tokio::test]
async fn a_secret_of_someone_else_is_not_touched() {
    let server = Server::default();
    *server.secret.lock().unwrap() = Some(secret(None, KEY));
    let (result, asked) = server.reconcile(subscription(json!({}), None)).await;
    assert_eq!(result.unwrap(), Action::requeue(CONFLICT_AGAIN));
    assert_eq!(
        asked,
        [
            "POST secrets",
            "GET secrets",
            "PATCH datastreamsubscriptions/status",
            "POST events"
        ]
    );
    assert_eq!(
        server.condition("Accepted"),
        ("False".into(), "SecretConflict".into())
    );
}

#[tokio::test]
async fn an_invalid_spec_is_told_and_nothing_else_is_done() {
    let server = Server::default();
    let long: Vec<_> = (0..256).map(|n| format!("{n:064}")).collect();
    let filters: Vec<_> = (0..8).map(|_| json!({"dsns": long})).collect();
    let (_, asked) = server
        .reconcile(subscription(json!({"filters": filters}), None))
        .await;
    assert_eq!(
        asked,
        ["PATCH datastreamsubscriptions/status", "POST events"]
    );
    assert_eq!(
        server.condition("Ready"),
        ("False".into(), "Invalid".into())
    );
}

#[tokio::test]
async fn a_group_of_gateways_that_does_not_exist_is_told() {
    let server = Server::default();
    let subscription = subscription(json!({"gatewayGroup": "us"}), None);
    server.reconcile(subscription).await.0.unwrap();
    assert_eq!(
        server.condition("Accepted"),
        ("False".into(), "Invalid".into())
    );
    assert!(server.secret.lock().unwrap().is_none());
    let status = server.status.lock().unwrap().clone().unwrap();
    let message = status["conditions"][0]["message"].as_str().unwrap();
    assert_eq!(
        message,
        "spec.gatewayGroup: there is no group us: name one of default"
    );
}

#[tokio::test]
async fn a_subscription_on_its_way_out_is_left_alone() {
    let server = Server::default();
    let mut going = subscription(json!({}), None);
    going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let (result, asked) = server.reconcile(going).await;
    assert_eq!(result.unwrap(), Action::await_change());
    assert_eq!(asked, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_failing_api_server_is_an_error_to_try_again() {
    let server = Server::default();
    *server.down.lock().unwrap() = true;
    let (result, _) = server.reconcile(subscription(json!({}), None)).await;
    assert!(result.is_err());
    assert!(server.status.lock().unwrap().is_none());
}

//! Requests of a reconcile to the API server, scenario by scenario.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use datastream_crds::{DatastreamSubscription, DatastreamSubscriptionStatus};
use datastream_routing::{KeyHash, SubscriptionId};
use datastream_service_kube::api_server::answered_by;
use hyper::StatusCode;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::runtime::events::Reporter;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::*;
use crate::access::AccessMode;
use crate::groups::{Groups, Limits};
use crate::metrics::Metrics;
use crate::namespaces::{Heard, Namespaces};
use crate::retry::Reconciles;
use crate::routing::{Denied, Lane, Programmed, Synced, id_of};
use crate::stream_secret::{ObservedSecret, Secrets};
use crate::verdicts::{Fault, Verdict};

const KEY: &str = "0123456789abcdef0123456789abcdef";

/// Returns whether a request is the one that is meant, as `GET secrets`.
fn request_is(meant: &str, method: &str, kind: Option<&str>) -> bool {
    kind.is_some_and(|kind| meant.split_once(' ') == Some((method, kind)))
}

/// A kind of object whose writes are refused, or one request such as `GET secrets`, the HTTP status, and the message.
type Refused = (&'static str, u16, &'static str);

/// An API server that answers from what it holds, and remembers every request.
#[derive(Clone, Default)]
struct Server {
    secret: Arc<Mutex<Option<Value>>>,
    status: Arc<Mutex<Option<Value>>>,
    requests: Arc<Mutex<Vec<String>>>,
    down: Arc<Mutex<bool>>,
    /// A kind whose writes are refused, with this code and message.
    refuses: Arc<Mutex<Option<Refused>>>,
    /// The verdict, if it is not what the spec says.
    verdict: Option<Verdict>,
    namespaces: Namespaces,
    /// The groups of gateways, if they are not those of an operator that has just begun.
    groups: Option<Groups>,
    /// The operator's memory.
    reconciles: Reconciles,
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
        if let Some((kind, code, message)) = *self.refuses.lock().unwrap()
            && (method != "GET" && short == Some(kind) || request_is(kind, method, short))
        {
            let error = json!({"kind": "Status", "status": "Failure", "code": code, "reason": "Forbidden", "message": message});
            return (StatusCode::from_u16(code).unwrap(), error);
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
                let mut body = body;
                // As a merge takes it.
                if let Some(annotations) = body["metadata"]["annotations"].as_object_mut() {
                    annotations.retain(|_, value| !value.is_null());
                }
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
        let this = self.clone();
        answered_by(move |parts, body| {
            Some(this.answer(parts.method.as_str(), parts.uri.path(), body))
        })
    }

    /// Reconciles before the watch has brought the Secret, and returns the requests to the API server.
    async fn reconcile(
        &self,
        subscription: Value,
    ) -> (Result<Option<Duration>, Error>, Vec<String>) {
        self.reconcile_with(Secrets::default(), subscription).await
    }

    /// Reconciles when the watch has brought the Secret.
    async fn reconcile_watched(
        &self,
        subscription: Value,
    ) -> (Result<Option<Duration>, Error>, Vec<String>) {
        let secrets = Secrets::default();
        secrets.set(SubscriptionId::new("team", "leds"), Some(self.held()));
        self.reconcile_with(secrets, subscription).await
    }

    async fn reconcile_with(
        &self,
        secrets: Secrets,
        subscription: Value,
    ) -> (Result<Option<Duration>, Error>, Vec<String>) {
        let client = self.client();
        let metrics = Metrics::new([]).unwrap();
        let heard = Heard::of(&self.namespaces);
        for kind in [Synced::Subscriptions, Synced::Keys] {
            heard.listed(&None, kind);
        }
        let reporter = Reporter::from("test");
        let (events, event_publisher) = events::channel(
            client.clone(),
            reporter,
            self.reconciles.clone(),
            metrics.events_left_out.clone(),
        );
        let context = Arc::new(Context {
            client,
            secrets,
            groups: self.groups.clone().unwrap_or_else(groups),
            complete: watch::channel(true).1,
            heard,
            events,
            metrics: Arc::new(metrics),
            reconciles: self.reconciles.clone(),
        });
        let object: DatastreamSubscription = serde_json::from_value(subscription).unwrap();
        let id = id_of(&object);
        let verdict = self.verdict.clone().unwrap_or_else(|| {
            let checked = context.groups.check(&object);
            checked.map_or_else(
                |invalid| Verdict::Faulty(Arc::new(Fault::Invalid(invalid))),
                |_| Verdict::Valid,
            )
        });
        let subscription = Subscription::of(object, id, verdict, &context.groups);
        let result = super::reconcile(&subscription, &context).await;
        drop(context);
        // It ends when everything is published, now that no more can be queued.
        event_publisher.run().await.unwrap_err();
        (result, std::mem::take(&mut self.requests.lock().unwrap()))
    }

    fn held(&self) -> ObservedSecret {
        let secret = self.secret.lock().unwrap().clone().unwrap();
        let secret: Secret = serde_json::from_value(secret).unwrap();
        ObservedSecret::of(&secret, "leds")
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

fn groups() -> Groups {
    let settings = ["default=wss://host/stream".parse().unwrap()];
    Groups::new(&settings, [], Limits::default(), AccessMode::default())
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
async fn a_rotated_key_leaves_the_one_before_in_force_until_its_overlap_ends() {
    let server = Server::default();
    *server.secret.lock().unwrap() = Some(secret(Some("u1"), KEY));
    let mut asked = subscription(json!({"keyRotation": {"overlap": "2h"}}), None);
    asked["metadata"]["annotations"] = json!({"datastream.dev/rotate-key": "1"});
    let (_, requests) = server.reconcile_watched(asked.clone()).await;
    assert_eq!(requests, ["PATCH secrets", "POST events"]);
    let held = server.held();
    let previous = held.notes().previous.unwrap();
    assert_ne!(held.key.unwrap().expose(), KEY);
    assert_eq!(previous.hash, KeyHash::of(KEY));
    let text = server.secret.lock().unwrap().clone().unwrap().to_string();
    assert!(!text.contains(KEY), "{text}");

    let (_, requests) = server.reconcile_watched(asked.clone()).await;
    assert!(requests.is_empty(), "{requests:?}");

    // Without an overlap, there is one key.
    asked["spec"]["keyRotation"]["overlap"] = json!("0s");
    asked["metadata"]["generation"] = json!(2);
    let key = server.held_key();
    server.reconcile_watched(asked).await.0.unwrap();
    assert_eq!(server.held().notes().previous, None);
    assert_eq!(server.held_key(), key);
}

/// A Secret that notes a key before, which is good until then.
fn noted(until: Timestamp) -> Value {
    let mut noted = secret(Some("u1"), KEY);
    noted["metadata"]["annotations"] = json!({
        "datastream.dev/previous-key-sha256": KeyHash::of("before").to_hex(),
        "datastream.dev/previous-key-until": until.to_string(),
    });
    noted
}

/// Of a subscription that cannot be served, nothing is written: its key before ends all the same.
#[tokio::test(start_paused = true)]
async fn a_key_before_ends_in_time_although_its_secret_cannot_be_written() {
    let invalid = subscription(json!({"eventTypes": []}), None);
    let server = Server::default();
    let soon = Timestamp::now() + Duration::from_mins(1);
    *server.secret.lock().unwrap() = Some(noted(soon));
    assert!(
        observed(&server.held(), Timestamp::now())
            .unwrap()
            .previous
            .is_some()
    );
    let (action, _) = server.reconcile_watched(invalid.clone()).await;
    let waits = format!("{:?}", action.unwrap());
    assert!(waits.contains("59.") || waits.contains("60s"), "{waits}");
    let past = Timestamp::now() - Duration::from_secs(1);
    *server.secret.lock().unwrap() = Some(noted(past));
    assert_eq!(
        observed(&server.held(), Timestamp::now()).unwrap().previous,
        None
    );
    let (action, _) = server.reconcile_watched(invalid).await;
    assert_eq!(action.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_key_before_is_published_although_nothing_else_happens() {
    let groups = groups();
    let server = Server {
        groups: Some(groups.clone()),
        ..Server::default()
    };
    let until = Timestamp::now() - Duration::from_secs(1);
    *server.secret.lock().unwrap() = Some(noted(until));
    // Both keys are published.
    let valid = serde_json::from_value(subscription(json!({}), None)).unwrap();
    let id = id_of(&valid);
    groups.set_subscription(&id, &valid).unwrap();
    let both = observed(&server.held(), until - Duration::from_secs(1));
    groups.set_key(&id, both.as_ref());
    for kind in Synced::PUBLISHABLE {
        groups.synced(kind).await;
    }
    let (_, group) = groups.iter().next().unwrap();
    {
        let mut state = group.state.lock();
        let now = tokio::time::Instant::now();
        let plan = state.plan(Lane::Ordinary, now);
        state.wrote_index(plan.index.unwrap());
        for bucket in plan.objects {
            let write = state.begin(bucket, Lane::Ordinary, now).unwrap();
            state.wrote(write.bucket, 1);
        }
        assert!(!state.is_dirty());
    }
    group.publish.notified().await;

    let invalid = subscription(json!({"eventTypes": []}), None);
    server.reconcile_watched(invalid).await.0.unwrap();
    let woken = group.publish.notified();
    let woken = tokio::time::timeout(Duration::from_secs(1), woken).await;
    assert!(woken.is_ok() && group.state.lock().is_dirty());
}

#[tokio::test(start_paused = true)]
async fn a_key_of_the_past_opens_nothing_of_a_successor() {
    let server = Server::default();
    let mut left = secret(Some("u0"), KEY);
    left["metadata"]["annotations"] = json!({
        "datastream.dev/previous-key-sha256": KeyHash::of("before").to_hex(),
        "datastream.dev/previous-key-until": "2999-01-01T00:00:00Z",
    });
    *server.secret.lock().unwrap() = Some(left);
    server
        .reconcile_watched(subscription(json!({}), None))
        .await
        .0
        .unwrap();
    assert_ne!(server.held_key(), KEY);
    assert_eq!(server.held().notes().previous, None);
}

#[tokio::test(start_paused = true)]
async fn a_new_subscription_gets_a_key_and_a_second_reconcile_writes_nothing() {
    let server = Server::default();
    let (result, asked) = server.reconcile(subscription(json!({}), None)).await;
    assert_eq!(result.unwrap(), Some(WORTH_REPORTING));
    assert_eq!(asked, ["POST secrets", "POST events"]);
    let key = server.held_key();

    // Usually it is everywhere before it is worth reporting that it is on its way.
    tokio::time::advance(WORTH_REPORTING.saturating_sub(Duration::from_secs(1))).await;
    let (result, asked) = server.reconcile(subscription(json!({}), None)).await;
    assert_eq!(result.unwrap(), Some(Duration::from_secs(1)));
    assert_eq!(
        asked,
        ["POST secrets", "GET secrets"],
        "the watch has not brought it yet"
    );
    tokio::time::advance(Duration::from_secs(1)).await;
    let (result, asked) = server
        .reconcile_watched(subscription(json!({}), None))
        .await;
    assert_eq!(result.unwrap(), Some(PENDING_AGAIN));
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
async fn an_owned_key_is_kept_and_a_changed_url_is_corrected() {
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
async fn a_foreign_secret_is_not_touched() {
    let server = Server::default();
    *server.secret.lock().unwrap() = Some(secret(None, KEY));
    let (result, asked) = server.reconcile(subscription(json!({}), None)).await;
    assert_eq!(result.unwrap(), Some(CONFLICT_AGAIN));
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
async fn an_invalid_spec_is_reported_and_nothing_else_is_written() {
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
async fn a_missing_gateway_group_is_reported() {
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
async fn a_subscription_that_is_being_deleted_is_left_alone() {
    let server = Server::default();
    let mut going = subscription(json!({}), None);
    going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let (result, asked) = server.reconcile(going).await;
    assert_eq!(result.unwrap(), None);
    assert_eq!(asked, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_failing_api_server_is_a_retryable_error() {
    let server = Server::default();
    *server.down.lock().unwrap() = true;
    let (result, _) = server.reconcile(subscription(json!({}), None)).await;
    assert!(result.is_err());
    assert!(server.status.lock().unwrap().is_none());
}

impl Server {
    fn refuse(&self, kind: &'static str, code: u16, message: &'static str) {
        *self.refuses.lock().unwrap() = Some((kind, code, message));
    }

    fn message(&self, type_: &str) -> String {
        let status = self.status.lock().unwrap().clone().unwrap();
        let conditions = status["conditions"].as_array().unwrap().clone();
        let found = conditions.iter().find(|c| c["type"] == type_).unwrap();
        found["message"].as_str().unwrap().to_owned()
    }
}

const QUOTA: &str = "secrets \"leds-stream-key\" is forbidden: exceeded quota: x, requested: count/secrets=1, used: count/secrets=0, limited: count/secrets=0";

#[tokio::test(start_paused = true)]
async fn a_refused_secret_is_reported_with_the_api_servers_reason_and_retried_with_backoff() {
    let server = Server::default();
    server.refuse("secrets", 403, QUOTA);
    let (result, asked) = server.reconcile(subscription(json!({}), None)).await;
    assert_ne!(result.unwrap(), None);
    assert_eq!(
        asked,
        [
            "POST secrets",
            "PATCH datastreamsubscriptions/status",
            "POST events"
        ]
    );
    for type_ in ["Accepted", "Ready"] {
        let expected = ("False".to_owned(), "SecretNotWritten".to_owned());
        assert_eq!(server.condition(type_), expected);
        assert!(server.message(type_).ends_with(QUOTA));
    }
    let status = server.status.lock().unwrap().clone();
    for failures in 2..5 {
        let (result, asked) = server
            .reconcile(subscription(json!({}), status.clone()))
            .await;
        assert_ne!(result.unwrap(), None);
        let id = SubscriptionId::new("team", "leds");
        assert_eq!(server.reconciles.failures(&id), failures);
        assert_eq!(asked, ["POST secrets"], "it is reported once");
    }
}

#[tokio::test]
async fn a_secret_in_the_way_that_may_not_be_read_is_reported() {
    let server = Server::default();
    *server.secret.lock().unwrap() = Some(secret(Some("u1"), KEY));
    server.refuse("GET secrets", 403, "secrets is forbidden");
    let (result, asked) = server.reconcile(subscription(json!({}), None)).await;
    assert_ne!(result.unwrap(), None);
    assert_eq!(asked[..2], ["POST secrets", "GET secrets"]);
    let expected = ("False".to_owned(), "SecretNotWritten".to_owned());
    assert_eq!(server.condition("Accepted"), expected);
    assert!(server.message("Accepted").ends_with("secrets is forbidden"));
}

#[tokio::test(start_paused = true)]
async fn a_new_generation_is_not_ready_while_its_secret_cannot_be_written() {
    let server = Server::default();
    let mut held = secret(Some("u1"), KEY);
    held["data"]["url"] = base64_of("wss://elsewhere");
    *server.secret.lock().unwrap() = Some(held);
    server.refuse(
        "secrets",
        422,
        "data: Forbidden: field is immutable when `immutable` is set",
    );
    let ready = json!({"observedGeneration": 1, "secretName": "leds-stream-key", "endpoint": "wss://elsewhere", "conditions": [
        {"type": "Ready", "status": "True", "reason": "Ready", "message": "", "observedGeneration": 1, "lastTransitionTime": "2026-11-24T06:14:44Z"},
    ]});
    let mut edited = subscription(json!({"suspended": true}), Some(ready));
    edited["metadata"]["generation"] = json!(2);
    server.reconcile_watched(edited).await.0.unwrap();
    let status = server.status.lock().unwrap().clone().unwrap();
    assert_eq!(status["observedGeneration"], 2);
    assert_eq!(
        status["endpoint"], "wss://elsewhere",
        "where the Secret says"
    );
    let expected = ("False".to_owned(), "SecretNotWritten".to_owned());
    assert_eq!(server.condition("Ready"), expected);
    assert!(server.message("Ready").contains("field is immutable"));
}

#[tokio::test(start_paused = true)]
async fn an_api_server_error_is_reported_only_after_repeated_failures() {
    let server = Server::default();
    server.refuse("secrets", 500, "failed calling webhook");
    for _ in 0..PASSING {
        let (result, asked) = server.reconcile(subscription(json!({}), None)).await;
        assert!(result.is_err());
        assert_eq!(asked, ["POST secrets"]);
        server
            .reconciles
            .failed(SubscriptionId::new("team", "leds"));
    }
    server
        .reconcile(subscription(json!({}), None))
        .await
        .0
        .unwrap();
    assert!(
        server
            .message("Accepted")
            .ends_with("failed calling webhook")
    );
}

#[tokio::test(start_paused = true)]
async fn a_failed_status_write_is_retried_with_backoff() {
    let server = Server::default();
    server.refuse("datastreamsubscriptions", 403, "may not");
    let groups = json!({"gatewayGroup": "us"});
    let mut pauses = vec![];
    for _ in 0..12 {
        let (result, _) = server.reconcile(subscription(groups.clone(), None)).await;
        assert!(result.is_err());
        // What the controller does with an error.
        pauses.push(
            server
                .reconciles
                .failed(SubscriptionId::new("team", "leds")),
        );
    }
    assert!(pauses[0] <= Duration::from_millis(500), "{pauses:?}");
    assert!(pauses[11] >= Duration::from_secs(30), "{pauses:?}");
}

#[tokio::test]
async fn an_unreadable_subscription_is_reported_with_the_field_and_nothing_else_is_written() {
    let error = "spec.eventTypes[1]: unknown variant `alarm`";
    let fault = Fault::Unreadable(error.to_owned());
    let server = Server {
        verdict: Some(Verdict::Faulty(Arc::new(fault))),
        ..Server::default()
    };
    let unread = subscription(json!({}), None);
    let (result, asked) = server.reconcile(unread).await;
    assert_eq!(result.unwrap(), None);
    assert_eq!(
        asked,
        ["PATCH datastreamsubscriptions/status", "POST events"]
    );
    let expected = ("False".to_owned(), "Unreadable".to_owned());
    assert_eq!(server.condition("Accepted"), expected);
    assert!(server.message("Ready").contains(error));
}

#[tokio::test]
async fn a_restored_secret_is_adopted_with_its_key_if_the_subscription_is_annotated() {
    for owner in [None, Some("u0")] {
        let server = Server::default();
        *server.secret.lock().unwrap() = Some(secret(owner, KEY));
        let mut restored = subscription(json!({}), None);
        restored["metadata"]["annotations"] = json!({"datastream.dev/adopt-secret": "true"});
        let (_, asked) = server.reconcile_watched(restored).await;
        assert_eq!(asked, ["PATCH secrets"]);
        assert_eq!(server.held_key(), KEY);
        let owners = &server.secret.lock().unwrap().clone().unwrap()["metadata"]["ownerReferences"];
        assert_eq!(owners.as_array().unwrap().len(), 1);
        assert_eq!(owners[0]["uid"], "u1");
    }
}

fn status_of(
    namespace: &str,
    subscription: Value,
    outcome: &Outcome,
) -> DatastreamSubscriptionStatus {
    let object = serde_json::from_value(subscription).unwrap();
    let groups = Groups::new(&[], [], Limits::default(), AccessMode::default());
    let id = SubscriptionId::new(namespace, "leds");
    let subscription = Subscription::of(object, id, Verdict::Valid, &groups);
    let gathered = Gathered {
        subscription: &subscription,
        id: &subscription.id,
        group: groups.of(&subscription.group),
        groups: &groups,
        secret: None,
    };
    status::status(&gathered, None, outcome, Timestamp::now())
}

#[test]
fn a_suspended_subscription_is_not_ready() {
    let outcome = Outcome::Accepted {
        narrowed: None,
        secret: "s".to_owned(),
        programmed: Programmed::Everywhere { gateways: 1 },
    };
    let suspended = subscription(json!({"suspended": true}), None);
    let status = status_of("team", suspended, &outcome);
    let found = status
        .conditions
        .iter()
        .map(|c| (c.type_.as_str(), c.status.as_str(), c.reason.as_str()));
    let expected = [
        ("Accepted", "True", "Accepted"),
        ("Programmed", "True", "Programmed"),
        ("Ready", "False", "Suspended"),
    ];
    assert_eq!(found.collect::<Vec<_>>(), expected);
}

#[test]
fn access_that_is_denied_or_narrowed_is_said_with_the_rule_and_the_part() {
    let denial = "access rule x denies location events of any device";
    let conditions = |outcome: &Outcome| {
        let status = status_of("team", subscription(json!({}), None), outcome);
        let conditions = status.conditions.into_iter();
        conditions
            .map(|c| (c.status, c.reason, c.message))
            .collect::<Vec<_>>()
    };
    let denied = conditions(&Outcome::Denied {
        secret: "s".to_owned(),
        denied: Denied::Access(denial.into()),
    });
    for (status, reason, _) in &denied {
        assert_eq!(
            (status.as_str(), reason.as_str()),
            ("False", "AccessDenied")
        );
    }
    assert!(
        denied[0]
            .2
            .starts_with(&format!("{denial}: leave that out"))
    );
    let narrowed = conditions(&Outcome::Accepted {
        secret: "s".to_owned(),
        narrowed: Some(denial.to_owned()),
        programmed: Programmed::Everywhere { gateways: 1 },
    });
    let (status, reason, message) = &narrowed[0];
    assert_eq!((status.as_str(), reason.as_str()), ("True", "Narrowed"));
    assert!(message.ends_with(denial), "{message}");
    assert_eq!(narrowed[2].1, "Ready");
}

#[test]
fn the_owner_of_a_key_in_use_is_named_only_within_the_namespace() {
    let message = |namespace: &str| {
        let outcome = Outcome::Denied {
            secret: "s".to_owned(),
            denied: Denied::KeyInUse {
                by: SubscriptionId::new("team", "first"),
            },
        };
        let status = status_of(namespace, subscription(json!({}), None), &outcome);
        assert_eq!(status.conditions[0].reason, "KeyInUse");
        status.conditions[0].message.clone()
    };
    assert!(message("team").contains("subscription first: delete the Secret"));
    assert!(!message("others").contains("first"));
}

#[tokio::test]
async fn a_subscription_in_an_unwatched_namespace_causes_no_request() {
    let server = Server {
        namespaces: ["team".parse().unwrap()].into_iter().collect(),
        ..Server::default()
    };
    let (result, requests) = server.reconcile(subscription(json!({}), None)).await;
    assert_eq!(result.unwrap(), None);
    assert!(requests.is_empty(), "{requests:?}");
}

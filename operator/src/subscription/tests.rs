use datastream_crds::ConnectionState;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::access::AccessMode;
use crate::conditions::{CONDITIONS, USUAL};
use crate::groups::Limits;

fn groups() -> Groups {
    let settings = ["default=ws://a/stream".parse().unwrap()];
    Groups::new(&settings, [], Limits::default(), AccessMode::default())
}

fn object(status: Option<DatastreamSubscriptionStatus>) -> DatastreamSubscription {
    let mut object: DatastreamSubscription = serde_json::from_value(json!({
        "apiVersion": "datastream.dev/v1alpha1", "kind": "DatastreamSubscription",
        "metadata": {"namespace": "team", "name": "leds", "uid": "u1", "generation": 3},
        "spec": {"eventTypes": ["location"]},
    }))
    .unwrap();
    object.status = status;
    object
}

fn id() -> SubscriptionId {
    SubscriptionId::new("team", "leds")
}

/// Messages as they are, as they are of another subscription, and others.
fn message() -> impl Strategy<Value = String> {
    let secrets = ["leds-stream-key", "lamps-stream-key", ""];
    let usual = (0..USUAL.len(), 0..secrets.len());
    prop_oneof![
        4 => usual.prop_map(move |(usual, secret)| USUAL[usual].message(secrets[secret])),
        1 => "[a-z ]{0,8}",
    ]
}

fn condition(type_: &'static str) -> impl Strategy<Value = Condition> {
    let generation = prop_oneof![4 => Just(Some(3)), 1 => Just(None), 1 => Just(Some(2))];
    let usual = (0..USUAL.len()).prop_map(|usual| {
        let usual = USUAL[usual];
        let message = usual.message("leds-stream-key");
        (usual.status().to_owned(), usual.reason.to_owned(), message)
    });
    let any = (
        prop::sample::select(vec!["True", "False", "Unknown"]).prop_map(str::to_owned),
        prop::sample::select(vec!["Accepted", "Programmed", "Pending"]).prop_map(str::to_owned),
        message(),
    );
    let nanoseconds = prop_oneof![8 => Just(0), 1 => 0..1_000_000_000];
    (
        prop_oneof![8 => Just(type_), 1 => Just("Theirs")],
        prop_oneof![4 => usual.boxed(), 1 => any.boxed()],
        generation,
        (0..2_000_000_000_i64, nanoseconds),
    )
        .prop_map(
            |(type_, (status, reason, message), generation, since)| Condition {
                type_: type_.to_owned(),
                status,
                reason,
                message,
                observed_generation: generation,
                last_transition_time: Time(Timestamp::new(since.0, since.1).unwrap()),
            },
        )
}

fn status() -> impl Strategy<Value = DatastreamSubscriptionStatus> {
    let secret = prop_oneof![
        4 => Just(Some("leds-stream-key".to_owned())),
        1 => Just(Some("other".to_owned())),
        1 => Just(None),
    ];
    let endpoint = prop::sample::select(vec![None, Some("ws://a/stream"), Some("ws://b/stream")]);
    let [accepted, programmed, ready] = CONDITIONS;
    let conditions = (condition(accepted), condition(programmed), condition(ready));
    (conditions, 0..6_usize, secret, endpoint).prop_map(
        |((accepted, programmed, ready), left_out, secret_name, endpoint)| {
            let mut conditions = vec![accepted, programmed, ready];
            if left_out < conditions.len() {
                conditions.remove(left_out);
            }
            DatastreamSubscriptionStatus {
                observed_generation: Some(3),
                conditions,
                secret_name,
                endpoint: endpoint.map(str::to_owned),
                connection: None,
            }
        },
    )
}

proptest! {
    #[test]
    fn every_status_is_kept_as_it_is(status in status()) {
        let subscription = Subscription::of(object(Some(status.clone())), id(), Verdict::Valid, &groups());
        prop_assert_eq!(subscription.status(), Some(status));
    }
}

#[test]
fn a_usual_status_is_kept_without_its_texts_and_the_connection_by_itself() {
    let condition = |type_: &str, usual: usize| {
        json!({
            "type": type_, "status": USUAL[usual].status(), "reason": USUAL[usual].reason,
            "message": USUAL[usual].message("leds-stream-key"), "observedGeneration": 3,
            "lastTransitionTime": "2026-11-24T06:14:44Z",
        })
    };
    let [accepted, programmed, ready] = CONDITIONS;
    let status = serde_json::from_value(json!({
        "observedGeneration": 3, "secretName": "leds-stream-key", "endpoint": "ws://a/stream",
        "conditions": [condition(accepted, 0), condition(programmed, 1), condition(ready, 2)],
        "connection": {"state": "Online"},
    }));
    let mut status: DatastreamSubscriptionStatus = status.unwrap();
    let subscription = Subscription::of(
        object(Some(status.clone())),
        id(),
        Verdict::Valid,
        &groups(),
    );
    assert!(matches!(subscription.reported, Reported::Usual { .. }));
    let connection = subscription.connection.as_deref().unwrap();
    assert_eq!(connection.state, ConnectionState::Online);
    status.connection = None;
    assert_eq!(subscription.status(), Some(status));
    let without = Subscription::of(object(None), id(), Verdict::Valid, &groups());
    assert_eq!((without.status(), without.connection), (None, None));
}

#[test]
fn identities_share_their_text_with_the_subscription_that_is_known() {
    let subscriptions = Subscriptions::default();
    let first = subscriptions.id("team", "leds");
    subscriptions.set(Subscription::of(
        object(None),
        first.clone(),
        Verdict::Valid,
        &groups(),
    ));
    let again = subscriptions.id("team", "leds");
    assert!(
        Arc::ptr_eq(&first.namespace, &again.namespace) && Arc::ptr_eq(&first.name, &again.name)
    );
    let other = subscriptions.id("team", "lamps");
    assert!(Arc::ptr_eq(&first.namespace, &other.namespace));
    assert_eq!(subscriptions.within("team"), [first]);
    subscriptions.remove(&id());
    assert!(subscriptions.get(&id()).is_none() && subscriptions.within("team").is_empty());
}

//! Kubernetes Events for what people want to read in `kubectl describe`: transitions, not states.

use datastream_crds::{DatastreamSubscription, DatastreamSubscriptionStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Resource as _;
use kube::runtime::events::{Event, EventType};

use crate::context::Context;

/// The API server's limit on the length of a note is 1 KiB.
const MAX_NOTE: usize = 1000;

/// The Events that a change of status is worth.
pub(crate) fn transitions(
    before: Option<&DatastreamSubscriptionStatus>,
    now: &DatastreamSubscriptionStatus,
    issued: bool,
) -> Vec<Event> {
    let old = |type_| before.and_then(|b| find(b, type_));
    let mut events = vec![];
    if issued && let Some(name) = &now.secret_name {
        let note = format!("a new stream key is in Secret {name}");
        events.push(event(EventType::Normal, "StreamKeyIssued", note));
    }
    if let Some(accepted) = find(now, "Accepted")
        && accepted.status == "False"
        && differs(old("Accepted"), accepted)
    {
        events.push(event(
            EventType::Warning,
            &accepted.reason,
            accepted.message.clone(),
        ));
        return events;
    }
    if let Some(ready) = find(now, "Ready") {
        let type_ = match (ready.status.as_str(), ready.reason.as_str()) {
            ("True", _) => Some(EventType::Normal),
            (_, "NoGateways" | "BucketFull") => Some(EventType::Warning),
            // On its way, as after every edit.
            _ => None,
        };
        if let Some(type_) = type_
            && differs(old("Ready"), ready)
        {
            events.push(event(type_, &ready.reason, ready.message.clone()));
        }
    }
    events
}

fn find<'a>(status: &'a DatastreamSubscriptionStatus, type_: &str) -> Option<&'a Condition> {
    status.conditions.iter().find(|c| c.type_ == type_)
}

fn differs(old: Option<&Condition>, new: &Condition) -> bool {
    old.is_none_or(|old| old.status != new.status || old.reason != new.reason)
}

fn event(type_: EventType, reason: &str, mut note: String) -> Event {
    note.truncate(note.floor_char_boundary(MAX_NOTE));
    Event {
        type_,
        reason: reason.to_owned(),
        note: Some(note),
        action: "Reconcile".to_owned(),
        secondary: None,
    }
}

/// Publishes them. They are for people: a failure is logged, and nothing depends on it.
pub(crate) async fn publish(
    context: &Context,
    subscription: &DatastreamSubscription,
    events: &[Event],
) {
    let regarding = subscription.object_ref(&());
    for event in events {
        if let Err(error) = context.recorder.publish(event, &regarding).await {
            tracing::warn!(reason = event.reason, %error, "cannot publish an Event");
        }
    }
}

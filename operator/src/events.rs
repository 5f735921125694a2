//! Kubernetes Events for what people want to read in `kubectl describe`: transitions, not states.

use datastream_crds::DatastreamSubscriptionStatus;
use datastream_service_kube::api::reason;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use prometheus::IntCounter;
use tokio::sync::mpsc;

use crate::subscription::Subscription;

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
    if let Some(accepted) = find(now, "Accepted")
        && accepted.reason == "Narrowed"
        && differs(old("Accepted"), accepted)
    {
        let note = accepted.message.clone();
        events.push(event(EventType::Normal, "Narrowed", note));
    }
    if let Some(ready) = find(now, "Ready") {
        let type_ = match (ready.status.as_str(), ready.reason.as_str()) {
            ("True", _) | (_, "Suspended") => Some(EventType::Normal),
            (_, "NoGateways" | "BucketFull" | "NotPublished") => Some(EventType::Warning),
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

/// Events that may wait. They are for people: what is beyond is left out and counted, as all of Kubernetes does it.
const WAITING: usize = 8192;
/// Events after which the recorder is replaced. A recorder remembers what it has published for minutes, to count repetitions, which
/// come soon; ten thousand subscriptions are not to be remembered twice.
const REMEMBERED: usize = 512;

/// The queue in which reconciles leave Events. They are published one after the other, so that ten thousand of them do not keep the
/// API server from what matters more.
#[derive(Clone, Debug)]
pub(crate) struct Events {
    queue: mpsc::Sender<(Event, ObjectReference)>,
    left_out: IntCounter,
}

/// Publishes Events to the API server.
pub(crate) struct EventPublisher {
    waiting: mpsc::Receiver<(Event, ObjectReference)>,
    client: Client,
    reporter: Reporter,
}

/// A queue and the task at its end; `left_out` counts what did not fit.
pub(crate) fn channel(
    client: Client,
    reporter: Reporter,
    left_out: IntCounter,
) -> (Events, EventPublisher) {
    let (queue, waiting) = mpsc::channel(WAITING);
    let event_publisher = EventPublisher {
        waiting,
        client,
        reporter,
    };
    (Events { queue, left_out }, event_publisher)
}

impl Events {
    /// Leaves Events about a subscription.
    pub(crate) fn publish(&self, subscription: &Subscription, events: Vec<Event>) {
        for event in events {
            let regarding = subscription.reference();
            if let Err(error) = self.queue.try_send((event, regarding)) {
                let (event, _) = error.into_inner();
                tracing::debug!(reason = event.reason, "left out an Event: too many wait");
                self.left_out.inc();
            }
        }
    }
}

impl EventPublisher {
    /// Runs until every queue is dropped. A failure is logged, and nothing depends on it.
    pub(crate) async fn run(mut self) -> anyhow::Result<()> {
        let new = || Recorder::new(self.client.clone(), self.reporter.clone());
        let (mut recorder, mut published) = (new(), 0);
        while let Some((event, regarding)) = self.waiting.recv().await {
            if published == REMEMBERED {
                (recorder, published) = (new(), 0);
            }
            published += 1;
            if let Err(error) = recorder.publish(&event, &regarding).await {
                tracing::warn!(
                    reason = event.reason,
                    error = reason(&error),
                    "cannot publish an Event"
                );
            }
        }
        anyhow::bail!("nobody reconciles")
    }
}

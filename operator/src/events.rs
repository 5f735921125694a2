//! Kubernetes Events for what people want to read in `kubectl describe`: transitions, not states.

use std::time::Duration;

use datastream_crds::DatastreamSubscriptionStatus;
use datastream_service_kube::api::reason;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use prometheus::IntCounter;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use crate::retry::Reconciles;
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

/// Subscriptions on their way to the gateways, beyond which Events wait: to publish one takes the API server half of the time that a
/// status does.
const BUSY: usize = 256;
/// The longest time for which an Event waits for that. Subscriptions that gateways never serve are not to hold up those of others.
const GIVES_WAY: Duration = Duration::from_mins(1);
/// Time between two looks at whether it still has to.
const LOOK: Duration = Duration::from_millis(200);

/// The queue in which reconciles leave Events. They are published one after the other, and when nothing matters more: ten thousand of
/// them are not to keep the API server from ten thousand subscriptions.
#[derive(Clone, Debug)]
pub(crate) struct Events {
    queue: mpsc::Sender<Waiting>,
    left_out: IntCounter,
}

struct Waiting {
    event: Event,
    regarding: ObjectReference,
    since: Instant,
}

/// Publishes Events to the API server.
pub(crate) struct EventPublisher {
    waiting: mpsc::Receiver<Waiting>,
    client: Client,
    reporter: Reporter,
    reconciles: Reconciles,
}

/// A queue and the task at its end, which gives way to `reconciles`; `left_out` counts what did not fit.
pub(crate) fn channel(
    client: Client,
    reporter: Reporter,
    reconciles: Reconciles,
    left_out: IntCounter,
) -> (Events, EventPublisher) {
    let (queue, waiting) = mpsc::channel(WAITING);
    let event_publisher = EventPublisher {
        waiting,
        client,
        reporter,
        reconciles,
    };
    (Events { queue, left_out }, event_publisher)
}

impl Events {
    /// Leaves Events about a subscription.
    pub(crate) fn publish(&self, subscription: &Subscription, events: Vec<Event>) {
        for event in events {
            let waiting = Waiting {
                event,
                regarding: subscription.reference(),
                since: Instant::now(),
            };
            if let Err(error) = self.queue.try_send(waiting) {
                let Waiting { event, .. } = error.into_inner();
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
        while let Some(waiting) = self.waiting.recv().await {
            let Waiting {
                event,
                regarding,
                since,
            } = waiting;
            give_way(&self.reconciles, since).await;
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

/// Waits while many subscriptions are on their way to the gateways, for an Event that has waited since then.
async fn give_way(reconciles: &Reconciles, since: Instant) {
    while since.elapsed() < GIVES_WAY && reconciles.on_their_way() > BUSY {
        sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use datastream_routing::SubscriptionId;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn events_wait_for_many_subscriptions_on_their_way_but_not_for_ever() {
        let reconciles = Reconciles::default();
        let id = |number: usize| SubscriptionId::new("team", number.to_string());
        let start = Instant::now();
        for number in 0..BUSY {
            reconciles.pending(&id(number), 1);
        }
        // One that only fails is not on its way.
        reconciles.failed(id(BUSY));
        give_way(&reconciles, start).await;
        assert_eq!(start.elapsed(), Duration::ZERO);

        reconciles.pending(&id(BUSY), 1);
        let waits = async {
            give_way(&reconciles, start).await;
            start.elapsed()
        };
        let goes = async {
            sleep(Duration::from_secs(10)).await;
            reconciles.over(&id(0));
        };
        let (waited, ()) = tokio::join!(waits, goes);
        assert!((10..=11).contains(&waited.as_secs()), "{waited:?}");

        reconciles.pending(&id(0), 1);
        give_way(&reconciles, start).await;
        let waited = start.elapsed();
        assert!((60..=61).contains(&waited.as_secs()), "{waited:?}");
    }
}

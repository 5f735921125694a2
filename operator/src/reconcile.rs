//! One reconcile of one subscription: validate → gather → build → apply → status.
//!
//! What is built for the gateways, the route, goes to them by way of the [`publish`](crate::publish) side, which builds
//! it from the same two things: the valid spec and the key in the Secret.

use std::sync::Arc;
use std::time::Duration;

use datastream_crds::DatastreamSubscription;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use kube::runtime::controller::Action;

use crate::apply::{Applied, Error, apply};
use crate::context::Context;
use crate::events;
use crate::gather::secret_name;
use crate::publish::{Programmed, id_of};
use crate::status::{self, Outcome};
use crate::validate::validate;

/// When to look again at what nothing reports: a Secret in the way may go.
const CONFLICT_AGAIN: Duration = Duration::from_secs(30);
/// When to look again at a route on its way, to tell how far it has come.
const PENDING_AGAIN: Duration = Duration::from_secs(3);
/// That a new generation is on its way is told only if it takes longer than this: usually it takes milliseconds, and when
/// subscriptions change by the thousand, a write that is spared for each of them is time for the others.
const WORTH_TELLING: Duration = Duration::from_secs(10);

/// Makes of a subscription what it asks for, as far as it takes to know its status.
pub(crate) async fn reconcile(
    subscription: Arc<DatastreamSubscription>,
    context: Arc<Context>,
) -> Result<Action, Error> {
    context.completed().await;
    let id = id_of(&subscription);
    if subscription.metadata.deletion_timestamp.is_some() {
        context.troubles.over(&id);
        return Ok(Action::await_change());
    }
    let timer = context.metrics.reconcile_seconds.start_timer();
    let group = context.groups.of(&subscription);
    let endpoint = group.as_ref().ok().map(|g| g.endpoint.as_str());
    let checked = validate(&subscription).and_then(|valid| Ok((valid, group.clone()?)));
    let (outcome, issued) = match checked {
        Err(invalid) => {
            let served = context.groups.published_generation(&id);
            (Outcome::Invalid { invalid, served }, false)
        }
        Ok((valid, group)) => match apply(&context, &subscription, &group.endpoint).await? {
            Applied::Conflict => (
                Outcome::SecretConflict {
                    secret: secret_name(&id.name),
                },
                false,
            ),
            Applied::Key { key, issued } => {
                let programmed =
                    group
                        .board
                        .lock()
                        .programmed(&id, &valid.uid, valid.generation, key.hash());
                let suspended = valid.suspended;
                (
                    Outcome::Accepted {
                        secret: secret_name(&id.name),
                        programmed,
                        suspended,
                    },
                    issued,
                )
            }
        },
    };
    let status = status::status(&subscription, &outcome, endpoint, Timestamp::now());
    let pending = is_pending(&outcome).then(|| {
        let generation = subscription.metadata.generation.unwrap_or_default();
        context.troubles.pending(&id, generation)
    });
    if pending.is_none() {
        context.troubles.over(&id);
    }
    let is_news = subscription
        .status
        .as_ref()
        .is_none_or(|s| s.observed_generation != subscription.metadata.generation);
    let untold = pending.and_then(|since| WORTH_TELLING.checked_sub(since));
    let untold = untold.filter(|rest| is_news && !rest.is_zero());
    let updated = untold.is_none() && status::update(&context, &subscription, &status).await?;
    if updated || issued {
        let events = events::transitions(subscription.status.as_ref(), &status, issued);
        context.events.publish(&subscription, events);
    }
    timer.observe_duration();
    context.metrics.reconciles.with_label_values(&["ok"]).inc();
    Ok(match (outcome, untold, pending) {
        (Outcome::SecretConflict { .. }, ..) => Action::requeue(CONFLICT_AGAIN),
        (_, Some(rest), _) => Action::requeue(rest),
        (_, None, Some(_)) => Action::requeue(PENDING_AGAIN),
        (_, None, None) => Action::await_change(),
    })
}

/// Whether its route is on its way to the gateways.
fn is_pending(outcome: &Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Accepted {
            programmed: Programmed::Waiting { .. } | Programmed::NotPublished,
            ..
        }
    )
}

/// What to do after a failed reconcile: try again, later each time.
pub(crate) fn retry(
    subscription: Arc<DatastreamSubscription>,
    error: &Error,
    context: Arc<Context>,
) -> Action {
    let wait = context.troubles.failed(id_of(&subscription));
    // The subscription was deleted, or someone wrote at the same time: no fault of anything.
    let harmless = matches!(error, Error::Kube(kube::Error::Api(s)) if s.is_not_found() || s.is_conflict() || s.is_already_exists());
    if harmless {
        tracing::debug!(subscription = %id_of(&subscription), %error, "trying again");
    } else {
        context
            .metrics
            .reconciles
            .with_label_values(&["error"])
            .inc();
        tracing::warn!(
            namespace = subscription.namespace().unwrap_or_default(),
            name = subscription.name_any(),
            %error,
            "cannot reconcile; trying again in {wait:?}"
        );
    }
    Action::requeue(wait)
}

#[cfg(test)]
mod tests;

//! One reconcile of one subscription: validate → gather → build → apply → status.
//!
//! The route, which is built for the gateways, goes to them by way of the [`publish`](crate::publish) side, which builds it from
//! the same two things: the valid spec and the key in the Secret.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use datastream_crds::DatastreamSubscription;
use datastream_routing::{KeyHash, SubscriptionId};
use datastream_service_kube::api::reason;
use k8s_openapi::jiff::Timestamp;
use kube::runtime::controller::Action;

use crate::apply::{Applied, Error, apply};
use crate::context::Context;
use crate::events;
use crate::gather::{Ownership, secret_name};
use crate::publish::{Programmed, id_of};
use crate::status::{self, Outcome};
use crate::validate::validate;

/// Pause before another look at what nothing reports: a Secret in the way may go.
const CONFLICT_AGAIN: Duration = Duration::from_secs(30);
/// Pause before another look at a route on its way, to tell how far it has come.
const PENDING_AGAIN: Duration = Duration::from_secs(3);
/// That a new generation is on its way is told only if it takes longer than this: usually it takes milliseconds, and when
/// subscriptions change by the thousand, a write that is spared for each of them is time for the others.
const WORTH_TELLING: Duration = Duration::from_secs(10);

/// Failures in a row after which an error that may pass by itself is told.
const PASSING: u32 = 3;

/// Makes of a subscription what it asks for, as far as it takes to know its status.
pub(crate) async fn reconcile(
    subscription: Arc<DatastreamSubscription>,
    context: Arc<Context>,
) -> Result<Action, Error> {
    context.completed().await;
    let id = id_of(&subscription);
    // It is queued again when its namespace is listed.
    if !context.heard.is_listed(&id.namespace) {
        return Ok(Action::await_change());
    }
    if subscription.metadata.deletion_timestamp.is_some() {
        context.troubles.over(&id);
        return Ok(Action::await_change());
    }
    let timer = context.metrics.reconcile_seconds.start_timer();
    let generation = subscription.metadata.generation;
    let Findings {
        outcome,
        issued,
        endpoint,
    } = find_out(&context, &subscription).await?;
    let status = status::status(&subscription, &outcome, endpoint, Timestamp::now());
    let pending = is_pending(&outcome).then(|| {
        context
            .troubles
            .pending(&id, generation.unwrap_or_default())
    });
    let is_news = subscription
        .status
        .as_ref()
        .is_none_or(|s| s.observed_generation != generation);
    let untold = pending.and_then(|since| WORTH_TELLING.checked_sub(since));
    let untold = untold.filter(|rest| is_news && !rest.is_zero() && !is_failing(&outcome));
    // Whatever the status says of this generation may still be true.
    let is_known = !is_news && is_unknown(&outcome);
    let updated =
        untold.is_none() && !is_known && status::update(&context, &subscription, &status).await?;
    if updated || issued {
        let events = events::transitions(subscription.status.as_ref(), &status, issued);
        context.events.publish(&subscription, events);
    }
    if let Outcome::SecretNotWritten { secret, error, .. } = &outcome {
        return Ok(failed(
            &context,
            &id,
            format_args!("Secret {secret}: {error}"),
        ));
    }
    if pending.is_some() {
        context.troubles.succeeded(&id);
    } else {
        context.troubles.over(&id);
    }
    timer.observe_duration();
    context.metrics.reconciles.with_label_values(&["ok"]).inc();
    Ok(match (outcome, untold, pending) {
        (Outcome::SecretConflict { .. } | Outcome::Denied { .. }, ..) => {
            Action::requeue(CONFLICT_AGAIN)
        }
        (_, Some(rest), _) => Action::requeue(rest),
        (_, None, Some(_)) => Action::requeue(PENDING_AGAIN),
        (_, None, None) => Action::await_change(),
    })
}

/// The findings of a reconcile.
struct Findings<'a> {
    outcome: Outcome,
    /// True if the key is a new one.
    issued: bool,
    /// The URL at which clients connect.
    endpoint: Option<&'a str>,
}

/// Validates, gathers, builds and applies.
async fn find_out<'a>(
    context: &'a Context,
    subscription: &DatastreamSubscription,
) -> Result<Findings<'a>, Error> {
    let id = id_of(subscription);
    let served = || context.groups.served_generation(&id);
    let found = |outcome, endpoint| Findings {
        outcome,
        issued: false,
        endpoint,
    };
    if let Some(error) = context.unreadable.get(&id) {
        let (error, served) = (error.to_string(), served());
        return Ok(found(Outcome::Unreadable { error, served }, None));
    }
    let of = context.groups.of(subscription);
    let checked = validate(subscription).and_then(|valid| Ok((valid, of.clone()?)));
    let (valid, (group, endpoint)) = match checked {
        Ok(checked) => checked,
        Err(invalid) => {
            let endpoint = of.ok().map(|(_, endpoint)| endpoint);
            let served = served();
            return Ok(found(Outcome::Invalid { invalid, served }, endpoint));
        }
    };
    let programmed = |key| {
        let board = group.board.lock();
        board.programmed(&id, &valid.uid, valid.generation, key)
    };
    let secret = secret_name(&id.name);
    let (key, issued) = match apply(context, subscription, endpoint).await {
        Ok(Applied::Key { key, issued }) => (key, issued),
        Ok(Applied::Conflict) => {
            return Ok(found(Outcome::SecretConflict { secret }, Some(endpoint)));
        }
        Err(Error::Kube(error)) if is_refusal(&error, context.troubles.failures(&id)) => {
            let observed = context.secrets.get(&id);
            let owned = observed.filter(|s| s.ownership(&valid.uid, false) == Ownership::Ours);
            let key = owned.and_then(|secret| Some(KeyHash::from(secret.key.as_ref()?)));
            let outcome = Outcome::SecretNotWritten {
                secret,
                error: reason(&error),
                programmed: key.map(programmed),
            };
            // The one that clients know is the one in the Secret.
            return Ok(found(outcome, None));
        }
        Err(error) => return Err(error),
    };
    let denied = group.board.lock().denied(&id);
    let outcome = match denied {
        Some(denied) => Outcome::Denied {
            secret,
            denied,
            namespace: id.namespace.to_string(),
            served: served(),
        },
        None => Outcome::Accepted {
            secret,
            programmed: programmed((&key).into()),
            suspended: valid.suspended,
        },
    };
    Ok(Findings {
        outcome,
        issued,
        endpoint: Some(endpoint),
    })
}

/// Returns whether an error is for the owner of the subscription to know: the API server has refused the write (a quota, a webhook, an
/// immutable object, missing rights), or it has failed for some time.
fn is_refusal(error: &kube::Error, failures: u32) -> bool {
    let kube::Error::Api(status) = error else {
        return false;
    };
    let is_overtaken = status.is_not_found() || status.is_conflict() || status.is_already_exists();
    let is_passing = status.code >= 500 || status.code == 429;
    !is_overtaken && (!is_passing || failures >= PASSING)
}

/// Returns whether its route is on its way to the gateways.
fn is_pending(outcome: &Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Accepted {
            programmed: Programmed::Waiting { .. }
                | Programmed::NotPublished { .. }
                | Programmed::Unknown,
            ..
        }
    )
}

/// Returns whether its route cannot be written.
fn is_failing(outcome: &Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Accepted {
            programmed: Programmed::NotPublished { error: Some(_) },
            ..
        }
    )
}

/// Returns whether it has yet to be seen if gateways live.
fn is_unknown(outcome: &Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Accepted {
            programmed: Programmed::Unknown,
            ..
        }
    )
}

/// Counts a failure, and decides when to try again: later each time.
fn failed(context: &Context, id: &SubscriptionId, error: impl Display) -> Action {
    let wait = context.troubles.failed(id.clone());
    let errors = context.metrics.reconciles.with_label_values(&["error"]);
    errors.inc();
    tracing::warn!(
        namespace = &*id.namespace,
        name = &*id.name,
        %error,
        "cannot reconcile; trying again in {wait:?}"
    );
    Action::requeue(wait)
}

/// Decides when to try again after a failed reconcile.
pub(crate) fn retry(
    subscription: Arc<DatastreamSubscription>,
    error: &Error,
    context: Arc<Context>,
) -> Action {
    let id = id_of(&subscription);
    // The subscription was deleted, or someone wrote at the same time: no fault of anything.
    let harmless = matches!(error, Error::Kube(kube::Error::Api(s)) if s.is_not_found() || s.is_conflict() || s.is_already_exists());
    if !harmless {
        return failed(&context, &id, error);
    }
    let wait = context.troubles.failed(id.clone());
    tracing::debug!(subscription = %id, %error, "trying again");
    Action::requeue(wait)
}

#[cfg(test)]
mod tests;

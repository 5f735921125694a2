//! One reconcile of one subscription: gather → validate → build → apply → status.
//!
//! - [`gather`] reads all that is known of the subscription: the verdict on its spec, its group, its Secret and its route.
//! - [`validate`] decides whether it can be served. The [spec](crate::spec) itself was checked when its generation was first
//!   observed.
//! - [`build`] makes the Secret as it should be. Pure, but for a new key.
//! - [`apply`] writes the Secret, if that changes it.
//! - [`status`] writes the status in one patch, if that changes it.
//!
//! The route goes to the gateways by way of the [routing state](crate::routing), which builds it from the same two things: the
//! valid spec and the key in the Secret.

mod apply;
pub mod build;
mod gather;
mod status;
mod validate;

use std::fmt::Display;
use std::time::Duration;

use datastream_routing::{KeyHash, SubscriptionId};
use datastream_service_kube::api::reason;
use k8s_openapi::jiff::Timestamp;

use self::apply::{Applied, apply};
use self::build::Planned;
use self::gather::{Gathered, gather};
use self::status::Outcome;
use self::validate::{Target, target};
use crate::context::Context;
use crate::events;
use crate::routing::{Denied, ObservedKey, ROUND};
use crate::stream_secret::{ObservedSecret, Ownership, secret_name};
use crate::subscription::Subscription;

pub(crate) use self::apply::Error;

/// Pause before another look at what nothing reports: a Secret in the way may go.
const CONFLICT_AGAIN: Duration = Duration::from_secs(30);
/// Pause before another look at a route on its way, to report its progress.
const PENDING_AGAIN: Duration = Duration::from_secs(3);
/// A new generation is said to be on its way only if it takes longer than this, about 15 s: usually it takes milliseconds, and when
/// subscriptions change by the thousand, a write that is spared for each of them is time for the others. Such a one waits for a round of
/// the publisher, and for what the gateways say of it.
const WORTH_REPORTING: Duration = ROUND.saturating_mul(2);

/// Failures in a row after which an error that may pass by itself is reported.
const PASSING: u32 = 3;

/// Makes of a subscription what it asks for, as far as it takes to know its status, once everything is listed. Returns the time until it is
/// to be looked at again, if it is whether or not it changes.
pub(crate) async fn reconcile(
    subscription: &Subscription,
    context: &Context,
) -> Result<Option<Duration>, Error> {
    let id = &subscription.id;
    // It is queued again when its namespace is listed.
    if !context.heard.is_listed(&id.namespace) {
        return Ok(None);
    }
    if subscription.is_deleted {
        context.reconciles.over(id);
        return Ok(None);
    }
    let timer = context.metrics.reconcile_seconds.start_timer();
    let gathered = gather(context, subscription);
    let ends = end_previous_key(context, &gathered);
    let Served {
        outcome,
        issued,
        again,
    } = match target(&gathered) {
        Ok(target) => serve(context, &gathered, &target).await?,
        Err(outcome) => Served::without_key(outcome),
    };
    let soon = report(context, &gathered, &outcome, issued).await?;
    if let Outcome::SecretNotWritten { secret, error, .. } = &outcome {
        let error = format_args!("Secret {secret}: {error}");
        return Ok(Some(failed(context, id, error)));
    }
    if outcome.is_pending() {
        context.reconciles.succeeded(id);
    } else {
        context.reconciles.over(id);
    }
    timer.observe_duration();
    context.metrics.reconciles.with_label_values(&["ok"]).inc();
    Ok(soon.into_iter().chain(again).chain(ends).min())
}

/// The keys in a subscription's Secret that are good now.
pub(crate) fn observed(found: &ObservedSecret, now: Timestamp) -> Option<ObservedKey> {
    let previous = found.notes.as_ref().and_then(|n| n.previous.as_ref());
    Some(ObservedKey {
        owner_uid: found.owner.as_ref().map(|owner| owner.uid.clone()),
        hash: found.key.as_ref()?.into(),
        previous: previous
            .filter(|key| now < key.until)
            .map(|key| Box::new(key.hash)),
    })
}

/// Ends the key before at its time, whether or not its Secret can be written. Returns how long that is from now.
fn end_previous_key(context: &Context, gathered: &Gathered<'_>) -> Option<Duration> {
    let secret = gathered.secret.as_deref()?;
    let notes = secret.notes.as_ref()?;
    let (until, now) = (notes.previous.as_ref()?.until, Timestamp::now());
    if now < until {
        return until.duration_since(now).try_into().ok();
    }
    let key = observed(secret, now);
    context.groups.set_key(gathered.id, key.as_ref());
    // No watch brings this, and after it nothing may happen for long.
    context.groups.wake();
    None
}

/// Result of serving a subscription.
struct Served {
    outcome: Outcome,
    /// The key in its Secret is a new one.
    issued: bool,
    /// Time until its key is to be looked at again.
    again: Option<Duration>,
}

impl Served {
    const fn without_key(outcome: Outcome) -> Self {
        Self {
            outcome,
            issued: false,
            again: None,
        }
    }
}

/// Builds and applies the Secret of a subscription that can be served.
async fn serve(
    context: &Context,
    gathered: &Gathered<'_>,
    target: &Target<'_>,
) -> Result<Served, Error> {
    let id = gathered.id;
    let secret = secret_name(&id.name);
    let programmed = |key| {
        let state = target.group.state.lock();
        state.programmed(id, &target.uid, target.generation, key)
    };
    let applied = match write(context, gathered, target, gathered.secret.as_deref()).await {
        // It is not one of those that are watched, or not yet.
        Err(Error::Kube(kube::Error::Api(status)))
            if gathered.secret.is_none() && status.is_already_exists() =>
        {
            match gather::secret(context, gathered).await {
                Ok(found) => write(context, gathered, target, Some(&found)).await,
                Err(error) => Err(error.into()),
            }
        }
        applied => applied,
    };
    let (key, issued, again) = match applied {
        Ok((Applied::Key { key, issued }, again)) => (key, issued, again),
        Ok((Applied::Conflict, _)) => {
            return Ok(Served::without_key(Outcome::SecretConflict { secret }));
        }
        Err(Error::Kube(error)) if is_refusal(&error, context.reconciles.failures(id)) => {
            // The key that clients know is the one in the Secret.
            let observed = gathered.secret.as_deref();
            let owned = observed.filter(|s| s.ownership(&target.uid, false) == Ownership::Ours);
            let key = owned.and_then(|secret| Some(KeyHash::from(secret.key.as_ref()?)));
            let outcome = Outcome::SecretNotWritten {
                secret,
                error: reason(&error),
                programmed: key.map(programmed),
            };
            return Ok(Served::without_key(outcome));
        }
        Err(error) => return Err(error),
    };
    let (denied, narrowed) = {
        let state = target.group.state.lock();
        (state.denied(id), state.narrowed(id))
    };
    let outcome = match denied {
        Some(denied) => Outcome::Denied { secret, denied },
        None => Outcome::Accepted {
            secret,
            narrowed,
            programmed: programmed((&key).into()),
        },
    };
    Ok(Served {
        outcome,
        issued,
        again,
    })
}

/// Builds and applies the Secret, given the one that is there. Returns when to look at its key again, too.
async fn write(
    context: &Context,
    gathered: &Gathered<'_>,
    target: &Target<'_>,
    found: Option<&ObservedSecret>,
) -> Result<(Applied, Option<Duration>), Error> {
    let now = Timestamp::now();
    let Target {
        rotation, endpoint, ..
    } = target;
    let planned = build::secret(gathered.subscription, rotation, endpoint, found, now);
    let Planned { plan, again } = planned.map_err(Error::Random)?;
    Ok((apply(context, gathered, plan).await?, again))
}

/// Writes the status and the Events that it is worth. Returns when to look again, if something is to come.
async fn report(
    context: &Context,
    gathered: &Gathered<'_>,
    outcome: &Outcome,
    issued: bool,
) -> Result<Option<Duration>, Error> {
    let subscription = gathered.subscription;
    let said = subscription.status();
    let status = status::status(gathered, said.as_ref(), outcome, Timestamp::now());
    let generation = subscription.generation.unwrap_or_default();
    let pending = outcome.is_pending();
    let pending = pending.then(|| context.reconciles.pending(gathered.id, generation));
    let said = said.as_ref();
    let is_new = said.is_none_or(|s| s.observed_generation != subscription.generation);
    let wait = pending.and_then(|since| WORTH_REPORTING.checked_sub(since));
    // It is usual when a key is replaced, too.
    let is_usual = is_new || outcome.is_publishing();
    let wait = wait.filter(|wait| is_usual && !wait.is_zero() && !outcome.is_failing());
    // What the status says of this generation may still be true.
    let is_known = !is_new && outcome.is_unknown();
    let updated =
        wait.is_none() && !is_known && status::update(context, subscription, said, &status).await?;
    if updated || issued {
        let events = events::transitions(said, &status, issued);
        context.events.publish(subscription, events);
    }
    Ok(match (outcome, wait, pending) {
        // Whoever changes a rule has it looked at again.
        (
            Outcome::Denied {
                denied: Denied::Access(_),
                ..
            },
            ..,
        ) => None,
        (Outcome::SecretConflict { .. } | Outcome::Denied { .. }, ..) => Some(CONFLICT_AGAIN),
        (_, Some(wait), _) => Some(wait),
        (_, None, Some(_)) => Some(PENDING_AGAIN),
        (_, None, None) => None,
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

/// Counts a failure. Returns the time until another attempt, longer each time.
fn failed(context: &Context, id: &SubscriptionId, error: impl Display) -> Duration {
    let wait = context.reconciles.failed(id.clone());
    let errors = context.metrics.reconciles.with_label_values(&["error"]);
    errors.inc();
    tracing::warn!(
        namespace = &*id.namespace,
        name = &*id.name,
        %error,
        "cannot reconcile; trying again in {wait:.1?}"
    );
    wait
}

/// Returns the time until another attempt after a failed reconcile.
pub(crate) fn retry(context: &Context, id: &SubscriptionId, error: &Error) -> Duration {
    // The subscription was deleted, or someone wrote at the same time: no fault of anything.
    let harmless = matches!(error, Error::Kube(kube::Error::Api(s)) if s.is_not_found() || s.is_conflict() || s.is_already_exists());
    if !harmless {
        return failed(context, id, error);
    }
    let wait = context.reconciles.failed(id.clone());
    tracing::debug!(subscription = %id, %error, "trying again");
    wait
}

#[cfg(test)]
mod tests;

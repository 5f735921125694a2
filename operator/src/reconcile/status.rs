//! The subscription's status: one patch, and only if something is different.

use std::sync::Arc;

use datastream_crds::DatastreamSubscriptionStatus;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::gather::Gathered;
use crate::FIELD_MANAGER;
use crate::conditions::{
    ACCEPTED, CONDITIONS, NO_GATEWAYS, NOT_PUBLISHED, PROGRAMMED, READY, SUSPENDED, UNKNOWN, Usual,
    status_of,
};
use crate::context::Context;
use crate::routing::{Denied, Programmed};
use crate::stream_secret::ADOPT;
use crate::subscription::Subscription;
use crate::verdicts::Fault;

/// Progress among gateways is counted in the message only after it has taken this long: usually it takes milliseconds.
const WORTH_COUNTING: SignedDuration = SignedDuration::from_secs(2);
/// A message may be longer than this only in an API server that does not check (32 KiB is its limit).
const MAX_MESSAGE: usize = 4096;

/// The result of a reconcile.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The subscription cannot be served.
    Faulty(Arc<Fault>),
    /// The spec is valid, and asks for too much, or for what another subscription has.
    Denied {
        /// The name of the Secret.
        secret: String,
        /// The reason.
        denied: Denied,
    },
    /// The Secret cannot be written.
    SecretNotWritten {
        /// Its name.
        secret: String,
        /// The API server's reason.
        error: String,
        /// The state of the route, if there is a key.
        programmed: Option<Programmed>,
    },
    /// A Secret that is not ours has the name of the Secret.
    SecretConflict {
        /// Its name.
        secret: String,
    },
    /// The key is there.
    Accepted {
        /// The name of the Secret.
        secret: String,
        /// The part that access rules deny, if it gets the rest.
        narrowed: Option<String>,
        /// The state of the route.
        programmed: Programmed,
    },
}

impl Outcome {
    const fn route(&self) -> Option<&Programmed> {
        match self {
            Self::Accepted { programmed, .. } => Some(programmed),
            _ => None,
        }
    }

    /// Returns whether the route is on its way to the gateways.
    pub(super) const fn is_pending(&self) -> bool {
        matches!(
            self.route(),
            Some(
                Programmed::Waiting { .. } | Programmed::NotPublished { .. } | Programmed::Unknown
            )
        )
    }

    /// Returns whether the route is about to be written.
    pub(super) const fn is_publishing(&self) -> bool {
        matches!(self.route(), Some(Programmed::NotPublished { error: None }))
    }

    /// Returns whether the route cannot be written.
    pub(super) const fn is_failing(&self) -> bool {
        matches!(
            self.route(),
            Some(Programmed::NotPublished { error: Some(_) })
        )
    }

    /// Returns whether it has yet to be seen if gateways live.
    pub(super) const fn is_unknown(&self) -> bool {
        matches!(self.route(), Some(Programmed::Unknown))
    }
}

#[derive(Clone)]
struct Verdict {
    status: bool,
    reason: &'static str,
    message: String,
}

fn verdict(status: bool, reason: &'static str, message: impl Into<String>) -> Verdict {
    Verdict {
        status,
        reason,
        message: message.into(),
    }
}

fn usual(said: &Usual) -> Verdict {
    verdict(said.is_true, said.reason, said.message)
}

/// The status that says this.
pub(super) fn status(
    gathered: &Gathered<'_>,
    before: Option<&DatastreamSubscriptionStatus>,
    outcome: &Outcome,
    now: Timestamp,
) -> DatastreamSubscriptionStatus {
    let generation = gathered.subscription.generation;
    let (accepted, programmed, ready) = verdicts(gathered, outcome);
    let conditions = CONDITIONS
        .into_iter()
        .zip([accepted, programmed, ready])
        .map(|(type_, verdict)| {
            let old = before.and_then(|b| b.conditions.iter().find(|c| c.type_ == type_));
            condition(type_, verdict, generation, old, now)
        })
        .collect();
    let secret_name = match outcome {
        Outcome::Accepted { secret, .. } | Outcome::Denied { secret, .. } => Some(secret.clone()),
        // Whatever key there was is still good.
        Outcome::Faulty(_) | Outcome::SecretNotWritten { .. } => {
            before.and_then(|b| b.secret_name.clone())
        }
        Outcome::SecretConflict { .. } => None,
    };
    let endpoint = match outcome {
        // The one that clients know is the one in the Secret.
        Outcome::SecretNotWritten { .. } => None,
        // Its group cannot be read.
        Outcome::Faulty(fault) if matches!(**fault, Fault::Unreadable(_)) => None,
        _ => gathered
            .group
            .as_ref()
            .ok()
            .map(|(_, endpoint)| (*endpoint).to_owned()),
    };
    DatastreamSubscriptionStatus {
        observed_generation: generation,
        conditions,
        secret_name,
        // Without a group of its own, a stream that continues is still where it was.
        endpoint: endpoint.or_else(|| before?.endpoint.clone()),
        // Not the reconcile's to say.
        connection: None,
    }
}

fn verdicts(gathered: &Gathered<'_>, outcome: &Outcome) -> (Verdict, Verdict, Verdict) {
    let served = || still_served(gathered.served());
    match outcome {
        Outcome::Faulty(fault) => match &**fault {
            Fault::Unreadable(error) => {
                let version = env!("CARGO_PKG_VERSION");
                let message = format!(
                    "operator {version} cannot read it: {error}: change that field, or run the operator of the release that knows it{}",
                    served()
                );
                refused(
                    "Unreadable",
                    message,
                    "a subscription that cannot be read is not published",
                )
            }
            Fault::Invalid(invalid) => {
                let message = format!("{invalid}{}", served());
                refused(
                    "Invalid",
                    message,
                    "an invalid subscription is not published",
                )
            }
        },
        Outcome::Denied { secret, denied } => {
            let (reason, message) = denial(denied, secret, &gathered.id.namespace);
            let message = format!("{message}{}", served());
            refused(reason, message, "what is not accepted is not published")
        }
        Outcome::SecretNotWritten {
            secret,
            error,
            programmed,
        } => {
            let message = format!("Secret {secret} cannot be written: {error}");
            let refused = verdict(false, "SecretNotWritten", message);
            let programmed = programmed.as_ref().map_or_else(
                || {
                    let text = "without a stream key it is not published";
                    verdict(false, "SecretNotWritten", text)
                },
                programming,
            );
            (refused.clone(), programmed, refused)
        }
        Outcome::SecretConflict { secret } => {
            let message = format!(
                "Secret {secret} exists and does not belong to this subscription: rename or delete one of them, or, if it was restored from a backup, annotate the subscription with {ADOPT}=true"
            );
            refused(
                "SecretConflict",
                message,
                "without a stream key it is not published",
            )
        }
        Outcome::Accepted {
            secret,
            narrowed,
            programmed,
        } => {
            let programmed = programming(programmed);
            let ready = match (programmed.status, gathered.subscription.is_suspended) {
                (true, true) => usual(&SUSPENDED),
                (true, false) => usual(&READY),
                (false, _) => programmed.clone(),
            };
            let accepted = narrowed.as_ref().map_or_else(
                || verdict(true, ACCEPTED.reason, ACCEPTED.message(secret)),
                |denial| {
                    let message = format!(
                        "the stream key is in Secret {secret}; events that access rules deny are left out: {denial}"
                    );
                    verdict(true, "Narrowed", message)
                },
            );
            (accepted, programmed, ready)
        }
    }
}

/// The verdicts on a subscription that is not accepted.
fn refused(reason: &'static str, message: String, programmed: &str) -> (Verdict, Verdict, Verdict) {
    (
        verdict(false, reason, message.clone()),
        verdict(false, reason, programmed),
        verdict(false, reason, message),
    )
}

fn still_served(served: Option<i64>) -> String {
    served.map_or_else(String::new, |generation| {
        format!("; the gateways go on with generation {generation}")
    })
}

fn denial(denied: &Denied, secret: &str, namespace: &str) -> (&'static str, String) {
    match denied {
        Denied::KeyInUse { by } => {
            let whose = if *by.namespace == *namespace {
                format!("subscription {}", by.name)
            } else {
                "a subscription in another namespace".to_owned()
            };
            let message = format!(
                "the stream key in Secret {secret} is that of {whose}: delete the Secret, and it gets a key of its own"
            );
            ("KeyInUse", message)
        }
        Denied::Access(denial) => {
            let message = format!(
                "{denial}: leave that out, or ask whoever keeps the access rules (kubectl get datastreamaccessrules)"
            );
            ("AccessDenied", message)
        }
        Denied::TooMany { limit } => {
            let message = format!(
                "namespace {namespace} has {limit} subscriptions in this group of gateways, as many as it may: delete one of them, or let one subscription serve several purposes"
            );
            ("TooManySubscriptions", message)
        }
        costly => {
            let reason = costly.cost().unwrap_or_default();
            ("TooCostly", format!("spec.filters {reason}"))
        }
    }
}

fn programming(programmed: &Programmed) -> Verdict {
    match programmed {
        // No number: it would change every status with every gateway.
        Programmed::Everywhere { .. } => usual(&PROGRAMMED),
        Programmed::Waiting {
            holding,
            gateways,
            missing,
        } => verdict(
            false,
            "Pending",
            format!("{holding} of {gateways} gateways serve it; not yet Lease {missing}"),
        ),
        Programmed::NoGateways => usual(&NO_GATEWAYS),
        Programmed::Unknown => usual(&UNKNOWN),
        Programmed::NotPublished { error: None } => usual(&NOT_PUBLISHED),
        Programmed::NotPublished { error: Some(error) } => verdict(
            false,
            "NotPublished",
            format!("it cannot be published to the gateways: {error}"),
        ),
        Programmed::BucketFull => verdict(
            false,
            "BucketFull",
            "its routing object is full: use patterns instead of long lists, here or in other subscriptions, or rename this one",
        ),
    }
}

fn condition(
    type_: &str,
    verdict: Verdict,
    generation: Option<i64>,
    old: Option<&Condition>,
    now: Timestamp,
) -> Condition {
    let status = status_of(verdict.status);
    let mut message = verdict.message;
    if message.len() > MAX_MESSAGE {
        message.truncate(message.floor_char_boundary(MAX_MESSAGE));
        message.push('…');
    }
    let unchanged = old.filter(|o| o.status == status);
    let since = unchanged.map_or(now, |o| o.last_transition_time.0);
    // Only the count of gateways differs, and it has not been long: not worth a write.
    if let Some(old) = unchanged
        && old.reason == "Pending"
        && verdict.reason == "Pending"
        && old.observed_generation == generation
        && now.duration_since(since) < WORTH_COUNTING
    {
        message.clone_from(&old.message);
    }
    Condition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: verdict.reason.to_owned(),
        message,
        observed_generation: generation,
        // The API server keeps whole seconds.
        last_transition_time: Time(Timestamp::from_second(since.as_second()).unwrap_or(since)),
    }
}

/// Writes the status if it is different. Returns whether it was.
pub(super) async fn update(
    context: &Context,
    subscription: &Subscription,
    before: Option<&DatastreamSubscriptionStatus>,
    status: &DatastreamSubscriptionStatus,
) -> Result<bool, kube::Error> {
    let is_said_by = |before: &DatastreamSubscriptionStatus| {
        before.observed_generation == status.observed_generation
            && status
                .conditions
                .iter()
                .all(|c| before.conditions.contains(c))
            && before.secret_name == status.secret_name
            && before.endpoint == status.endpoint
    };
    if before.is_some_and(is_said_by) {
        return Ok(false);
    }
    subscription
        .apply_status(&context.client, FIELD_MANAGER, status)
        .await?;
    context.metrics.statuses_written.inc();
    Ok(true)
}

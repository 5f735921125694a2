//! Says in the subscription's status what became of it: one patch, and only if something is different.

use datastream_crds::{DatastreamSubscription, DatastreamSubscriptionStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::{Patch, PatchParams};
use kube::{Api, Resource as _, ResourceExt as _};
use serde_json::json;

use crate::FIELD_MANAGER;
use crate::context::Context;
use crate::publish::Programmed;
use crate::validate::Invalid;

/// Progress among gateways is counted in the message only after it has taken this long: usually it takes milliseconds.
const WORTH_TELLING: SignedDuration = SignedDuration::from_secs(2);
/// A message may be longer than this only in an API server that does not check (32 KiB is its limit).
const MAX_MESSAGE: usize = 4096;

/// What a reconcile found out.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The spec is invalid.
    Invalid {
        /// Every field that is wrong.
        invalid: Invalid,
        /// The older generation that gateways go on serving.
        served: Option<i64>,
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
        /// How far the route has come.
        programmed: Programmed,
        /// Whether delivery is stopped.
        suspended: bool,
    },
}

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

/// The status that says this.
pub(crate) fn status(
    subscription: &DatastreamSubscription,
    outcome: &Outcome,
    endpoint: Option<&str>,
    now: Timestamp,
) -> DatastreamSubscriptionStatus {
    let before = subscription.status.clone().unwrap_or_default();
    let generation = subscription.metadata.generation;
    let (accepted, programmed, ready) = verdicts(outcome);
    let conditions = [
        ("Accepted", accepted),
        ("Programmed", programmed),
        ("Ready", ready),
    ];
    let conditions = conditions.map(|(type_, verdict)| {
        let old = before.conditions.iter().find(|c| c.type_ == type_);
        condition(type_, verdict, generation, old, now)
    });
    let secret_name = match outcome {
        Outcome::Accepted { secret, .. } => Some(secret.clone()),
        // Whatever key there was is still good.
        Outcome::Invalid { .. } => before.secret_name,
        Outcome::SecretConflict { .. } => None,
    };
    DatastreamSubscriptionStatus {
        observed_generation: generation,
        conditions: conditions.into(),
        secret_name,
        // Without a group of its own, a stream that goes on is still where it was.
        endpoint: endpoint.map(str::to_owned).or(before.endpoint),
        // Not the reconcile's to say.
        connection: None,
    }
}

fn verdicts(outcome: &Outcome) -> (Verdict, Verdict, Verdict) {
    match outcome {
        Outcome::Invalid { invalid, served } => {
            let goes_on = served.map_or_else(String::new, |generation| {
                format!("; the gateways go on with generation {generation}")
            });
            let message = format!("{invalid}{goes_on}");
            (
                verdict(false, "Invalid", message.clone()),
                verdict(false, "Invalid", "an invalid subscription is not published"),
                verdict(false, "Invalid", message),
            )
        }
        Outcome::SecretConflict { secret } => {
            let message = format!(
                "Secret {secret} exists and does not belong to this subscription: rename or delete one of them"
            );
            (
                verdict(false, "SecretConflict", message.clone()),
                verdict(
                    false,
                    "SecretConflict",
                    "without a stream key it is not published",
                ),
                verdict(false, "SecretConflict", message),
            )
        }
        Outcome::Accepted {
            secret,
            programmed,
            suspended,
        } => {
            let (done, reason, message) = programming(programmed);
            let ready = match (done, suspended) {
                (true, true) => verdict(
                    true,
                    "Suspended",
                    "every gateway refuses its stream, as asked",
                ),
                (true, false) => verdict(true, "Ready", "clients can connect"),
                (false, _) => verdict(false, reason, message.clone()),
            };
            (
                verdict(
                    true,
                    "Accepted",
                    format!("the stream key is in Secret {secret}"),
                ),
                verdict(done, reason, message),
                ready,
            )
        }
    }
}

fn programming(programmed: &Programmed) -> (bool, &'static str, String) {
    match programmed {
        // No number: it would change every status with every gateway.
        Programmed::Everywhere { .. } => {
            (true, "Programmed", "every live gateway serves it".to_owned())
        }
        Programmed::Waiting {
            holding,
            gateways,
            missing,
        } => (
            false,
            "Pending",
            format!("{holding} of {gateways} gateways serve it; not yet Lease {missing}"),
        ),
        Programmed::NoGateways => (
            false,
            "NoGateways",
            "no gateway is ready: look at the gateway pods".to_owned(),
        ),
        Programmed::NotPublished => (
            false,
            "Pending",
            "it is about to be published to the gateways".to_owned(),
        ),
        Programmed::BucketFull => (
            false,
            "BucketFull",
            "its routing object is full: use patterns instead of long lists, here or in other subscriptions, or rename this one".to_owned(),
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
    let status = if verdict.status { "True" } else { "False" };
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
        && now.duration_since(since) < WORTH_TELLING
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
pub(crate) async fn update(
    context: &Context,
    subscription: &DatastreamSubscription,
    status: &DatastreamSubscriptionStatus,
) -> Result<bool, kube::Error> {
    let before = subscription.status.clone().unwrap_or_default();
    let same = before.observed_generation == status.observed_generation
        && status
            .conditions
            .iter()
            .all(|c| before.conditions.contains(c))
        && before.secret_name == status.secret_name
        && before.endpoint == status.endpoint;
    if same {
        return Ok(false);
    }
    let namespace = subscription.namespace().unwrap_or_default();
    let api: Api<DatastreamSubscription> = Api::namespaced(context.client.clone(), &namespace);
    let patch = json!({
        "apiVersion": DatastreamSubscription::api_version(&()),
        "kind": DatastreamSubscription::kind(&()),
        // By uid: not for a new subscription of the same name.
        "metadata": { "uid": subscription.uid() },
        "status": status,
    });
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let name = subscription.name_any();
    api.patch_status(&name, &params, &Patch::Apply(&patch))
        .await?;
    context.metrics.statuses_written.inc();
    Ok(true)
}

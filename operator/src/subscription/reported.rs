//! The status of a subscription as it is kept: nearly all of them say the same.

use std::sync::Arc;

use datastream_crds::DatastreamSubscriptionStatus;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

use crate::conditions::{CONDITIONS, USUAL, Usual};
use crate::groups::Groups;
use crate::stream_secret::secret_name;

/// A status, without what it says of a connection.
#[derive(Clone, Debug)]
pub(super) enum Reported {
    /// There is none.
    Nothing,
    /// It is made of usual conditions.
    Usual {
        observed_generation: Option<i64>,
        conditions: [UsualCondition; CONDITIONS.len()],
        /// It names the Secret of the subscription.
        names_secret: bool,
        endpoint: Option<Arc<str>>,
    },
    /// Any other.
    Other(Box<DatastreamSubscriptionStatus>),
}

/// A condition of which only the time is its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct UsualCondition {
    verdict: &'static Usual,
    /// `lastTransitionTime`, in whole seconds.
    since: Timestamp,
}

impl Reported {
    /// A status of the subscription with this name.
    pub(super) fn of(status: DatastreamSubscriptionStatus, name: &str, groups: &Groups) -> Self {
        Self::usual(&status, &secret_name(name), groups)
            .unwrap_or_else(|| Self::Other(Box::new(status)))
    }

    fn usual(status: &DatastreamSubscriptionStatus, secret: &str, groups: &Groups) -> Option<Self> {
        let generation = status.observed_generation;
        let conditions: &[Condition; CONDITIONS.len()] = status.conditions.as_array()?;
        let names_secret = match &status.secret_name {
            Some(name) if name != secret => return None,
            name => name.is_some(),
        };
        let usual = |type_: &str, condition: &Condition| {
            let since = condition.last_transition_time.0;
            let is_usual = condition.type_ == type_
                && condition.observed_generation == generation
                && since.subsec_nanosecond() == 0;
            let verdict = USUAL
                .into_iter()
                .find(|usual| usual.is_said_by(condition, secret));
            let verdict = verdict.filter(|_| is_usual)?;
            Some(UsualCondition { verdict, since })
        };
        let [accepted, programmed, ready] = conditions;
        let [a, p, r] = CONDITIONS;
        Some(Self::Usual {
            observed_generation: generation,
            conditions: [usual(a, accepted)?, usual(p, programmed)?, usual(r, ready)?],
            names_secret,
            endpoint: status.endpoint.as_deref().map(|text| groups.endpoint(text)),
        })
    }

    /// The status that was kept, of the subscription with this name.
    pub(super) fn status(&self, name: &str) -> Option<DatastreamSubscriptionStatus> {
        match self {
            Self::Nothing => None,
            Self::Other(status) => Some(DatastreamSubscriptionStatus::clone(status)),
            Self::Usual {
                observed_generation,
                conditions,
                names_secret,
                endpoint,
            } => {
                let secret = secret_name(name);
                let conditions = CONDITIONS.iter().zip(conditions);
                let condition = |(type_, condition): (&&str, &UsualCondition)| Condition {
                    type_: (*type_).to_owned(),
                    status: condition.verdict.status().to_owned(),
                    reason: condition.verdict.reason.to_owned(),
                    message: condition.verdict.message(&secret),
                    observed_generation: *observed_generation,
                    last_transition_time: Time(condition.since),
                };
                Some(DatastreamSubscriptionStatus {
                    observed_generation: *observed_generation,
                    conditions: conditions.map(condition).collect(),
                    secret_name: names_secret.then_some(secret),
                    endpoint: endpoint.as_deref().map(str::to_owned),
                    connection: None,
                })
            }
        }
    }
}

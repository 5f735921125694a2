//! Limits on what a subscription may have at the cost of others.

use std::num::NonZeroU32;
use std::sync::Arc;

use datastream_routing::{Filter, KeyHash, SubscriptionId, cost};

/// The largest cost of filters, as `datastream_routing::cost` counts it, and the number of subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Budget of one subscription.
    pub subscription: u64,
    /// Budget of all subscriptions of a namespace that are in the same group of gateways.
    pub namespace: u64,
    /// Subscriptions that a namespace may have in a group of gateways, if that is limited.
    pub subscriptions: Option<NonZeroU32>,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            subscription: 8 << 10,
            namespace: 64 << 10,
            subscriptions: None,
        }
    }
}

/// The reason for which a subscription is not routed as it asks, although it is valid and has a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// Its stream key is that of another subscription.
    KeyInUse {
        /// The other one.
        by: SubscriptionId,
    },
    /// Access rules deny a part of what it asks for: which, and by which rule.
    Access(Box<str>),
    /// Its filters cost more than a subscription may.
    TooCostly {
        /// Their cost.
        cost: u64,
        /// The largest that it may be.
        limit: u64,
    },
    /// Its namespace has as many subscriptions as it may.
    TooMany {
        /// The number.
        limit: NonZeroU32,
    },
    /// Its filters cost more than its namespace has left.
    NamespaceTooCostly {
        /// Their cost.
        cost: u64,
        /// The cost of the namespace's other subscriptions.
        others: u64,
        /// The largest that both may be together.
        limit: u64,
    },
}

/// Something that subscriptions wait for until others give it up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Resource {
    /// A stream key.
    Key(KeyHash),
    /// The budget of a namespace.
    Budget(Arc<str>),
    /// One of the subscriptions that a namespace may have.
    Subscription(Arc<str>),
}

impl Denied {
    /// Returns the message for filters that cost too much, if that is the reason.
    pub fn cost(&self) -> Option<String> {
        const CHEAPER: &str = "use shorter lists, and patterns with text in one place (AC000*, *7, *led*) instead of several (AC*7)";
        match self {
            Self::KeyInUse { .. } | Self::Access(_) | Self::TooMany { .. } => None,
            Self::TooCostly { cost, limit } => Some(format!(
                "cost {cost}, but {limit} is the limit of a subscription: {CHEAPER}"
            )),
            Self::NamespaceTooCostly {
                cost,
                others,
                limit,
            } => Some(format!(
                "cost {cost}, and those of the namespace's other subscriptions {others}, but {limit} is the limit of a namespace: {CHEAPER}, here or there"
            )),
        }
    }
}

impl Budget {
    /// Returns why these filters are refused, whatever else is in their namespace.
    pub fn refuses(&self, filters: &[Filter]) -> Option<Denied> {
        self.check(cost(filters), 0)
    }

    /// Returns why filters of this cost are refused, beside others of the namespace.
    pub(super) fn check(&self, cost: u64, others: u64) -> Option<Denied> {
        if cost > self.subscription {
            let limit = self.subscription;
            return Some(Denied::TooCostly { cost, limit });
        }
        let limit = self.namespace;
        (cost.saturating_add(others) > limit).then_some(Denied::NamespaceTooCostly {
            cost,
            others,
            limit,
        })
    }
}

#[cfg(test)]
mod tests {
    use datastream_routing::{Field, Pattern};

    use super::*;

    #[test]
    fn a_fleet_costs_its_items_and_combinations_and_a_message_says_what_is_cheaper() {
        let numbered = |name: &str, items: usize| -> Vec<Pattern> {
            (0..items)
                .map(|n| Pattern::new(format!("{name}{n}")))
                .collect()
        };
        let fleet = |properties| {
            Filter::default()
                .with(Field::Dsn, numbered("AC", 256))
                .with(Field::PropertyName, numbered("p", properties))
        };
        let budget = Budget {
            subscription: 250,
            ..Budget::default()
        };
        assert_eq!(budget.refuses(&[fleet(4)]), None);
        let denied = budget.refuses(&[fleet(4), fleet(17)]).unwrap();
        let message = denied.cost().unwrap();
        assert!(
            message
                .starts_with("cost 538, but 250 is the limit of a subscription: use shorter lists"),
            "{message}"
        );
    }
}

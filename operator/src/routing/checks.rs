//! Checks of subscriptions against access rules, each made once, and not under the lock of the state where that can be avoided.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use datastream_protocol::event::EventTypes;
use datastream_routing::{Filter, Policy, SubscriptionId};

/// Results that are kept of a subscription: of what it asks for, and of what it had before.
const KEPT: usize = 2;

/// The results of checks, of subscriptions that there are.
#[derive(Debug, Default)]
pub(super) struct Checks {
    /// The result that was used last is the first.
    results: HashMap<SubscriptionId, Vec<Checked>>,
    /// Its seed is known to nobody: so nobody can make filters that pass for others.
    hasher: RandomState,
}

/// A check to make. It may take milliseconds.
#[derive(Debug)]
pub struct Check {
    id: SubscriptionId,
    policy: Arc<Policy>,
    event_types: EventTypes,
    filters: Vec<Filter>,
    asked: u64,
}

/// The result of a check.
#[derive(Debug)]
pub struct Checked {
    id: SubscriptionId,
    /// The policy itself: as long as it is here, no other one has its address.
    policy: Arc<Policy>,
    /// The hash of the event types and filters, which may be large.
    asked: u64,
    /// The part that is denied, if any is.
    denial: Option<Box<str>>,
}

impl Check {
    fn new(
        id: &SubscriptionId,
        policy: &Arc<Policy>,
        event_types: EventTypes,
        filters: &[Filter],
        asked: u64,
    ) -> Self {
        Self {
            id: id.clone(),
            policy: policy.clone(),
            event_types,
            filters: filters.to_vec(),
            asked,
        }
    }

    /// Makes the check.
    pub fn run(self) -> Checked {
        let denial = self.policy.check(self.event_types, &self.filters).err();
        Checked {
            denial: denial.map(|denial| denial.to_string().into_boxed_str()),
            id: self.id,
            policy: self.policy,
            asked: self.asked,
        }
    }
}

#[cfg(test)]
impl Check {
    /// The result that is said here, which no check has found.
    pub(super) fn answered(self, denial: &str) -> Checked {
        Checked {
            denial: Some(denial.into()),
            ..self.run()
        }
    }
}

impl Checked {
    fn is_of(&self, policy: &Arc<Policy>, asked: u64) -> bool {
        self.asked == asked && Arc::ptr_eq(&self.policy, policy)
    }
}

impl Checks {
    /// Returns what is denied of these event types and filters, if anything is. Checks it if the result is not known.
    pub(super) fn denial(
        &mut self,
        id: &SubscriptionId,
        policy: &Arc<Policy>,
        event_types: EventTypes,
        filters: &[Filter],
    ) -> Option<Box<str>> {
        let asked = self.hasher.hash_one((event_types, filters));
        let results = self.results.get_mut(id);
        let known = results.and_then(|results| {
            let index = results.iter().position(|r| r.is_of(policy, asked))?;
            results[..=index].rotate_right(1);
            results.first()
        });
        if let Some(known) = known {
            return known.denial.clone();
        }
        let checked = Check::new(id, policy, event_types, filters, asked).run();
        let denial = checked.denial.clone();
        self.remember(checked);
        denial
    }

    /// The check of these event types and filters, if the result is not known.
    pub(super) fn missing(
        &self,
        id: &SubscriptionId,
        policy: &Arc<Policy>,
        event_types: EventTypes,
        filters: &[Filter],
    ) -> Option<Check> {
        let asked = self.hasher.hash_one((event_types, filters));
        let mut known = self.results.get(id).into_iter().flatten();
        let is_known = known.any(|result| result.is_of(policy, asked));
        (!is_known).then(|| Check::new(id, policy, event_types, filters, asked))
    }

    /// Keeps a result.
    pub(super) fn remember(&mut self, checked: Checked) {
        let results = self.results.entry(checked.id.clone()).or_default();
        // Rules that are not in force any more are not to be kept for what was found by them.
        results.retain(|result| Arc::ptr_eq(&result.policy, &checked.policy));
        results.truncate(KEPT - 1);
        results.insert(0, checked);
    }

    /// Forgets the results of a subscription.
    pub(super) fn forget(&mut self, id: &SubscriptionId) {
        self.results.remove(id);
    }

    /// Forgets the results of all subscriptions but these.
    pub(super) fn keep(&mut self, is_kept: impl Fn(&SubscriptionId) -> bool) {
        self.results.retain(|id, _| is_kept(id));
    }
}

#[cfg(test)]
mod tests {
    use datastream_protocol::event::EventType;
    use datastream_routing::{Effect, Field};

    use super::*;

    fn policy() -> Arc<Policy> {
        Arc::new(Policy::new(vec![], Effect::Deny))
    }

    fn types() -> EventTypes {
        [EventType::Location].into_iter().collect()
    }

    fn filters(dsn: &str) -> Vec<Filter> {
        vec![Filter::default().with(Field::Dsn, [dsn.into()])]
    }

    /// Returns for each of these whether it is known.
    fn known(checks: &Checks, policy: &Arc<Policy>, dsns: &[&str]) -> Vec<bool> {
        let id = SubscriptionId::new("team", "leds");
        let known = |dsn: &&str| {
            checks
                .missing(&id, policy, types(), &filters(dsn))
                .is_none()
        };
        dsns.iter().map(known).collect()
    }

    #[test]
    fn the_results_of_two_forms_of_a_subscription_are_kept_until_it_goes() {
        let id = SubscriptionId::new("team", "leds");
        let (mut checks, policy) = (Checks::default(), policy());
        let check = |checks: &mut Checks, dsn: &str| {
            checks.denial(&id, &policy, types(), &filters(dsn)).unwrap();
        };
        check(&mut checks, "a");
        check(&mut checks, "b");
        assert_eq!(
            known(&checks, &policy, &["a", "b", "c"]),
            [true, true, false]
        );
        // The one that was not used for longer goes.
        check(&mut checks, "a");
        check(&mut checks, "c");
        assert_eq!(
            known(&checks, &policy, &["a", "b", "c"]),
            [true, false, true]
        );
        let other = EventType::ALL.into_iter().collect();
        assert!(checks.missing(&id, &policy, other, &filters("a")).is_some());
        assert_eq!(checks.results[&id].len(), KEPT);
        checks.keep(|kept| *kept == id);
        assert_eq!(checks.results.len(), 1);
        checks.forget(&id);
        assert!(checks.results.is_empty());
    }

    #[test]
    fn a_result_holds_for_the_policy_by_which_it_was_found() {
        let id = SubscriptionId::new("team", "leds");
        let (mut checks, before) = (Checks::default(), policy());
        let check = checks.missing(&id, &before, types(), &filters("a"));
        checks.remember(check.unwrap().run());
        assert_eq!(known(&checks, &before, &["a"]), [true]);
        assert_eq!(known(&checks, &policy(), &["a"]), [false]);
    }
}

//! Access rules of a namespace: which events its subscriptions may have, and whether a subscription asks for more.

use std::sync::Arc;

use datastream_protocol::event::{EventType, EventTypes};
use serde::{Deserialize, Serialize};

use crate::field::{Field, PerField};
use crate::filter::{EventFields, Filter};
use crate::pattern::Pattern;

/// Steps that a check may take before it gives up: lists are taken apart item by item where no rule allows all of them.
const MAX_STEPS: usize = 20_000;

/// Effect of a rule on the events that it selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Effect {
    /// They may be had.
    Allow,
    /// They may not, whatever other rules allow.
    Deny,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// The name of the resource.
    pub name: String,
    /// The effect on the events that it selects.
    pub effect: Effect,
    /// The types that it selects.
    pub event_types: EventTypes,
    /// The devices and properties that it selects; no list means any.
    pub filter: Filter,
}

/// The rules for one namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Policy {
    rules: Vec<Arc<Rule>>,
    /// The effect on events that no rule selects.
    otherwise: Effect,
}

/// Part of a subscription that is denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The rule that denies it; absent where no rule allows it.
    pub rule: Option<String>,
    /// The event type.
    pub event_type: EventType,
    /// Index of the filter; absent for a subscription without filters.
    pub filter: Option<usize>,
    /// The fields with what is asked for of them that is denied. A field that is not here may have any value.
    pub values: Vec<(Field, Pattern)>,
}

/// Events of one type whose fields match one of these patterns each; no pattern means any value, or none.
type Selection<'a> = PerField<&'a [Pattern]>;

impl Rule {
    fn selects(&self, event: &EventFields<'_>) -> bool {
        self.event_types.contains(event.event_type) && self.filter.matches(event)
    }

    fn lists(&self) -> Selection<'_> {
        PerField::from_fn(|field| self.filter.list(field))
    }
}

impl Policy {
    /// The policy of these rules.
    pub const fn new(rules: Vec<Arc<Rule>>, otherwise: Effect) -> Self {
        Self { rules, otherwise }
    }

    /// Returns whether an event may be had.
    pub fn permits(&self, event: &EventFields<'_>) -> bool {
        let mut allowed = self.otherwise == Effect::Allow;
        for rule in self.rules.iter().filter(|rule| rule.selects(event)) {
            match rule.effect {
                Effect::Deny => return false,
                Effect::Allow => allowed = true,
            }
        }
        allowed
    }

    /// Checks that everything that a subscription asks for may be had.
    ///
    /// # Errors
    /// The first part of it that may not.
    pub fn check(&self, event_types: EventTypes, filters: &[Filter]) -> Result<(), Denial> {
        let any = Filter::default();
        let numbered = filters
            .iter()
            .enumerate()
            .map(|(n, filter)| (Some(n), filter));
        let none = filters.is_empty().then_some((None, &any));
        let asked: Vec<_> = numbered.chain(none).collect();
        for event_type in EventType::ALL {
            if !event_types.contains(event_type) {
                continue;
            }
            for (filter_number, filter) in &asked {
                let lists: Selection<'_> = PerField::from_fn(|field| filter.list(field));
                let denied = |rule: Option<&Rule>, values| Denial {
                    rule: rule.map(|rule| rule.name.clone()),
                    event_type,
                    filter: *filter_number,
                    values,
                };
                // Of events without a property, this filter selects none.
                if !lists[Field::PropertyName].is_empty() && !event_type.has_property() {
                    continue;
                }
                for rule in self.of(Effect::Deny, event_type) {
                    if let Some(common) = overlap(&lists, &rule.lists()) {
                        return Err(denied(Some(rule), common));
                    }
                }
                if self.otherwise == Effect::Deny {
                    let allowing: Vec<_> = self.of(Effect::Allow, event_type).collect();
                    let mut steps = MAX_STEPS;
                    cover(lists, &allowing, &mut steps).map_err(|values| denied(None, values))?;
                }
            }
        }
        Ok(())
    }

    fn of(&self, effect: Effect, event_type: EventType) -> impl Iterator<Item = &Rule> {
        let rules = self.rules.iter().map(AsRef::as_ref);
        rules.filter(move |rule| {
            // A rule on properties selects no events that have none.
            let on_properties = !rule.filter.list(Field::PropertyName).is_empty();
            rule.effect == effect
                && rule.event_types.contains(event_type)
                && (event_type.has_property() || !on_properties)
        })
    }
}

/// A pattern of each list on both sides that overlap, if there are such in all fields.
fn overlap(asked: &Selection<'_>, rule: &Selection<'_>) -> Option<Vec<(Field, Pattern)>> {
    let mut common = vec![];
    for field in Field::ALL {
        let (ours, theirs) = (asked[field], rule[field]);
        if ours.is_empty() || theirs.is_empty() {
            continue;
        }
        let is_denied = |p: &&Pattern| theirs.iter().any(|q| p.overlaps(q));
        common.push((field, ours.iter().find(is_denied)?.clone()));
    }
    Some(common)
}

/// Checks that these rules together cover a selection.
///
/// # Errors
/// A part of it that they do not cover, or that is too much to look at.
fn cover(
    asked: Selection<'_>,
    rules: &[&Rule],
    steps: &mut usize,
) -> Result<(), Vec<(Field, Pattern)>> {
    let part = || {
        let first = |field| Some((field, asked[field].first()?.clone()));
        Field::ALL.into_iter().filter_map(first).collect()
    };
    if *steps == 0 {
        return Err(part());
    }
    *steps -= 1;
    // Those that have nothing to do with it are out of the way further down.
    let rules: Vec<_> = rules
        .iter()
        .copied()
        .filter(|rule| overlap(&asked, &rule.lists()).is_some())
        .collect();
    if rules.iter().any(|rule| covers(&rule.lists(), &asked)) {
        return Ok(());
    }
    let divisible = Field::ALL.into_iter().find(|field| asked[*field].len() > 1);
    let Some(field) = divisible.filter(|_| !rules.is_empty()) else {
        return Err(part());
    };
    for item in asked[field] {
        let mut one = asked;
        one[field] = std::slice::from_ref(item);
        cover(one, &rules, steps)?;
    }
    Ok(())
}

/// Returns whether a rule selects all of it.
fn covers(rule: &Selection<'_>, asked: &Selection<'_>) -> bool {
    Field::ALL.into_iter().all(|field| {
        let (ours, theirs) = (asked[field], rule[field]);
        let is_covered = |p: &Pattern| theirs.iter().any(|q| q.covers(p));
        theirs.is_empty() || (!ours.is_empty() && ours.iter().all(is_covered))
    })
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;
    use proptest::sample::{select, subsequence};

    use super::*;

    fn lists() -> impl Strategy<Value = Filter> {
        let list = || vec("[ab*]{1,3}".prop_map(Pattern::new), 0..3);
        (list(), list(), list(), list()).prop_map(|(a, b, c, d)| {
            let mut lists = [a, b, c, d].into_iter();
            Filter::new(PerField::from_fn(|_| lists.next().unwrap_or_default()))
        })
    }

    fn types() -> impl Strategy<Value = EventTypes> {
        subsequence(EventType::ALL.to_vec(), 1..=5).prop_map(|types| types.into_iter().collect())
    }

    fn policy() -> impl Strategy<Value = Policy> {
        let effect = || select(vec![Effect::Allow, Effect::Deny]);
        let rule = (effect(), types(), lists()).prop_map(|(effect, event_types, filter)| {
            let name = format!("{effect:?}");
            Arc::new(Rule {
                name,
                effect,
                event_types,
                filter,
            })
        });
        (vec(rule, 0..5), effect()).prop_map(|(rules, otherwise)| Policy::new(rules, otherwise))
    }

    /// An event, whose property is there if its type has one.
    type Event = (EventType, [Option<String>; 4]);

    fn event() -> impl Strategy<Value = Event> {
        let value = || option::weighted(0.9, "[ab]{0,3}");
        let types = select(EventType::ALL.to_vec());
        (types, [value(), value(), value(), value()]).prop_map(|(event_type, mut values)| {
            if !event_type.has_property() {
                values[Field::PropertyName as usize] = None;
            }
            (event_type, values)
        })
    }

    fn fields((event_type, values): &Event) -> EventFields<'_> {
        EventFields {
            event_type: *event_type,
            values: PerField::from_fn(|field| values[field as usize].as_deref()),
        }
    }

    fn wants(event_types: EventTypes, filters: &[Filter], event: &EventFields<'_>) -> bool {
        event_types.contains(event.event_type)
            && (filters.is_empty() || filters.iter().any(|filter| filter.matches(event)))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// What was checked is never denied.
        #[test]
        fn a_subscription_that_is_accepted_gets_no_event_that_is_denied(
            policy in policy(), event_types in types(), filters in vec(lists(), 0..3), events in vec(event(), 64),
        ) {
            if policy.check(event_types, &filters).is_ok() {
                for event in &events {
                    let event = fields(event);
                    prop_assert!(!wants(event_types, &filters, &event) || policy.permits(&event), "{event:?}");
                }
            }
        }

        /// The part that is named is one that the subscription asks for, and one that the rules do not let it have.
        #[test]
        fn what_is_denied_is_asked_for_and_denied(policy in policy(), event_types in types(), filters in vec(lists(), 0..3)) {
            if let Err(denial) = policy.check(event_types, &filters) {
                prop_assert!(event_types.contains(denial.event_type));
                let any = Filter::default();
                let filter = denial.filter.map_or(&any, |number| &filters[number]);
                for (field, pattern) in &denial.values {
                    prop_assert!(filter.list(*field).contains(pattern));
                }
                if let Some(name) = &denial.rule {
                    prop_assert_eq!(name, "Deny");
                }
            }
        }

        #[test]
        fn a_rule_that_denies_wins_whatever_the_order(policy in policy(), event in event()) {
            let event = fields(&event);
            let mut reversed = policy.rules.clone();
            reversed.reverse();
            let reversed = Policy::new(reversed, policy.otherwise);
            prop_assert_eq!(policy.permits(&event), reversed.permits(&event));
            let denied = policy.rules.iter().any(|r| r.effect == Effect::Deny && r.selects(&event));
            prop_assert!(!denied || !policy.permits(&event));
        }
    }

    fn rule(effect: Effect, oem_ids: &[&str], models: &[&str]) -> Arc<Rule> {
        let patterns = |items: &[&str]| items.iter().map(|i| Pattern::new(*i)).collect::<Vec<_>>();
        Arc::new(Rule {
            name: format!("{effect:?} {}", oem_ids.join(",")),
            effect,
            event_types: EventType::ALL.into_iter().collect(),
            filter: Filter::default()
                .with(Field::OemId, patterns(oem_ids))
                .with(Field::OemModel, patterns(models)),
        })
    }

    fn asks(oem_ids: &[&str], models: &[&str]) -> Vec<Filter> {
        vec![rule(Effect::Allow, oem_ids, models).filter.clone()]
    }

    fn check(policy: &Policy, filters: &[Filter]) -> Result<(), Denial> {
        policy.check([EventType::Location].into_iter().collect(), filters)
    }

    #[test]
    fn several_rules_together_allow_what_none_allows_alone() {
        let rules = vec![
            rule(Effect::Allow, &["a"], &["x*"]),
            rule(Effect::Allow, &["b"], &["x1", "y"]),
        ];
        let policy = Policy::new(rules, Effect::Deny);
        check(&policy, &asks(&["a", "b"], &["x1"])).unwrap();
        let denial = check(&policy, &asks(&["a", "b"], &["x1", "y"])).unwrap_err();
        assert_eq!(denial.rule, None);
        assert_eq!(
            denial.values,
            [(Field::OemModel, "y".into()), (Field::OemId, "a".into())]
        );
        assert!(check(&policy, &asks(&["a", "b"], &["x*"])).is_err());
        assert!(check(&policy, &asks(&["a"], &[])).is_err(), "any model");
        assert!(check(&policy, &[]).is_err(), "everything");
    }

    #[test]
    fn a_denial_names_the_rule_and_the_part() {
        let rules = vec![
            rule(Effect::Allow, &[], &[]),
            rule(Effect::Deny, &["secret*"], &[]),
        ];
        let policy = Policy::new(rules, Effect::Deny);
        check(&policy, &asks(&["a", "b*"], &[])).unwrap();
        let denial = check(&policy, &asks(&["a", "s*"], &["m"])).unwrap_err();
        assert_eq!(denial.rule.as_deref(), Some("Deny secret*"));
        assert_eq!(
            (denial.filter, denial.event_type),
            (Some(0), EventType::Location)
        );
        assert_eq!(denial.values, [(Field::OemId, "s*".into())]);
    }
}

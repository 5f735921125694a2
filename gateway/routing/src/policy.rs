//! Access rules of a namespace: which events its subscriptions may have, and whether a subscription asks for more.

use std::fmt;
use std::sync::Arc;

use datastream_protocol::event::{EventType, EventTypes};
use serde::{Deserialize, Serialize};

use crate::field::{Field, PerField};
use crate::filter::{EventFields, Filter};
use crate::pattern::Pattern;

/// Work that a check may do before it gives up, in some nanoseconds: whoever writes subscriptions decides how many patterns meet.
const MAX_WORK: u64 = 20_000_000;
/// The work that a pair of exact values counts for. Whoever has access by serial numbers has many of them on both sides.
const EXACT: u64 = 1;
/// The same of an exact value and a pattern with one `*`: only the beginning and the end of the value are compared.
const ENDS: u64 = 32;
/// The same of a pair of bytes of two patterns.
const BYTES: u64 = 4;

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

/// Part of what a filter selects: a pattern for some fields, and any value of the others.
pub type Part = Vec<(Field, Pattern)>;

/// Reason why a part of a subscription is denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DenialCause {
    /// A rule denies it.
    Rule {
        /// Its name.
        name: String,
        /// A pattern of each of its lists that meets what is asked for. A field that is not here may have any value.
        denied: Part,
    },
    /// No rule allows it.
    NoRule,
    /// It takes too much to find out.
    TooMuch,
}

/// Part of a subscription that is denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The reason.
    pub cause: DenialCause,
    /// The event type.
    pub event_type: EventType,
    /// Index of the filter; absent for a subscription without filters.
    pub filter: Option<usize>,
    /// The fields with what is asked for of them that is denied. A field that is not here may have any value.
    pub values: Part,
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.filter.map(|number| format!("spec.filters[{number}]"));
        let event_type = self.event_type;
        match &self.cause {
            DenialCause::TooMuch => {
                let path = path.as_deref().unwrap_or("spec");
                write!(
                    f,
                    "it takes too much to find out whether the access rules allow {path}: use fewer patterns with a *"
                )
            }
            DenialCause::Rule { name, denied } => {
                let denied = Devices(denied);
                write!(
                    f,
                    "access rule {name} denies {event_type} events of {denied}"
                )?;
                match path {
                    Some(path) => write!(f, ", which {path} may match"),
                    None => f.write_str(", which a subscription without filters asks for"),
                }
            }
            DenialCause::NoRule => {
                let asked = Devices(&self.values);
                write!(f, "no access rule allows {event_type} events of {asked}")?;
                path.map_or(Ok(()), |path| write!(f, " ({path})"))
            }
        }
    }
}

/// A part of a selection in words.
struct Devices<'a>(&'a Part);

impl fmt::Display for Devices<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("any device");
        }
        for (n, (field, pattern)) in self.0.iter().enumerate() {
            let separator = if n == 0 { "" } else { ", " };
            write!(f, "{separator}{} {pattern}", field.list_name())?;
        }
        Ok(())
    }
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
        let numbered = filters.iter().enumerate();
        let numbered = numbered.map(|(number, filter)| (Some(number), filter));
        let asked = numbered.chain(filters.is_empty().then_some((None, &any)));
        let mut work = Work(MAX_WORK);
        for (number, filter) in asked {
            let lists: Selection<'_> = PerField::from_fn(|field| filter.list(field));
            // Most rules are about all types: what was found by the same ones is not found again.
            let mut seen: Vec<[Vec<&Rule>; 2]> = vec![];
            for event_type in EventType::ALL {
                // Of events without a property, a filter on properties selects none.
                let is_asked = event_types.contains(event_type)
                    && (lists[Field::PropertyName].is_empty() || event_type.has_property());
                let rules = [Effect::Deny, Effect::Allow].map(|e| self.of(e, event_type));
                if !is_asked || seen.iter().any(|seen| are_same(seen, &rules)) {
                    continue;
                }
                self.check_one(&lists, &rules, &mut work)
                    .map_err(|(cause, values)| Denial {
                        cause,
                        event_type,
                        filter: number,
                        values,
                    })?;
                seen.push(rules);
            }
        }
        Ok(())
    }

    fn check_one(
        &self,
        lists: &Selection<'_>,
        [denying, allowing]: &[Vec<&Rule>; 2],
        work: &mut Work,
    ) -> Result<(), (DenialCause, Part)> {
        let exhausted = |Exhausted| (DenialCause::TooMuch, vec![]);
        for rule in denying {
            let theirs = rule.lists();
            let common = overlap(lists, &theirs, work).map_err(exhausted)?;
            if let Some(common) = common {
                let name = rule.name.clone();
                let denied = meeting(&theirs, &common);
                return Err((DenialCause::Rule { name, denied }, common));
            }
        }
        if self.otherwise == Effect::Allow {
            return Ok(());
        }
        let uncovered = uncovered(*lists, allowing, work).map_err(exhausted)?;
        uncovered.map_or(Ok(()), |part| Err((DenialCause::NoRule, part)))
    }

    /// The rules with an effect on events of a type.
    fn of(&self, effect: Effect, event_type: EventType) -> Vec<&Rule> {
        let rules = self.rules.iter().map(AsRef::as_ref);
        let rules = rules.filter(|rule| {
            // A rule on properties selects no events that have none.
            let on_properties = !rule.filter.list(Field::PropertyName).is_empty();
            rule.effect == effect
                && rule.event_types.contains(event_type)
                && (event_type.has_property() || !on_properties)
        });
        rules.collect()
    }
}

fn are_same(a: &[Vec<&Rule>; 2], b: &[Vec<&Rule>; 2]) -> bool {
    a.iter()
        .zip(b)
        .all(|(a, b)| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| std::ptr::eq(*a, *b)))
}

/// Work that a check may still do.
struct Work(u64);

/// A check has done all the work that it may.
struct Exhausted;

impl Work {
    fn spend(&mut self, p: &Pattern, q: &Pattern) -> Result<(), Exhausted> {
        let length = |p: &Pattern| p.as_str().len() as u64 + 1;
        let pairs = match (p.is_exact(), q.is_exact()) {
            // One comparison, which most end at its first byte.
            (true, true) => EXACT,
            (false, false) => BYTES * length(p) * length(q),
            _ if p.stars() + q.stars() == 1 => ENDS,
            // Text is found at several bytes a step.
            _ => ENDS + length(p) + length(q),
        };
        self.0 = self.0.checked_sub(pairs).ok_or(Exhausted)?;
        Ok(())
    }

    /// Returns whether a pattern overlaps any of these.
    fn overlaps_any(&mut self, p: &Pattern, patterns: &[Pattern]) -> Result<bool, Exhausted> {
        self.any(p, patterns, |q| p.overlaps(q))
    }

    /// Returns whether any of these covers a pattern.
    fn is_covered(&mut self, p: &Pattern, by: &[Pattern]) -> Result<bool, Exhausted> {
        self.any(p, by, |q| q.covers(p))
    }

    fn any(
        &mut self,
        p: &Pattern,
        patterns: &[Pattern],
        test: impl Fn(&Pattern) -> bool,
    ) -> Result<bool, Exhausted> {
        let is_exact = p.is_exact();
        for q in patterns {
            self.spend(p, q)?;
            let found = if is_exact && q.is_exact() {
                p == q
            } else {
                test(q)
            };
            if found {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// A pattern of each list of a rule: one that overlaps what is asked for of the field, if anything is.
fn meeting(rule: &Selection<'_>, asked: &Part) -> Part {
    let of = |field: Field| {
        let asked = asked.iter().find(|(of, _)| *of == field);
        let meets = |p: &&Pattern| asked.is_none_or(|(_, asked)| asked.overlaps(p));
        Some((field, rule[field].iter().find(meets)?.clone()))
    };
    Field::ALL.into_iter().filter_map(of).collect()
}

/// A pattern of each list on both sides that overlap, if there are such in all fields.
fn overlap(
    asked: &Selection<'_>,
    rule: &Selection<'_>,
    work: &mut Work,
) -> Result<Option<Part>, Exhausted> {
    let mut common = vec![];
    for field in Field::ALL {
        let (ours, theirs) = (asked[field], rule[field]);
        if ours.is_empty() || theirs.is_empty() {
            continue;
        }
        let mut found = None;
        for pattern in ours {
            if work.overlaps_any(pattern, theirs)? {
                found = Some(pattern);
                break;
            }
        }
        let Some(pattern) = found else {
            return Ok(None);
        };
        common.push((field, pattern.clone()));
    }
    Ok(Some(common))
}

/// A part of a selection that these rules together do not cover, if there is one.
fn uncovered(
    asked: Selection<'_>,
    rules: &[&Rule],
    work: &mut Work,
) -> Result<Option<Part>, Exhausted> {
    let mut near = vec![];
    for rule in rules {
        // Those that have nothing to do with it are out of the way further down.
        if overlap(&asked, &rule.lists(), work)?.is_some() {
            if covers(&rule.lists(), &asked, work)? {
                return Ok(None);
            }
            near.push(*rule);
        }
    }
    let divisible = Field::ALL.into_iter().find(|field| asked[*field].len() > 1);
    let Some(field) = divisible.filter(|_| !near.is_empty()) else {
        let first = |field| Some((field, asked[field].first()?.clone()));
        return Ok(Some(Field::ALL.into_iter().filter_map(first).collect()));
    };
    for item in asked[field] {
        let mut one = asked;
        one[field] = std::slice::from_ref(item);
        if let Some(part) = uncovered(one, &near, work)? {
            return Ok(Some(part));
        }
    }
    Ok(None)
}

/// Returns whether a rule selects all of it.
fn covers(rule: &Selection<'_>, asked: &Selection<'_>, work: &mut Work) -> Result<bool, Exhausted> {
    for field in Field::ALL {
        let (ours, theirs) = (asked[field], rule[field]);
        if theirs.is_empty() {
            continue;
        }
        if ours.is_empty() {
            return Ok(false);
        }
        for pattern in ours {
            if !work.is_covered(pattern, theirs)? {
                return Ok(false);
            }
        }
    }
    Ok(true)
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
                if let DenialCause::Rule { name, .. } = &denial.cause {
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
        assert_eq!(denial.cause, DenialCause::NoRule);
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
        assert_eq!(
            denial.to_string(),
            "access rule Deny secret* denies location events of oemIds secret*, which spec.filters[0] may match"
        );
        let denial = check(&policy, &[]).unwrap_err();
        assert_eq!(
            denial.to_string(),
            "access rule Deny secret* denies location events of oemIds secret*, which a subscription without filters asks for"
        );
        let denial = check(&Policy::new(vec![], Effect::Deny), &asks(&["a"], &[])).unwrap_err();
        assert_eq!(
            denial.to_string(),
            "no access rule allows location events of oemIds a (spec.filters[0])"
        );
    }

    #[test]
    fn a_check_that_takes_too_much_is_given_up_and_denied() {
        let patterns = |end: &str| -> Vec<String> {
            let many = (0..256).map(|n| format!("*{n:03}{}*{end}", "a".repeat(56)));
            many.collect()
        };
        let asked = |patterns: Vec<String>| {
            let patterns = patterns.iter().map(|p| Pattern::new(p.as_str()));
            Filter::default().with(Field::Dsn, patterns)
        };
        let rule = Arc::new(Rule {
            name: "large".to_owned(),
            effect: Effect::Deny,
            event_types: EventType::ALL.into_iter().collect(),
            filter: asked(patterns("x")),
        });
        let policy = Policy::new(vec![rule], Effect::Allow);
        let denial = check(&policy, &[asked(patterns("y"))]).unwrap_err();
        assert_eq!(denial.cause, DenialCause::TooMuch);
        assert!(denial.to_string().contains("spec.filters[0]: use fewer"));
        // As many exact values are no trouble.
        let exact = (0..256).map(|n| format!("AC{n:060}")).collect();
        check(&policy, &[asked(exact)]).unwrap();
    }
}

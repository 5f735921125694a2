//! The rules that hold for each namespace, by its labels. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use datastream_crds::{DatastreamAccessRuleSpec, Effect};
use datastream_protocol::event;
use datastream_routing::{self as routing, AccessRules, Filter, Rule};

use super::AccessDefault;
use crate::spec;

/// Labels, as the metadata of a namespace has them.
pub(super) type Labels = BTreeMap<String, String>;

/// Returns the rules, by their names, with the namespaces, by their names, that each selects.
pub fn resolve<'a>(
    rules: impl Iterator<Item = (&'a str, &'a DatastreamAccessRuleSpec)>,
    namespaces: impl Iterator<Item = (&'a str, &'a BTreeMap<String, String>)> + Clone,
    default: AccessDefault,
) -> AccessRules {
    let mut resolved = AccessRules::open();
    for (name, spec) in rules {
        let first = resolved.rules.len();
        resolved.rules.extend(rules_of(name, spec).map(Arc::new));
        for (namespace, labels) in namespaces.clone() {
            let indices = resolved.namespaces.entry(namespace.to_owned()).or_default();
            if spec.namespaces.matches(labels) {
                indices.extend(first..resolved.rules.len());
            }
        }
    }
    let is_allowed = match default {
        AccessDefault::UntilRules => resolved.rules.is_empty(),
        AccessDefault::Allow => true,
        AccessDefault::Deny => false,
    };
    if !is_allowed {
        resolved.otherwise = routing::Effect::Deny;
    }
    resolved
}

/// One rule for each filter of the resource.
fn rules_of<'a>(
    name: &'a str,
    spec: &'a DatastreamAccessRuleSpec,
) -> impl Iterator<Item = Rule> + use<'a> {
    let effect = match spec.effect {
        Effect::Allow => routing::Effect::Allow,
        Effect::Deny => routing::Effect::Deny,
    };
    let event_types: event::EventTypes = if spec.event_types.is_empty() {
        event::EventType::ALL.into_iter().collect()
    } else {
        spec.event_types
            .iter()
            .map(|t| spec::event_type(*t))
            .collect()
    };
    let filters = spec.filters.iter().map(spec::filter);
    let any = spec.filters.is_empty().then(Filter::default);
    filters.chain(any).map(move |filter| Rule {
        name: name.to_owned(),
        effect,
        event_types,
        filter,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rules(specs: &serde_json::Value) -> BTreeMap<String, DatastreamAccessRuleSpec> {
        serde_json::from_value(specs.clone()).unwrap()
    }

    fn resolved(specs: &serde_json::Value, default: AccessDefault) -> AccessRules {
        let rules = rules(specs);
        let namespaces: BTreeMap<String, Labels> = serde_json::from_value(json!({
            "a": {"team": "lights"},
            "b": {"team": "heating"},
        }))
        .unwrap();
        resolve(
            rules.iter().map(|(name, spec)| (name.as_str(), spec)),
            namespaces
                .iter()
                .map(|(name, labels)| (name.as_str(), labels)),
            default,
        )
    }

    #[test]
    fn each_namespace_has_the_rules_that_select_it_and_each_filter_is_a_rule() {
        let resolved = resolved(
            &json!({
                "all": {"effect": "Allow"},
                "lights": {"effect": "Deny", "namespaces": {"matchLabels": {"team": "lights"}}, "eventTypes": ["location"],
                    "filters": [{"oemIds": ["x"]}, {"dsns": ["A*"]}]},
            }),
            AccessDefault::UntilRules,
        );
        let names: Vec<_> = resolved
            .rules
            .iter()
            .map(|rule| rule.name.as_str())
            .collect();
        assert_eq!(names, ["all", "lights", "lights"]);
        assert_eq!(resolved.namespaces["a"], [0, 1, 2]);
        assert_eq!(resolved.namespaces["b"], [0]);
        assert_eq!(resolved.rules[0].event_types.iter().count(), 5);
        assert_eq!(resolved.rules[1].event_types.iter().count(), 1);
        assert_eq!(resolved.otherwise, routing::Effect::Deny);
    }

    #[test]
    fn what_no_rule_selects_is_allowed_until_there_is_a_rule_unless_it_is_set_otherwise() {
        let none = json!({});
        assert_eq!(
            resolved(&none, AccessDefault::UntilRules),
            AccessRules::open()
        );
        let deny = resolved(&none, AccessDefault::Deny).otherwise;
        assert_eq!(deny, routing::Effect::Deny);
        let one = json!({"x": {"effect": "Deny", "eventTypes": ["location"]}});
        let otherwise = |default| resolved(&one, default).otherwise;
        assert_eq!(otherwise(AccessDefault::UntilRules), routing::Effect::Deny);
        assert_eq!(otherwise(AccessDefault::Allow), routing::Effect::Allow);
    }
}

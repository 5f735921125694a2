//! The codec of the object with the access rules of a group: the rules, and which of them hold for which namespace.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::policy::{Effect, Policy, Rule};

/// The newest version of the format that this build reads. Any change of meaning raises it.
pub const ACCESS_RULES_VERSION: u32 = 1;

/// The access rules of a group, resolved: namespaces by their names, not by their labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRules {
    /// The effect on events that no rule of a namespace selects.
    pub otherwise: Effect,
    /// The rules.
    pub rules: Vec<Arc<Rule>>,
    /// Indices of the rules for each namespace that there is. As long as there are rules, no other one may have anything: which of
    /// them hold for it is not known yet.
    pub namespaces: BTreeMap<String, Vec<usize>>,
}

/// Reason why an object with access rules was refused. It is refused whole: the last good one stays in force.
#[derive(Debug, thiserror::Error)]
pub enum AccessRulesError {
    /// The content is not JSON, or not of the format's shape.
    #[error("no access rules: {0}")]
    Malformed(#[from] serde_json::Error),
    /// The object was written by a newer operator.
    #[error(
        "format version {found}, but this gateway reads versions up to {ACCESS_RULES_VERSION}: upgrade the gateways first"
    )]
    Version {
        /// The version that the object names.
        found: u32,
    },
    /// A rule that is not there.
    #[error("a set has rule {index}, of {rules}")]
    NoSuchRule {
        /// The index of the rule.
        index: usize,
        /// Number of rules.
        rules: usize,
    },
    /// A namespace with a set of rules that is not there.
    #[error("namespace {namespace} has the set of rules {set}, which is missing")]
    NoSuchSet {
        /// The namespace.
        namespace: String,
        /// The index of the set.
        set: usize,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Encoded {
    version: u32,
    otherwise: Effect,
    rules: Vec<Arc<Rule>>,
    /// Sets of rules that hold for namespaces, each once: there are far fewer than namespaces.
    sets: Vec<Vec<usize>>,
    /// Index of the set of each namespace.
    namespaces: BTreeMap<String, usize>,
}

#[derive(Deserialize)]
struct Header {
    version: u32,
}

impl AccessRules {
    /// The bytes of the object: canonical, so that equal rules have equal bytes.
    ///
    /// # Errors
    /// None in practice: the keys of its maps are strings.
    pub fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut numbers: BTreeMap<&Vec<usize>, usize> = BTreeMap::new();
        for set in self.namespaces.values() {
            numbers.entry(set).or_default();
        }
        let mut sets = vec![];
        for (set, number) in &mut numbers {
            *number = sets.len();
            sets.push((*set).clone());
        }
        let of = |(namespace, set): (&String, &Vec<usize>)| (namespace.clone(), numbers[set]);
        let namespaces = self.namespaces.iter().map(of).collect();
        serde_json::to_vec(&Encoded {
            version: ACCESS_RULES_VERSION,
            otherwise: self.otherwise,
            rules: self.rules.clone(),
            sets,
            namespaces,
        })
    }

    /// Reads an object, all or nothing.
    ///
    /// # Errors
    /// The reason why it is refused.
    pub fn decode(bytes: &[u8]) -> Result<Self, AccessRulesError> {
        // The version first: a later format may have any shape.
        let Header { version } = serde_json::from_slice(bytes)?;
        if !(1..=ACCESS_RULES_VERSION).contains(&version) {
            return Err(AccessRulesError::Version { found: version });
        }
        let Encoded {
            otherwise,
            rules,
            sets,
            namespaces,
            ..
        } = serde_json::from_slice(bytes)?;
        let indices = sets.iter().flatten();
        if let Some(index) = indices.copied().find(|index| *index >= rules.len()) {
            let rules = rules.len();
            return Err(AccessRulesError::NoSuchRule { index, rules });
        }
        let of = |(namespace, set): (String, usize)| match sets.get(set) {
            Some(rules) => Ok((namespace, rules.clone())),
            None => Err(AccessRulesError::NoSuchSet { namespace, set }),
        };
        let namespaces = namespaces.into_iter().map(of);
        let namespaces = namespaces.collect::<Result<_, _>>()?;
        Ok(Self {
            otherwise,
            rules,
            namespaces,
        })
    }

    /// Everything may be had.
    pub const fn open() -> Self {
        Self {
            otherwise: Effect::Allow,
            rules: vec![],
            namespaces: BTreeMap::new(),
        }
    }

    /// The policy of a namespace; none where everything may be had.
    pub fn policy(&self, namespace: &str) -> Option<Policy> {
        let indices = self.namespaces.get(namespace);
        let is_known = indices.is_some() || self.rules.is_empty();
        let rules = indices.into_iter().flatten();
        let rules: Vec<_> = rules
            .filter_map(|index| self.rules.get(*index).cloned())
            .collect();
        let otherwise = if is_known {
            self.otherwise
        } else {
            Effect::Deny
        };
        let is_open =
            otherwise == Effect::Allow && rules.iter().all(|rule| rule.effect == Effect::Allow);
        (!is_open).then(|| Policy::new(rules, otherwise))
    }
}

#[cfg(test)]
mod tests {
    use datastream_protocol::event::EventType;

    use super::*;
    use crate::filter::Filter;

    fn rules(otherwise: Effect) -> AccessRules {
        let rule = |name: &str, effect| {
            Arc::new(Rule {
                name: name.to_owned(),
                effect,
                event_types: [EventType::Location].into_iter().collect(),
                filter: Filter::default(),
            })
        };
        AccessRules {
            otherwise,
            rules: vec![rule("a", Effect::Allow), rule("b", Effect::Deny)],
            namespaces: BTreeMap::from([
                ("both".to_owned(), vec![0, 1]),
                ("one".to_owned(), vec![0]),
            ]),
        }
    }

    #[test]
    fn rules_are_read_back_as_written() {
        for otherwise in [Effect::Allow, Effect::Deny] {
            let rules = rules(otherwise);
            assert_eq!(
                AccessRules::decode(&rules.encode().unwrap()).unwrap(),
                rules
            );
        }
    }

    #[test]
    fn an_object_from_the_future_or_with_a_rule_that_is_missing_is_refused() {
        let error = |text: &str| {
            AccessRules::decode(text.as_bytes())
                .unwrap_err()
                .to_string()
        };
        assert!(error(r#"{"version":2}"#).contains("upgrade the gateways first"));
        let missing = r#"{"version":1,"otherwise":"deny","rules":[],"sets":[[0]],"namespaces":{}}"#;
        assert_eq!(error(missing), "a set has rule 0, of 0");
        let missing =
            r#"{"version":1,"otherwise":"deny","rules":[],"sets":[],"namespaces":{"a":3}}"#;
        assert_eq!(
            error(missing),
            "namespace a has the set of rules 3, which is missing"
        );
        assert!(
            error(r#"{"version":1,"otherwise":"maybe","rules":[],"sets":[],"namespaces":{}}"#)
                .starts_with("no access rules")
        );
    }

    #[test]
    fn a_namespace_without_rules_has_what_is_so_otherwise_and_an_unknown_one_nothing() {
        let nothing = Some(Policy::new(vec![], Effect::Deny));
        let mut rules = rules(Effect::Allow);
        rules.namespaces.insert("none".to_owned(), vec![]);
        assert_eq!(rules.policy("none"), None);
        assert_eq!(rules.policy("one"), None);
        assert!(rules.policy("both").is_some());
        assert_eq!(rules.policy("unknown"), nothing);
        rules.otherwise = Effect::Deny;
        assert_eq!(rules.policy("none"), nothing);
        assert_eq!(AccessRules::open().policy("unknown"), None);
        let closed = AccessRules {
            otherwise: Effect::Deny,
            ..AccessRules::open()
        };
        assert_eq!(closed.policy("unknown"), nothing);
    }
}

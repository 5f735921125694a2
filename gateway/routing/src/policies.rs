//! The policies of namespaces, each made once from the access rules in force.

use std::collections::HashMap;
use std::sync::Arc;

use crate::access_rules::AccessRules;
use crate::policy::Policy;

/// Policies by namespace. Before there are access rules, everything may be had.
#[derive(Debug)]
pub struct Policies {
    rules: Arc<AccessRules>,
    made: HashMap<Arc<str>, Option<Arc<Policy>>>,
    /// Those of the rules before: one that is equal is taken again, so that routes which have it stay as they are.
    before: HashMap<Arc<str>, Option<Arc<Policy>>>,
}

impl Default for Policies {
    fn default() -> Self {
        Self {
            rules: Arc::new(AccessRules::open()),
            made: HashMap::new(),
            before: HashMap::new(),
        }
    }
}

impl Policies {
    /// Puts other rules in force, and returns whether they are others.
    pub fn set(&mut self, rules: Arc<AccessRules>) -> bool {
        let is_change = self.rules != rules;
        if is_change {
            self.rules = rules;
            self.before = std::mem::take(&mut self.made);
        }
        is_change
    }

    /// Returns the policy of a namespace; none where everything may be had.
    pub fn of(&mut self, namespace: &Arc<str>) -> Option<Arc<Policy>> {
        if let Some(made) = self.made.get(namespace) {
            return made.clone();
        }
        let new = self.rules.policy(namespace);
        let policy = match self.before.remove(namespace) {
            Some(before) if before.as_deref() == new.as_ref() => before,
            _ => new.map(Arc::new),
        };
        self.made.insert(namespace.clone(), policy.clone());
        policy
    }
}

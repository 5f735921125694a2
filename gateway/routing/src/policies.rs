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
}

impl Default for Policies {
    fn default() -> Self {
        Self {
            rules: Arc::new(AccessRules::open()),
            made: HashMap::new(),
        }
    }
}

impl Policies {
    /// Puts other rules in force, and returns whether they are others.
    pub fn set(&mut self, rules: Arc<AccessRules>) -> bool {
        let is_change = self.rules != rules;
        if is_change {
            self.rules = rules;
            self.made.clear();
        }
        is_change
    }

    /// Returns the policy of a namespace; none where everything may be had.
    pub fn of(&mut self, namespace: &Arc<str>) -> Option<Arc<Policy>> {
        if let Some(made) = self.made.get(namespace) {
            return made.clone();
        }
        let policy = self.rules.policy(namespace).map(Arc::new);
        self.made.insert(namespace.clone(), policy.clone());
        policy
    }
}

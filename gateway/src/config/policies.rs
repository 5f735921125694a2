//! The policies of namespaces, and the routes that they hold for.

use std::collections::BTreeMap;
use std::sync::Arc;

use datastream_routing::{AccessRules, Policy, Route};

/// Policies by namespace, made once for all routes of a namespace.
#[derive(Debug, Default)]
pub(super) struct Policies {
    rules: Option<AccessRules>,
    made: BTreeMap<Arc<str>, Option<Arc<Policy>>>,
}

impl Policies {
    /// Puts other rules in force, and returns whether they are others.
    pub(super) fn set(&mut self, rules: AccessRules) -> bool {
        let changed = self.rules.as_ref() != Some(&rules);
        if changed {
            self.rules = Some(rules);
            self.made.clear();
        }
        changed
    }

    /// Puts the policy of its namespace into a route. One that has it already stays as it is, shared with the tables that it is in.
    pub(super) fn attach(&mut self, route: &mut Arc<Route>) {
        let policy = self.of(&route.id.namespace);
        if route.policy != policy {
            Arc::make_mut(route).policy = policy;
        }
    }

    fn of(&mut self, namespace: &Arc<str>) -> Option<Arc<Policy>> {
        let rules = self.rules.as_ref()?;
        let made = self.made.entry(namespace.clone());
        made.or_insert_with(|| rules.policy(namespace).map(Arc::new))
            .clone()
    }
}

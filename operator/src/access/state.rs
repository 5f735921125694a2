//! The access rules and the labels of namespaces as the watches bring them, and the rules in force.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datastream_crds::DatastreamAccessRuleSpec;
use datastream_routing::{AccessRules, Effect};

use super::resolve::{Labels, resolve};
use super::{AccessDefault, AccessMode, AccessSettings};

/// Bytes of all access rules and namespaces that fit into a Secret, which may have 1 MiB, beside its metadata.
pub const MAX_RULES: usize = 1000 << 10;

/// Kinds of objects on which the rules in force depend.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Listed {
    /// The access rules.
    Rules,
    /// The namespaces.
    Namespaces,
}

/// The access rules, and what follows from them. Plain data, no I/O.
///
/// Rules are put in force all or none: as long as one of them cannot be read, or all of them are too large to be published, those that
/// were in force before stay so. A process that has just begun takes those that are published; if none are, everything is denied.
#[derive(Debug)]
pub(crate) struct AccessState {
    default: AccessDefault,
    /// By name; absent if it cannot be read.
    rules: BTreeMap<String, Option<DatastreamAccessRuleSpec>>,
    namespaces: BTreeMap<String, Labels>,
    rules_listed: bool,
    namespaces_listed: bool,
    published: Option<Arc<AccessRules>>,
    /// The rules that the resources made when they could last be put in force.
    good: Option<Arc<AccessRules>>,
    current: Option<Arc<AccessRules>>,
    is_stale: bool,
}

/// The state, as every task has it.
#[derive(Clone, Debug)]
pub(crate) struct SharedAccess {
    state: Arc<Mutex<AccessState>>,
    order: Arc<Mutex<()>>,
}

impl SharedAccess {
    pub(crate) fn new(settings: AccessSettings) -> Self {
        Self {
            state: Arc::new(Mutex::new(AccessState::new(settings))),
            order: Arc::default(),
        }
    }

    /// The right to put in force what [refresh](AccessState::refresh) returns, one after the other. Not to be held across an await.
    pub(crate) fn order(&self) -> MutexGuard<'_, ()> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, for a moment: not to be held across an await.
    pub(crate) fn lock(&self) -> MutexGuard<'_, AccessState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AccessState {
    fn new(settings: AccessSettings) -> Self {
        let is_off = settings.mode == AccessMode::Off;
        Self {
            default: settings.default,
            rules: BTreeMap::new(),
            namespaces: BTreeMap::new(),
            rules_listed: false,
            namespaces_listed: false,
            published: None,
            good: None,
            current: is_off.then(|| Arc::new(AccessRules::open())),
            is_stale: false,
        }
    }

    /// A rule as it is now; without a spec, it cannot be read.
    pub(crate) fn set_rule(&mut self, name: String, spec: Option<DatastreamAccessRuleSpec>) {
        self.rules.insert(name, spec);
    }

    /// The rule is gone.
    pub(crate) fn remove_rule(&mut self, name: &str) {
        self.rules.remove(name);
    }

    /// A namespace with the labels that it has now.
    pub(crate) fn set_namespace(&mut self, name: String, labels: Labels) {
        self.namespaces.insert(name, labels);
    }

    /// The namespace is gone.
    pub(crate) fn remove_namespace(&mut self, name: &str) {
        self.namespaces.remove(name);
    }

    /// All objects of this kind are known.
    pub(crate) const fn listed(&mut self, kind: Listed) {
        match kind {
            Listed::Rules => self.rules_listed = true,
            Listed::Namespaces => self.namespaces_listed = true,
        }
    }

    /// The rules that a group of gateways has, as [`AccessRules::encode`] wrote them. Returns whether they are those in force.
    pub(crate) fn set_published(&mut self, bytes: &[u8]) -> bool {
        let published = AccessRules::decode(bytes).ok().map(Arc::new);
        let is_current = published.is_some() && published == self.current;
        if self.published.is_none() {
            self.published = published;
        }
        is_current
    }

    /// The rules in force; none before everything is listed.
    pub(crate) const fn current(&self) -> Option<&Arc<AccessRules>> {
        self.current.as_ref()
    }

    /// Returns whether the newest rules cannot be put in force.
    pub(crate) const fn is_stale(&self) -> bool {
        self.is_stale
    }

    /// Number of rules.
    pub(crate) fn rules(&self) -> usize {
        self.rules.len()
    }

    /// Puts in force what the resources say now, and returns it if it is something else than before.
    pub(crate) fn refresh(&mut self) -> Option<Arc<AccessRules>> {
        if !self.rules_listed || !self.namespaces_listed {
            return None;
        }
        let new = self.resolved();
        let was_stale = std::mem::replace(&mut self.is_stale, new.is_err());
        let new = match new {
            Ok(rules) => self.good.insert(Arc::new(rules)).clone(),
            Err(reason) => {
                if !was_stale {
                    tracing::error!(reason, "access rules stay as they were");
                }
                let before = self.good.as_ref().or(self.published.as_ref());
                before.cloned().unwrap_or_else(|| Arc::new(closed()))
            }
        };
        if self.current.as_ref() == Some(&new) {
            return None;
        }
        self.current = Some(new.clone());
        Some(new)
    }

    fn resolved(&self) -> Result<AccessRules, String> {
        let unreadable = self.rules.iter().find(|(_, spec)| spec.is_none());
        if let Some((name, _)) = unreadable {
            return Err(format!("access rule {name} cannot be read"));
        }
        let rules = self.rules.iter();
        let rules = rules.filter_map(|(name, spec)| Some((name.as_str(), spec.as_ref()?)));
        let namespaces = self.namespaces.iter();
        let namespaces = namespaces.map(|(name, labels)| (name.as_str(), labels));
        let resolved = resolve(rules, namespaces, self.default);
        let bytes = resolved.encode().map_err(|error| error.to_string())?.len();
        if bytes > MAX_RULES {
            return Err(format!(
                "all rules and namespaces together take {bytes} bytes, but {MAX_RULES} is the limit: use patterns instead of long lists, or fewer rules"
            ));
        }
        Ok(resolved)
    }
}

/// Rules by which nobody may have anything.
fn closed() -> AccessRules {
    AccessRules {
        otherwise: Effect::Deny,
        ..AccessRules::open()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(value: serde_json::Value) -> DatastreamAccessRuleSpec {
        serde_json::from_value(value).unwrap()
    }

    fn listed() -> AccessState {
        let mut state = AccessState::new(AccessSettings::default());
        state.set_namespace("team".to_owned(), Labels::new());
        state.listed(Listed::Rules);
        assert_eq!(state.refresh(), None, "namespaces are missing");
        state.listed(Listed::Namespaces);
        state
    }

    #[test]
    fn rules_are_in_force_once_everything_is_listed_and_changes_are_seen_once() {
        let mut state = listed();
        assert_eq!(state.refresh().as_deref(), Some(&AccessRules::open()));
        assert_eq!(state.refresh(), None);
        state.set_rule("a".to_owned(), Some(spec(json!({"effect": "Allow"}))));
        assert_eq!(state.refresh().unwrap().namespaces["team"], [0]);
        state.set_namespace("other".to_owned(), Labels::new());
        assert!(state.refresh().is_some());
        state.remove_rule("a");
        assert_eq!(state.refresh().as_deref(), Some(&AccessRules::open()));
    }

    #[test]
    fn a_rule_that_cannot_be_read_leaves_the_rules_before_in_force() {
        let mut state = listed();
        state.set_rule("a".to_owned(), Some(spec(json!({"effect": "Allow"}))));
        let before = state.refresh().unwrap();
        state.set_rule("b".to_owned(), None);
        state.remove_rule("a");
        assert_eq!(state.refresh(), None);
        assert!(state.is_stale());
        assert_eq!(state.current(), Some(&before));
        state.remove_rule("b");
        assert!(state.refresh().is_some() && !state.is_stale());
    }

    #[test]
    fn a_process_that_begins_with_an_unreadable_rule_goes_on_with_what_is_published() {
        let mut state = listed();
        state.set_rule("b".to_owned(), None);
        assert_eq!(state.refresh().as_deref(), Some(&closed()));
        state.set_published(&AccessRules::open().encode().unwrap());
        assert_eq!(state.refresh().as_deref(), Some(&AccessRules::open()));
    }

    #[test]
    fn rules_too_large_for_a_secret_leave_those_before_in_force() {
        let mut state = listed();
        state.refresh();
        let dsns: Vec<_> = (0..256).map(|n| format!("{n:064}")).collect();
        let filters: Vec<_> = (0..8).map(|_| json!({"dsns": dsns})).collect();
        for n in 0..8 {
            let rule = Some(spec(json!({"effect": "Allow", "filters": filters})));
            state.set_rule(format!("rule-{n}"), rule);
        }
        assert_eq!(state.refresh(), None);
        assert!(state.is_stale());
        state.remove_rule("rule-7");
        assert!(state.refresh().is_some());
    }

    #[test]
    fn without_access_rules_everything_may_be_had_from_the_beginning() {
        let settings = AccessSettings {
            mode: AccessMode::Off,
            ..AccessSettings::default()
        };
        let state = AccessState::new(settings);
        assert_eq!(state.current().unwrap().as_ref(), &AccessRules::open());
    }
}

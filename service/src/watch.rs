//! What a Kubernetes watch tells, as plain changes.

use std::collections::BTreeSet;
use std::time::Duration;

use kube::runtime::utils::Backoff;
use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt as _};

/// One change of the watched objects.
#[derive(Debug)]
pub enum Change<K> {
    /// An object is there, as it is now.
    Set(K),
    /// An object is gone: its namespace and name.
    Gone(String, String),
    /// Everything has been listed.
    Synced,
}

/// Which objects are there, across the lists that a watch begins with and falls back to.
#[derive(Debug, Default)]
pub struct Listing {
    known: BTreeSet<(String, String)>,
    listed: BTreeSet<(String, String)>,
}

impl Listing {
    /// What an event of the watch means.
    pub fn take<K: Resource<DynamicType = ()>>(&mut self, event: Event<K>) -> Vec<Change<K>> {
        let key = |object: &K| (object.namespace().unwrap_or_default(), object.name_any());
        match event {
            Event::Init => {
                self.listed.clear();
                vec![]
            }
            Event::InitApply(object) => {
                self.listed.insert(key(&object));
                vec![Change::Set(object)]
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listed);
                let gone = self.known.difference(&listed).cloned();
                let mut changes: Vec<_> = gone.map(|(ns, name)| Change::Gone(ns, name)).collect();
                self.known = listed;
                changes.push(Change::Synced);
                changes
            }
            Event::Apply(object) => {
                self.known.insert(key(&object));
                vec![Change::Set(object)]
            }
            Event::Delete(object) => {
                let (namespace, name) = key(&object);
                self.known.remove(&(namespace.clone(), name.clone()));
                vec![Change::Gone(namespace, name)]
            }
        }
    }
}

/// Between two attempts to reach the API server: from 0.2 s, doubled up to 5 s, so that an outage ends for the streams
/// soon after it ends for the API server.
#[derive(Debug)]
pub struct Reconnect(Duration);

impl Reconnect {
    const FIRST: Duration = Duration::from_millis(200);
    const LAST: Duration = Duration::from_secs(5);
}

impl Default for Reconnect {
    fn default() -> Self {
        Self(Self::FIRST)
    }
}

impl Iterator for Reconnect {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let wait = self.0;
        self.0 = (wait * 2).min(Self::LAST);
        Some(wait)
    }
}

impl Backoff for Reconnect {
    fn reset(&mut self) {
        self.0 = Self::FIRST;
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Secret;

    use super::*;

    fn secret(name: &str) -> Secret {
        let mut secret = Secret::default();
        secret.metadata.name = Some(name.to_owned());
        secret
    }

    #[test]
    fn what_disappeared_while_the_watch_was_away_is_told() {
        let mut listing = Listing::default();
        let mut told = vec![];
        for event in [
            Event::Init,
            Event::InitApply(secret("a")),
            Event::InitApply(secret("b")),
            Event::InitDone,
            Event::Apply(secret("c")),
            Event::Delete(secret("a")),
            Event::Init,
            Event::InitApply(secret("c")),
            Event::InitDone,
        ] {
            told.extend(listing.take(event).into_iter().map(|c| match c {
                Change::Set(s) => format!("+{}", s.name_any()),
                Change::Gone(_, name) => format!("-{name}"),
                Change::Synced => "=".to_owned(),
            }));
        }
        assert_eq!(told.join(" "), "+a +b = +c -a +c -b =");
    }

    #[test]
    fn an_outage_is_over_soon_after_it_ends() {
        let waits: Vec<_> = Reconnect::default().take(8).collect();
        assert_eq!(waits[0], Duration::from_millis(200));
        assert_eq!(waits[7], Duration::from_secs(5));
    }
}

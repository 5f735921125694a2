//! The objects that are there, across the lists that a watch begins with and falls back to.

use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt as _};

use super::names::{Name, Names};
use super::{Change, Watched};

/// The objects that are there, by namespace and name.
#[derive(Debug, Default)]
pub struct Listing {
    known: Names,
    listed: Names,
    unreadable: Names,
}

impl Listing {
    /// Takes an event of the watch and returns the changes that it stands for.
    pub fn take<K: Resource<DynamicType = ()>>(
        &mut self,
        event: Event<Watched<K>>,
    ) -> Vec<Change<K>> {
        match event {
            Event::Init => {
                self.listed.clear();
                vec![]
            }
            Event::InitApply(object) => {
                let name = name(&object);
                self.listed.insert(&name);
                vec![self.set(name, object)]
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listed);
                let known = std::mem::replace(&mut self.known, listed);
                let gone: Vec<_> = known.without(&self.known).collect();
                let gone = gone.into_iter().map(|name| self.gone(name));
                gone.chain([Change::Synced]).collect()
            }
            Event::Apply(object) => {
                let name = name(&object);
                self.known.insert(&name);
                vec![self.set(name, object)]
            }
            Event::Delete(object) => {
                let name = name(&object);
                self.known.remove(&name);
                vec![self.gone(name)]
            }
        }
    }

    /// Returns whether no object is there.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Returns how many of the objects cannot be read.
    pub fn unreadable(&self) -> usize {
        self.unreadable.len()
    }

    fn set<K>(&mut self, name: Name, object: Watched<K>) -> Change<K> {
        match object {
            Watched::Read(object) => {
                self.unreadable.remove(&name);
                Change::Set(object)
            }
            Watched::Unreadable(object) => {
                self.unreadable.insert(&name);
                Change::Unreadable(object)
            }
        }
    }

    fn gone<K>(&mut self, name: Name) -> Change<K> {
        self.unreadable.remove(&name);
        Change::Gone(name.0, name.1)
    }
}

fn name<K: Resource<DynamicType = ()>>(object: &Watched<K>) -> Name {
    (object.namespace().unwrap_or_default(), object.name_any())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Secret;
    use serde_json::json;

    use super::*;

    fn secret(name: &str) -> Watched<Secret> {
        serde_json::from_value(json!({"metadata": {"name": name}})).unwrap()
    }

    fn unreadable(name: &str) -> Watched<Secret> {
        serde_json::from_value(json!({"metadata": {"name": name}, "data": "none"})).unwrap()
    }

    fn changes_of(
        listing: &mut Listing,
        events: impl IntoIterator<Item = Event<Watched<Secret>>>,
    ) -> String {
        let changes = events.into_iter().flat_map(|event| listing.take(event));
        let described = changes.map(|change| match change {
            Change::Set(secret) => format!("+{}", secret.name_any()),
            Change::Unreadable(object) => format!("?{}", object.metadata.name.unwrap_or_default()),
            Change::Gone(_, name) => format!("-{name}"),
            Change::Synced => "=".to_owned(),
            other => format!("{other:?}"),
        });
        described.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn objects_deleted_during_a_watch_outage_are_reported_gone() {
        let events = [
            Event::Init,
            Event::InitApply(secret("a")),
            Event::InitApply(secret("b")),
            Event::InitDone,
            Event::Apply(secret("c")),
            Event::Delete(secret("a")),
            Event::Init,
            Event::InitApply(secret("c")),
            Event::InitDone,
        ];
        assert_eq!(
            changes_of(&mut Listing::default(), events),
            "+a +b = +c -a +c -b ="
        );
    }

    #[test]
    fn unreadable_objects_are_counted_until_readable_or_deleted() {
        let mut listing = Listing::default();
        let events = [
            Event::Init,
            Event::InitApply(unreadable("a")),
            Event::InitApply(secret("b")),
            Event::InitDone,
            Event::Apply(unreadable("b")),
        ];
        assert_eq!(changes_of(&mut listing, events), "?a +b = ?b");
        assert_eq!(listing.unreadable(), 2);
        let events = [Event::Apply(secret("a")), Event::Delete(unreadable("b"))];
        assert_eq!(changes_of(&mut listing, events), "+a -b");
        assert_eq!(listing.unreadable(), 0);
    }
}

//! The objects of the simulated API server, in memory, and the last changes of each kind for those who watch it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::refusal::Refusal;
use crate::selector::Selector;

/// Namespace and name; the namespace is empty for objects of the cluster.
pub(crate) type Name = (String, String);

/// One object, as it was at one version.
pub(crate) struct Object {
    pub(crate) name: Name,
    pub(crate) version: u64,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) json: Bytes,
}

/// Kind of a change, as an event of a watch names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Added,
    Modified,
    Deleted,
}

#[derive(Clone)]
pub(crate) struct Change {
    pub(crate) version: u64,
    pub(crate) type_: Type,
    pub(crate) object: Arc<Object>,
}

/// A part of a list.
pub(crate) struct Page {
    pub(crate) version: u64,
    pub(crate) items: Vec<Arc<Object>>,
    /// The last object of this page, if there are more.
    pub(crate) last: Option<Name>,
}

pub(crate) struct Store {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
    /// Changes of each kind that are kept.
    window: usize,
}

/// Objects by their kind in the plural.
#[derive(Default)]
struct State {
    version: u64,
    kinds: HashMap<String, Kind>,
}

#[derive(Default)]
struct Kind {
    objects: BTreeMap<Name, Arc<Object>>,
    changes: VecDeque<Change>,
    /// Version of the last change that is not kept any more.
    forgotten: u64,
}

impl Store {
    pub(crate) fn new(window: usize) -> Self {
        Self {
            state: Mutex::default(),
            changed: watch::Sender::new(0),
            window,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, kind: &str, name: &Name) -> Result<Arc<Object>, Refusal> {
        let state = self.lock();
        let found = state.kinds.get(kind).and_then(|of| of.objects.get(name));
        found.cloned().ok_or(Refusal::NotFound)
    }

    /// Lists at most `limit` objects that come after `after`.
    pub(crate) fn list(
        &self,
        kind: &str,
        selector: &Selector,
        limit: usize,
        after: Option<Name>,
    ) -> Page {
        let state = self.lock();
        let from = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let objects = state.kinds.get(kind).into_iter();
        let objects = objects.flat_map(|of| of.objects.range::<Name, _>((from, Bound::Unbounded)));
        let objects = objects.map(|(_, object)| object);
        let mut matching = objects.filter(|object| selector.matches(object));
        let items: Vec<_> = matching.by_ref().take(limit).cloned().collect();
        let is_last = matching.next().is_none();
        let last = items.last().filter(|_| !is_last);
        Page {
            version: state.version,
            last: last.map(|object| object.name.clone()),
            items,
        }
    }

    /// Makes of an object what `change` makes of it. One that does not change keeps its version.
    pub(crate) fn write(
        &self,
        kind: &str,
        name: &Name,
        change: impl FnOnce(Option<Value>) -> Result<Value, Refusal>,
    ) -> Result<Arc<Object>, Refusal> {
        let mut state = self.lock();
        let before = state.kinds.get(kind).and_then(|of| of.objects.get(name));
        let before = before.cloned();
        let read = |object: &Arc<Object>| serde_json::from_slice::<Value>(&object.json).unwrap();
        let old = before.as_ref().map(read);
        let mut new = change(old.clone())?;
        if let (Some(before), Some(old)) = (&before, &old)
            && is_same(old, &new)
        {
            return Ok(before.clone());
        }
        state.version += 1;
        let version = state.version;
        let metadata = &mut new["metadata"];
        metadata["resourceVersion"] = json!(version.to_string());
        let labels = serde_json::from_value(metadata["labels"].clone());
        let object = Arc::new(Object {
            name: name.clone(),
            version,
            labels: labels.unwrap_or_default(),
            json: new.to_string().into(),
        });
        let type_ = if before.is_some() {
            Type::Modified
        } else {
            Type::Added
        };
        let kind = state.kinds.entry(kind.to_owned()).or_default();
        kind.objects.insert(name.clone(), object.clone());
        self.record(kind, version, type_, object.clone());
        Ok(object)
    }

    /// Deletes an object, if it is still at this version.
    pub(crate) fn delete(
        &self,
        kind: &str,
        name: &Name,
        version: Option<u64>,
    ) -> Result<Arc<Object>, Refusal> {
        let mut state = self.lock();
        let next = state.version + 1;
        let of = state.kinds.get_mut(kind).ok_or(Refusal::NotFound)?;
        let object = of.objects.get(name).cloned().ok_or(Refusal::NotFound)?;
        if version.is_some_and(|version| version != object.version) {
            return Err(Refusal::Conflict);
        }
        of.objects.remove(name);
        self.record(of, next, Type::Deleted, object.clone());
        state.version = next;
        Ok(object)
    }

    fn record(&self, kind: &mut Kind, version: u64, type_: Type, object: Arc<Object>) {
        kind.changes.push_back(Change {
            version,
            type_,
            object,
        });
        if kind.changes.len() > self.window
            && let Some(forgotten) = kind.changes.pop_front()
        {
            kind.forgotten = forgotten.version;
        }
        self.changed.send_replace(version);
    }

    /// Follows a kind from the changes on that come after this version.
    pub(crate) fn follow(self: &Arc<Self>, kind: &str, selector: Selector, seen: u64) -> Watcher {
        Watcher {
            changed: self.changed.subscribe(),
            store: self.clone(),
            kind: kind.to_owned(),
            selector,
            seen,
        }
    }
}

/// Returns whether two states of an object say the same, whoever said it.
fn is_same(old: &Value, new: &Value) -> bool {
    let is_same = |old: &Value, new: &Value, apart_from: &str| {
        let (Some(old), Some(new)) = (old.as_object(), new.as_object()) else {
            return old == new;
        };
        let counts = |(field, _): &(&String, &Value)| *field != apart_from;
        old.iter().filter(counts).eq(new.iter().filter(counts))
    };
    is_same(old, new, "metadata") && is_same(&old["metadata"], &new["metadata"], "managedFields")
}

/// A watch of one kind.
pub(crate) struct Watcher {
    store: Arc<Store>,
    changed: watch::Receiver<u64>,
    kind: String,
    selector: Selector,
    /// Version up to which it has seen everything.
    pub(crate) seen: u64,
}

/// Changes that are handed out together.
const TOGETHER: usize = 256;

impl Watcher {
    /// The next changes, as soon as there are some.
    ///
    /// # Errors
    /// They are not kept any more.
    pub(crate) async fn next(&mut self) -> Result<Vec<Change>, Refusal> {
        loop {
            self.changed.mark_unchanged();
            let changes = self.ready()?;
            if !changes.is_empty() {
                return Ok(changes);
            }
            // The store lives for as long as this does.
            let _ = self.changed.changed().await;
        }
    }

    fn ready(&mut self) -> Result<Vec<Change>, Refusal> {
        let state = self.store.lock();
        let Some(of) = state.kinds.get(&self.kind) else {
            return Ok(vec![]);
        };
        if self.seen < of.forgotten {
            return Err(Refusal::Expired);
        }
        let first = of.changes.partition_point(|c| c.version <= self.seen);
        let mut ready = vec![];
        self.seen = state.version;
        for change in of.changes.range(first..) {
            if ready.len() == TOGETHER {
                self.seen = change.version - 1;
                break;
            }
            if self.selector.matches(&change.object) {
                ready.push(change.clone());
            }
        }
        Ok(ready)
    }
}

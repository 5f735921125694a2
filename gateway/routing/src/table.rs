//! All routes that are in force, indexed for the two questions a gateway asks: whose key, and who wants this event.

use std::collections::HashMap;
use std::sync::Arc;

use crate::filter::EventFields;
use crate::id::SubscriptionId;
use crate::index::{FilterIndex, Scratch};
use crate::key::KeyHash;
use crate::route::Route;

/// Every route in force. Immutable: a change builds a new table, which is swapped in whole.
#[derive(Debug, Default)]
pub struct RouteTable {
    routes: Vec<Arc<Route>>,
    by_key: HashMap<KeyHash, u32>,
    by_id: HashMap<SubscriptionId, u32>,
    index: FilterIndex,
}

/// The routes that want one event: positions in [`RouteTable::routes`]. Reused from event to event, so that
/// matching allocates nothing once it is warm.
#[derive(Debug, Default)]
pub struct Matches {
    pub(crate) scratch: Scratch,
}

impl Matches {
    /// The matching routes of the last call, each once, in no particular order.
    pub fn as_slice(&self) -> &[u32] {
        self.scratch.found()
    }
}

impl RouteTable {
    /// The table of these routes. Those that are shared already are not copied.
    pub fn from_routes<R: Into<Arc<Route>>>(routes: impl IntoIterator<Item = R>) -> Self {
        let mut routes: Vec<Arc<Route>> = routes.into_iter().map(Into::into).collect();
        routes.sort_by(|a, b| a.id.cmp(&b.id));
        let previous = routes.iter().zip(0..);
        let previous = previous.filter_map(|(r, i)| Some((r.previous_key_sha256?, i)));
        let current = routes.iter().zip(0..).map(|(r, i)| (r.key_sha256, i));
        // The later one counts: nobody loses a key because it was another one's before.
        let by_key = previous.chain(current).collect();
        let by_id = routes
            .iter()
            .zip(0..)
            .map(|(r, i)| (r.id.clone(), i))
            .collect();
        let index = FilterIndex::new(routes.iter().map(AsRef::as_ref));
        Self {
            routes,
            by_key,
            by_id,
            index,
        }
    }

    /// The routes, sorted by identity; [`Matches`] holds positions in this list.
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    /// The route that a key opens. Looked up by the key's SHA-256, so that timing reveals nothing about keys.
    pub fn by_key(&self, key: &KeyHash) -> Option<&Arc<Route>> {
        self.by_key.get(key).map(|i| &self.routes[*i as usize])
    }

    /// The route of a subscription.
    pub fn by_id(&self, id: &SubscriptionId) -> Option<&Arc<Route>> {
        self.position(id).map(|i| &self.routes[i as usize])
    }

    /// Index of a subscription's route in [`RouteTable::routes`].
    pub fn position(&self, id: &SubscriptionId) -> Option<u32> {
        self.by_id.get(id).copied()
    }

    /// Finds every route that wants the event. The cost follows the candidates that share the event's most
    /// selective field, not the number of routes.
    pub fn matches(&self, event: &EventFields<'_>, matches: &mut Matches) {
        self.index
            .matches(&self.routes, event, &mut matches.scratch);
    }
}

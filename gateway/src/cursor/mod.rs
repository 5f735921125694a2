//! Committed positions, from which a stream with `resume: Committed` resumes on any gateway and after any crash.
//!
//! They are kept in a topic of their own, which every gateway reads whole ([`Table`]) and appends to ([`CursorWriter`]). See
//! `docs/decisions/0005-cursors.md`.

mod acks;
mod position;
mod record;
mod table;
mod writer;

pub(crate) use acks::Acks;
pub(crate) use position::Cursor;
pub(crate) use writer::{CursorWriter, Cursors, CursorsUnavailable};

use datastream_routing::{Route, SubscriptionId};

/// Owner of a cursor. A subscription that was deleted and created again starts without one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CursorKey {
    /// Namespace and name of the subscription.
    pub id: SubscriptionId,
    /// Its `metadata.uid`.
    pub uid: String,
}

impl CursorKey {
    /// The key of a route's subscription.
    pub(crate) fn of(route: &Route) -> Self {
        Self {
            id: route.id.clone(),
            uid: route.uid.clone(),
        }
    }
}

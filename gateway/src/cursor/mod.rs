//! Committed positions: where a stream with `resume: Committed` goes on, on any gateway and after any crash.
//!
//! They are kept in a topic of their own, which every gateway reads whole ([`Table`]) and appends to ([`keeper`]). See
//! `docs/decisions/0005-cursors.md`.

mod acks;
mod keeper;
mod record;
mod table;

pub(crate) use acks::Acks;
pub(crate) use keeper::{Cursors, CursorsUnavailable, Keeper};

use std::sync::Arc;

use bytes::Bytes;
use datastream_routing::{Route, SubscriptionId};
use futures_util::future::BoxFuture;

use crate::source::{EventSource, SourceError};

/// The topic that holds the cursors of streams of `topic`, unless somebody names another.
pub fn cursors_topic(topic: &str) -> String {
    format!("{topic}-cursors")
}

/// The topic that holds the cursors: a log of one partition that can be appended to.
pub trait CursorLog: Send + Sync + 'static {
    /// Reads it.
    fn source(&self) -> Arc<dyn EventSource>;

    /// Makes the topic if it is missing. Done if somebody else was faster.
    fn ensure(&self) -> BoxFuture<'_, Result<(), SourceError>>;

    /// Appends one record; done once it is stored. After an error it may be stored all the same.
    fn append(&self, record: Bytes) -> BoxFuture<'_, Result<(), SourceError>>;

    /// Bytes that the topic keeps at least before it drops the oldest records.
    fn kept_bytes(&self) -> u64;
}

/// Whose cursor it is. A subscription that was deleted and made again starts anew.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CursorKey {
    /// Which subscription.
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

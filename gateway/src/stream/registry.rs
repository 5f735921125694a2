//! Which subscription has a stream right now: at most one each.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use datastream_routing::{Route, RouteTable, SubscriptionId};

use super::close::CloseCause;
use super::request::Refusal;
use crate::pipeline::{Mailbox, Pipeline};

/// The open streams of this gateway.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    streams: Mutex<HashMap<SubscriptionId, Arc<Mailbox>>>,
}

/// The right to the one stream of a subscription; dropping it gives it back and leaves the live fan-out.
#[derive(Debug)]
pub(crate) struct Claim {
    registry: Arc<Registry>,
    pipeline: Pipeline,
    id: SubscriptionId,
    mailbox: Arc<Mailbox>,
}

impl Registry {
    /// Claims a subscription's stream, unless it has one or there are `limit` streams.
    pub(crate) fn claim(
        self: &Arc<Self>,
        route: &Arc<Route>,
        pipeline: &Pipeline,
        markers: bool,
        limit: usize,
    ) -> Result<Claim, Refusal> {
        let mut streams = self.lock();
        if streams.contains_key(&route.id) {
            return Err(Refusal::InUse);
        }
        if streams.len() >= limit {
            return Err(Refusal::busy("this gateway has as many streams as it may"));
        }
        let mailbox = Arc::new(Mailbox::new(route.clone(), markers));
        streams.insert(route.id.clone(), mailbox.clone());
        Ok(Claim {
            registry: self.clone(),
            pipeline: pipeline.clone(),
            id: route.id.clone(),
            mailbox,
        })
    }

    /// Tells every stream what a new table means for it.
    pub(crate) fn apply(&self, table: &RouteTable) {
        for (id, mailbox) in self.lock().iter() {
            tell(table, id, mailbox);
        }
    }

    /// The mailboxes of all open streams, in no order.
    pub(crate) fn mailboxes(&self) -> Vec<Arc<Mailbox>> {
        self.lock().values().cloned().collect()
    }

    /// Whether a subscription's stream is open.
    pub(crate) fn has(&self, id: &SubscriptionId) -> bool {
        self.lock().contains_key(id)
    }

    /// How many streams are open.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<SubscriptionId, Arc<Mailbox>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim {
    /// Whose stream it is.
    pub(crate) fn id(&self) -> &SubscriptionId {
        &self.id
    }

    /// The stream's mailbox.
    pub(crate) fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }

    /// Looks at a table once more: it may have changed between the look-up of the key and the claim.
    pub(crate) fn check(&self, table: &RouteTable) {
        tell(table, &self.id, &self.mailbox);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.registry.lock().remove(&self.id);
        self.pipeline.leave(self.id.clone(), self.mailbox.clone());
    }
}

fn tell(table: &RouteTable, id: &SubscriptionId, mailbox: &Mailbox) {
    let current = mailbox.route();
    match table.by_id(id) {
        Some(route) if route.uid != current.uid || route.key_sha256 != current.key_sha256 => {
            mailbox.close(CloseCause::Revoked);
        }
        Some(route) if route.suspended => mailbox.close(CloseCause::Suspended),
        Some(route) if *route != current => mailbox.set_route(route.clone()),
        Some(_) => (),
        None => mailbox.close(CloseCause::Revoked),
    }
}

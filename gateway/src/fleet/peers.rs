//! The other gateways, as their Leases tell.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datastream_routing::object::{PEER, READY, STREAMS, selector};
use datastream_service::lease::Freshness;
use datastream_service::watch::{Change, Watched, changes};
use futures_util::StreamExt as _;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::Timestamp;
use kube::runtime::watcher;
use kube::{Api, ResourceExt as _};
use tokio::time::Instant;

use super::claim::holder;

/// One gateway.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// The process, as claims name it.
    pub holder: String,
    /// Where it can be asked, HOST:PORT; absent if it did not say.
    pub address: Option<String>,
    /// How many streams it has, as of its last renewal.
    pub streams: u64,
    /// Whether it takes streams.
    pub ready: bool,
    /// Until when it counts.
    pub freshness: Freshness,
}

/// What is known of all gateways of the group, this one included.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peers(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// By the name of the Lease.
    peers: BTreeMap<String, Peer>,
    /// Whether all were told of once.
    complete: bool,
}

impl Peers {
    /// Follows the Leases for as long as the process lives.
    pub(super) async fn follow(
        &self,
        leases: Api<Watched<Lease>>,
        group: &str,
    ) -> anyhow::Result<()> {
        let config = watcher::Config::default().labels(&selector("gateway", group));
        let mut changes = std::pin::pin!(changes(leases, config));
        while let Some((change, _)) = changes.next().await {
            self.take(change);
        }
        anyhow::bail!("the watch of the gateways' Leases ended")
    }

    fn take(&self, change: Change<Lease>) {
        let Known { peers, complete } = &mut *self.lock();
        match change {
            Change::Set(lease) => {
                let before = peers.get(&lease.name_any()).map(|p| &p.freshness);
                if let Some(peer) = read(&lease, before) {
                    peers.insert(lease.name_any(), peer);
                }
            }
            Change::Gone(_, name) => drop(peers.remove(&name)),
            Change::Synced => *complete = true,
            // What was known of it counts for as long as its Lease did.
            Change::Unreadable(object) => {
                let name = object.metadata.name.unwrap_or_default();
                tracing::warn!(
                    lease = name,
                    error = object.error,
                    "cannot read the Lease of a gateway"
                );
            }
            Change::Failed(error) => {
                tracing::warn!(%error, "cannot watch the gateways' Leases; trying again");
            }
            Change::Recovered => (),
        }
    }

    /// Knows of one more, and that this is all.
    #[cfg(test)]
    pub(super) fn know(&self, lease: Lease) {
        self.take(Change::Set(lease));
        self.take(Change::Synced);
    }

    /// The process that claims name like this, if it is known.
    pub(super) fn by_holder(&self, holder: &str) -> Option<Peer> {
        let known = self.lock();
        known.peers.values().find(|p| p.holder == holder).cloned()
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Peer> {
        self.lock().peers.values().cloned().collect()
    }

    /// Whether these are all, as far as the API server has ever told.
    pub(super) fn are_complete(&self) -> bool {
        self.lock().complete
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a gateway's Lease says.
pub(super) fn read(lease: &Lease, before: Option<&Freshness>) -> Option<Peer> {
    let annotations = lease.annotations();
    Some(Peer {
        holder: holder(lease)?.to_owned(),
        address: annotations.get(PEER).cloned(),
        streams: annotations
            .get(STREAMS)
            .and_then(|n| n.parse().ok())
            .unwrap_or_default(),
        ready: annotations.get(READY).is_some_and(|r| r == "true"),
        freshness: Freshness::seen(lease, before, Instant::now(), Timestamp::now()),
    })
}

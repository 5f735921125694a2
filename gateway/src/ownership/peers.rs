//! The other gateways, as their Leases describe them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use datastream_routing::names::{PEER, PEER_TLS, READY, STREAMS, selector};
use datastream_service::log_limit::LogLimit;
use datastream_service_kube::api::watch_reason;
use datastream_service_kube::lease::{Freshness, PULSE};
use datastream_service_kube::watch::{Change, Selection, Watched, changes};
use futures_util::StreamExt as _;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::Timestamp;
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

use super::claim::holder;

/// One gateway.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// The process, as claims name it.
    pub holder: String,
    /// Address at which it can be asked, HOST:PORT; absent if it did not say.
    pub address: Option<String>,
    /// It is asked by TLS.
    pub tls: bool,
    /// Number of its streams, as of its last renewal.
    pub streams: u64,
    /// It takes streams.
    pub ready: bool,
    /// Time until which it counts.
    pub freshness: Freshness,
}

impl Peer {
    /// The place of this gateway.
    pub(super) fn place(self) -> Place {
        Place {
            address: self.address,
            tls: self.tls,
            expires: self.freshness.expires,
        }
    }
}

/// Place at which a gateway can be asked, and for how long it counts if it does not answer.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// HOST:PORT; absent if it did not say.
    pub address: Option<String>,
    /// It is asked by TLS.
    pub tls: bool,
    /// The time at which it is given up.
    pub expires: Instant,
}

/// Time for which a gateway whose Lease has ended may still be there: in an outage of the API server, all of them end.
const OUT_OF_SIGHT: Duration = Duration::from_mins(1);
/// The time that a list of the Leases may take that somebody waits for.
const LIST_TIMEOUT: Duration = Duration::from_secs(2);

/// All known gateways of the group, this one included.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peers(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    known: Mutex<Known>,
    /// Notified when a list is needed.
    wanted: Notify,
    /// The number of the last list that is over, for good or ill.
    listed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Known {
    /// The Lease of this gateway and the process that should hold it, and whether it was seen to.
    own: Option<(String, String)>,
    is_own_seen: bool,
    /// Bounds the lines about another process that holds it.
    twins: LogLimit,
    /// Peers by the name of their Lease.
    peers: BTreeMap<String, Peer>,
    /// A complete list was seen once.
    complete: bool,
    /// The watch fails.
    failing: bool,
    /// The number of the last list that was begun because somebody wanted it.
    begun: u64,
}

impl Peers {
    /// Follows the Leases for as long as the process lives.
    pub(super) async fn follow(
        &self,
        leases: Api<Watched<Lease>>,
        group: &str,
    ) -> anyhow::Result<()> {
        let selector = selector("gateway", group);
        let selection = Selection::labelled(&selector).with_pulse(PULSE);
        let mut changes = std::pin::pin!(changes(leases.clone(), selection));
        loop {
            tokio::select! {
                change = changes.next() => {
                    let (change, _) = change.context("the watch of the gateways' Leases ended")?;
                    self.take(change);
                }
                () = self.0.wanted.notified() => self.list(&leases, &selector).await,
            }
        }
    }

    /// Asks what is there now, out of turn. If the list fails, what is known stays.
    async fn list(&self, leases: &Api<Watched<Lease>>, selector: &str) {
        let number = {
            let mut known = self.lock();
            known.begun += 1;
            known.begun
        };
        let params = ListParams::default().labels(selector);
        if let Ok(Ok(list)) = timeout(LIST_TIMEOUT, leases.list(&params)).await {
            let names: BTreeSet<_> = list.items.iter().map(Watched::name_any).collect();
            self.lock().peers.retain(|name, _| names.contains(name));
            for lease in list.items {
                self.take(match lease {
                    Watched::Read(lease) => Change::Set(lease),
                    Watched::Unreadable(object) => Change::Unreadable(object),
                });
            }
            self.take(Change::Synced);
        }
        self.0.listed.send_replace(number);
    }

    /// Makes sure that a gateway which has started while the watch fails is known, if the API server can be asked.
    pub(super) async fn refresh(&self) {
        let wanted = {
            let known = self.lock();
            if !known.failing {
                return;
            }
            known.begun + 1
        };
        let mut listed = self.0.listed.subscribe();
        self.0.wanted.notify_one();
        let _ = timeout(LIST_TIMEOUT, listed.wait_for(|listed| *listed >= wanted)).await;
    }

    fn take(&self, change: Change<Lease>) {
        let known = &mut *self.lock();
        let peers = &mut known.peers;
        match change {
            Change::Set(lease) => {
                if let Some((name, process)) = &known.own
                    && *name == lease.name_any()
                {
                    let is_ours = holder(&lease) == Some(process);
                    known.is_own_seen |= is_ours;
                    // Before it was ours, it was that of the process before.
                    if known.is_own_seen
                        && !is_ours
                        && known.twins.admit(std::time::Instant::now()).is_some()
                    {
                        tracing::error!(
                            lease = name,
                            "another gateway has the same name: give each its own with --pod"
                        );
                    }
                }
                let before = peers.get(&lease.name_any()).map(|p| &p.freshness);
                if let Some(peer) = read(&lease, before) {
                    peers.insert(lease.name_any(), peer);
                }
            }
            Change::Gone(_, name) => drop(peers.remove(&name)),
            Change::Synced => known.complete = true,
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
                known.failing = true;
                tracing::warn!(
                    error = watch_reason(&error),
                    "cannot watch the gateways' Leases; trying again"
                );
            }
            Change::Recovered => known.failing = false,
        }
    }

    /// Says which Lease is that of this gateway, and which process this one is.
    pub(super) fn set_own(&self, lease: String, process: String) {
        self.lock().own = Some((lease, process));
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

    /// Returns whether a gateway at this address, seen within the last minute, asks without TLS, as those of 0.2.0 do.
    pub(super) fn asks_without_tls(&self, address: IpAddr) -> bool {
        let is_at = |peer: &Peer| {
            let place = peer.address.as_ref()?;
            Some(place.parse::<SocketAddr>().ok()?.ip() == address)
        };
        let known = self.lock();
        let now = Instant::now();
        let is_recent = |peer: &&Peer| peer.freshness.expires + OUT_OF_SIGHT > now;
        let mut plain = known
            .peers
            .values()
            .filter(|peer| !peer.tls && is_recent(peer));
        plain.any(|peer| is_at(peer) == Some(true))
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Peer> {
        self.lock().peers.values().cloned().collect()
    }

    /// Returns whether these are all, as far as the API server has ever said.
    pub(super) fn are_complete(&self) -> bool {
        self.lock().complete
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a gateway's Lease; `None` if it names no holder.
pub(super) fn read(lease: &Lease, before: Option<&Freshness>) -> Option<Peer> {
    let annotations = lease.annotations();
    Some(Peer {
        holder: holder(lease)?.to_owned(),
        address: annotations.get(PEER).cloned(),
        tls: annotations.get(PEER_TLS).is_some_and(|tls| tls == "true"),
        streams: annotations
            .get(STREAMS)
            .and_then(|n| n.parse().ok())
            .unwrap_or_default(),
        ready: annotations.get(READY).is_some_and(|r| r == "true"),
        freshness: Freshness::seen(lease, before, Instant::now(), Timestamp::now()),
    })
}

#[cfg(test)]
mod tests {
    use datastream_service_kube::api_server::answered_by;
    use hyper::StatusCode;
    use serde_json::{Value, json};

    use super::*;

    fn leases(holder: &str) -> Value {
        json!({
            "kind": "LeaseList", "apiVersion": "coordination.k8s.io/v1", "metadata": {"resourceVersion": "1"},
            "items": [{"metadata": {"name": "gw-1", "resourceVersion": "1"}, "spec": {"holderIdentity": holder}}],
        })
    }

    /// An API server that says once that there is the first process of a gateway, and fails from then on, but for lists out of turn: these
    /// have the second process.
    fn restarted() -> Api<Watched<Lease>> {
        let mut is_first = true;
        let client = answered_by(move |request, _| {
            let query = request.uri.query().unwrap_or_default();
            let is_of_the_watch = query.contains("watch") || query.contains("limit");
            let answer = match (is_of_the_watch, is_first) {
                (true, true) => (StatusCode::OK, leases("gw-1_first")),
                (true, false) => {
                    let failure = json!({"kind": "Status", "status": "Failure", "code": 500, "reason": "x", "message": "no"});
                    (StatusCode::INTERNAL_SERVER_ERROR, failure)
                }
                (false, _) => (StatusCode::OK, leases("gw-1_second")),
            };
            is_first = false;
            Some(answer)
        });
        Api::namespaced(client, "ds")
    }

    #[tokio::test(start_paused = true)]
    async fn a_refresh_finds_a_gateway_that_restarted_while_the_watch_fails() {
        let peers = Peers::default();
        let following = tokio::spawn({
            let (peers, api) = (peers.clone(), restarted());
            async move { peers.follow(api, "default").await }
        });
        while !peers.lock().failing {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(peers.by_holder("gw-1_first").is_some());
        peers.refresh().await;
        assert!(peers.by_holder("gw-1_first").is_none());
        assert!(peers.by_holder("gw-1_second").is_some());
        following.abort();
    }
}

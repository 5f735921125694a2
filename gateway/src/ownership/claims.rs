//! Claims of streams as Leases in Kubernetes: written when a client connects and when it has gone.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use datastream_routing::SubscriptionId;
use datastream_service_kube::api::{in_time, reason};
use datastream_service_kube::lease::DURATION;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{Instant, timeout};

use super::claim::{Claimant, holder, pod, pod_of};
use super::lease_renewer::{LeaseRenewer, lease_name};
use super::peer_tls::PeerTls;
use super::peers::{Peer, Peers, Place, read};
use super::probe_client::{NotAPeer, Taker, probe_client};
use super::{release, report, shed};
use crate::fanout::Ring;
use crate::session::{Guard, Probed, Progress, Registry};

/// Requests for claims that are on their way to the API server at once.
const REQUESTS: usize = 64;
/// Looks at a claim that changes under our eyes before the client has to retry.
const ATTEMPTS: usize = 4;
/// Time that a client waits for this gateway's own Lease, without which its claims would count for nothing.
const MEMBERSHIP_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for which a refusal stands for those who try again.
const FRESH: Duration = Duration::from_millis(500);
/// Timeout of the last releases when the gateway ends.
const FINISH_TIMEOUT: Duration = Duration::from_secs(5);
/// Age of this gateway's last renewal up to which a claim that waits to be released is reclaimed as it is.
const SURELY_OURS: Duration = Duration::from_secs(10);
/// Gateways that are remembered as those who take one stream: of more, the last.
const MAX_PENDING_TAKEOVERS: usize = 16;

/// Reason why a stream cannot be claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ClaimError {
    /// Another gateway serves it, and its client answers.
    Elsewhere {
        /// That gateway's pod.
        pod: String,
    },
    /// Another gateway serves it that cannot be asked now, and that is given up if it stays away.
    Unreachable {
        /// That gateway's pod.
        pod: String,
        /// Seconds until it will have been given up.
        seconds: u32,
    },
    /// Too many claim it at once.
    Contended,
    /// It cannot be claimed, and who else may have it is not known yet.
    Unknown,
}

/// The claims of one gateway, and what it knows of the others.
pub struct KubeClaims {
    pub(super) leases: Api<Lease>,
    pub(super) me: Claimant,
    pub(super) peers: Peers,
    /// TLS with them.
    tls: Arc<PeerTls>,
    /// The port of this gateway's admin listener, if others can ask there.
    port: OnceLock<u16>,
    /// Time at which this gateway's own Lease was last renewed, as the renewer reports.
    pub(super) renewed: watch::Sender<Option<Instant>>,
    /// State; locked for look-ups only, never across an await.
    state: Mutex<State>,
    /// Notified when there is something to release.
    pub(super) released: Notify,
    requests: Semaphore,
    client: Client,
    namespace: String,
    shed_per_second: u32,
}

#[derive(Default)]
struct State {
    held: HashMap<SubscriptionId, Claimed>,
    /// Refusals and until when they stand, for clients that come again at once: the API server is not asked for each.
    taken: HashMap<SubscriptionId, (ClaimError, Instant)>,
    /// Claims whose streams have ended, by subscription, with the version to delete.
    released: HashMap<SubscriptionId, String>,
    /// Claims to release that another gateway may have taken over meanwhile.
    doubtful: HashMap<SubscriptionId, String>,
    /// Gateways that reported that they take a stream without a claim: it may not be written yet.
    pending_takeovers: HashMap<SubscriptionId, BTreeMap<String, PendingTakeover>>,
    /// Number of takeovers that were noted.
    takeovers_noted: u64,
}

/// Report of another gateway that it takes a stream without a claim.
#[derive(Clone, Copy, Debug)]
struct PendingTakeover {
    /// Distinguishes this report from later ones.
    number: u64,
    at: Instant,
    /// Address at which it can be asked, if it said so.
    place: Option<SocketAddr>,
    /// It is asked by TLS.
    tls: bool,
}

/// A claim that this gateway holds.
#[derive(Clone, Debug)]
pub(super) struct Claimed {
    pub uid: String,
    /// The version of the Lease as we wrote it; absent while the API server could not be reached to write it.
    pub version: Option<String>,
    /// Progress that was reported last, and when.
    pub reported: Option<(Progress, Instant)>,
}

/// The right to a stream among all gateways; dropping it gives it back.
pub(crate) struct ClaimGuard {
    claims: Arc<KubeClaims>,
    id: SubscriptionId,
}

impl std::fmt::Debug for ClaimGuard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ClaimGuard").field(&self.id).finish()
    }
}

impl Guard for ClaimGuard {}

impl Drop for ClaimGuard {
    fn drop(&mut self) {
        let mut state = self.claims.lock();
        if let Some(version) = state.held.remove(&self.id).and_then(|c| c.version) {
            state.released.insert(self.id.clone(), version);
            drop(state);
            self.claims.released.notify_one();
        }
    }
}

/// Outcome of one attempt to claim a stream.
enum Attempt {
    Done(Option<String>),
    Again,
}

impl KubeClaims {
    /// The claims of `group` in `namespace`, seen from `pod`. `shed_per_second` streams above the fair share are closed a second.
    pub fn new(
        client: Client,
        namespace: impl Into<String>,
        group: &str,
        pod: &str,
        shed_per_second: u32,
    ) -> Arc<Self> {
        let namespace = namespace.into();
        let me = Claimant::new(group, pod);
        let peers = Peers::default();
        peers.set_own(lease_name(pod), me.holder.clone());
        Arc::new(Self {
            leases: Api::namespaced(client.clone(), &namespace),
            me,
            peers,
            tls: Arc::default(),
            port: OnceLock::new(),
            renewed: watch::Sender::new(None),
            state: Mutex::default(),
            released: Notify::new(),
            requests: Semaphore::new(REQUESTS),
            client,
            namespace,
            shed_per_second,
        })
    }

    /// The renewer of this gateway's own Lease. Other gateways reach the admin listener at `peer` (HOST:PORT); without it they
    /// cannot ask this one.
    pub fn lease_renewer(&self, peer: Option<String>) -> LeaseRenewer {
        let port = peer
            .as_deref()
            .and_then(|peer| peer.rsplit_once(':')?.1.parse().ok());
        if let Some(port) = port {
            let _ = self.port.set(port);
        }
        LeaseRenewer::new(
            self.client.clone(),
            &self.namespace,
            self.me.clone(),
            peer,
            self.tls.clone(),
            self.renewed.clone(),
        )
    }

    /// TLS with the other gateways.
    pub(crate) fn tls(&self) -> Arc<PeerTls> {
        self.tls.clone()
    }

    /// Returns whether a gateway at this address asks without TLS, as those of 0.2.0 do.
    pub(crate) fn asks_without_tls(&self, address: IpAddr) -> bool {
        self.peers.asks_without_tls(address)
    }

    /// Follows the others, releases what has ended, reports how far streams have come, and sheds; until a part ends.
    ///
    /// # Errors
    /// A part of it that ended.
    pub(crate) async fn run(
        self: Arc<Self>,
        registry: Arc<Registry>,
        ring: Arc<Ring>,
    ) -> anyhow::Result<()> {
        tokio::select! {
            result = self.peers.follow(Api::namespaced(self.client.clone(), &self.namespace), &self.me.group) => result,
            () = release::run(&self) => anyhow::bail!("the release of claims ended"),
            () = report::run(&self, &registry, &ring) => anyhow::bail!("the report of streams ended"),
            () = shed::run(&self, &registry, self.shed_per_second) => anyhow::bail!("the shedding of streams ended"),
        }
    }

    /// Gives back what is still to be given back, when the gateway ends. A claim that stays is found dead by
    /// gateways that probe this one.
    pub(crate) async fn finish(&self) {
        if timeout(FINISH_TIMEOUT, release::release_all(self)).await != Ok(true) {
            tracing::warn!("not every claim of a stream could be released");
        }
    }

    /// Claims a subscription's stream. While the API server cannot be reached, the other gateways are asked directly.
    pub(crate) async fn claim(
        self: &Arc<Self>,
        id: &SubscriptionId,
        uid: &str,
    ) -> Result<ClaimGuard, ClaimError> {
        if let Some(taken) = self.known(id) {
            return Err(taken);
        }
        if let Err(taken) = self.probe_pending_takeovers(id).await {
            self.remember(id, &taken);
            return Err(taken);
        }
        if let Some(version) = self.reclaim(id) {
            return Ok(self.hold(id, uid, Some(version)));
        }
        let mut renewed = self.renewed.subscribe();
        let joined = renewed.wait_for(Option::is_some);
        let joined = timeout(MEMBERSHIP_TIMEOUT, joined).await.is_ok();
        for _ in 0..ATTEMPTS {
            let attempt = if joined {
                self.attempt(id, uid).await
            } else {
                Err(Failed::Api(kube::Error::Service(
                    "this gateway's own Lease is not written yet".into(),
                )))
            };
            match attempt {
                Ok(Attempt::Done(version)) => return Ok(self.hold(id, uid, version)),
                Ok(Attempt::Again) => (),
                Err(Failed::ClaimError(taken)) => {
                    self.remember(id, &taken);
                    return Err(taken);
                }
                Err(Failed::Api(error)) => {
                    tracing::warn!(subscription = %id, error = reason(&error), "cannot claim the stream; asking the other gateways");
                    self.ask_all(id).await?;
                    return Ok(self.hold(id, uid, None));
                }
            }
        }
        Err(ClaimError::Contended)
    }

    /// Reason why the stream could not be claimed a moment ago, if so.
    fn known(&self, id: &SubscriptionId) -> Option<ClaimError> {
        let state = self.lock();
        let (taken, until) = state.taken.get(id)?;
        (*until > Instant::now()).then(|| taken.clone())
    }

    fn remember(&self, id: &SubscriptionId, taken: &ClaimError) {
        let now = Instant::now();
        let until = now + FRESH;
        let mut state = self.lock();
        state.taken.retain(|_, (_, until)| *until > now);
        state.taken.insert(id.clone(), (taken.clone(), until));
    }

    /// Reclaims what a client of ours has just left, instead of deleting the claim and creating another.
    fn reclaim(&self, id: &SubscriptionId) -> Option<String> {
        let recent = self
            .renewed
            .borrow()
            .is_some_and(|r| r.elapsed() < SURELY_OURS);
        recent.then(|| self.lock().released.remove(id)).flatten()
    }

    fn hold(
        self: &Arc<Self>,
        id: &SubscriptionId,
        uid: &str,
        version: Option<String>,
    ) -> ClaimGuard {
        let claimed = Claimed {
            uid: uid.to_owned(),
            version,
            reported: None,
        };
        self.lock().held.insert(id.clone(), claimed);
        ClaimGuard {
            claims: self.clone(),
            id: id.clone(),
        }
    }

    async fn attempt(&self, id: &SubscriptionId, uid: &str) -> Result<Attempt, Failed> {
        let claim = self.me.claim(id, uid, Timestamp::now());
        match self
            .in_turn(self.leases.create(&PostParams::default(), &claim))
            .await
        {
            Ok(made) => return Ok(Attempt::Done(made.resource_version())),
            Err(kube::Error::Api(status)) if status.is_already_exists() => (),
            Err(error) => return Err(Failed::Api(error)),
        }
        let name = self.me.claim_name(id);
        let Some(found) = self.in_turn(self.leases.get_opt(&name)).await? else {
            return Ok(Attempt::Again);
        };
        if holder(&found).is_some_and(|h| h != self.me.holder) {
            self.probe_holder(&found, id).await?;
        }
        let patch = Patch::Merge(self.me.take_over(&found, uid, Timestamp::now()));
        let params = PatchParams::default();
        match self
            .in_turn(self.leases.patch(&name, &params, &patch))
            .await
        {
            Ok(taken) => Ok(Attempt::Done(taken.resource_version())),
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_not_found() => {
                Ok(Attempt::Again)
            }
            Err(error) => Err(Failed::Api(error)),
        }
    }

    /// One request to the API server, when it is its turn.
    async fn in_turn<T>(&self, request: impl Future<Output = kube::Result<T>>) -> kube::Result<T> {
        // Closed only when the process ends.
        let _turn = self.requests.acquire().await;
        in_time(request).await
    }

    /// Checks that the claim may be taken over: its holder is dead, or has no such stream, or its client does not answer.
    async fn probe_holder(&self, found: &Lease, id: &SubscriptionId) -> Result<(), Failed> {
        let name = holder(found).unwrap_or_default();
        let pod = pod(found).to_owned();
        let Some(place) = self.place(name, &pod, None).await? else {
            return Ok(());
        };
        let asked = self.probe_holder_client(place, pod, id).await;
        asked.map_err(Failed::ClaimError)
    }

    /// Place of the gateway that claims name like this; none if it has ended. `said` is what it said itself, if it did.
    async fn place(
        &self,
        holder: &str,
        pod: &str,
        said: Option<Place>,
    ) -> kube::Result<Option<Place>> {
        if let Some(peer) = self.peers.by_holder(holder) {
            return Ok(Some(peer.place()));
        }
        // Its Lease may not be written yet.
        if said.is_some() {
            return Ok(said);
        }
        // It may be so new that the watch has not reported it.
        let name = lease_name(pod);
        let lease = self.in_turn(self.leases.get_opt(&name)).await?;
        let peer = lease.and_then(|lease| read(&lease, None));
        Ok(peer.filter(|peer| peer.holder == holder).map(Peer::place))
    }

    /// Probes the gateways that took the stream without a claim: each has it for as long as its client answers.
    async fn probe_pending_takeovers(&self, id: &SubscriptionId) -> Result<(), ClaimError> {
        let pending_takeovers = self
            .lock()
            .pending_takeovers
            .get(id)
            .cloned()
            .unwrap_or_default();
        let mut unknown = false;
        for (taker, takeover) in pending_takeovers {
            let pod = pod_of(&taker);
            // It lived when it said so, and whoever does counts for as long as its Lease.
            let expires = takeover.at + DURATION;
            let said = takeover.place.map(|place| Place {
                address: Some(place.to_string()),
                tls: takeover.tls,
                expires,
            });
            match self.place(&taker, pod, said).await {
                Ok(Some(place)) => {
                    self.probe_holder_client(place, pod.to_owned(), id).await?;
                }
                Err(_) if expires > Instant::now() => {
                    unknown = true;
                    continue;
                }
                Ok(None) | Err(_) => (),
            }
            self.forget_takeover(id, &taker, takeover.number);
        }
        if unknown {
            Err(ClaimError::Unknown)
        } else {
            Ok(())
        }
    }

    /// Answers another gateway that asks for a stream: `look` finds out whether a client of ours has it. If none does, the other one may
    /// take over the claim, or, if it names itself as the `taker`, the stream without one.
    pub(crate) async fn answer(
        &self,
        id: &SubscriptionId,
        taker: Option<Taker<SocketAddr>>,
        look: impl Future<Output = Probed>,
    ) -> Probed {
        // Before the look: a client of ours that comes meanwhile has to ask there.
        let noted = taker.map(|taker| (self.note_takeover(id, &taker), taker.holder));
        let client = look.await;
        match (client, noted) {
            (Probed::Answers, Some((number, taker))) => self.forget_takeover(id, &taker, number),
            (Probed::Answers, None) => (),
            _ => self.yield_claim(id),
        }
        client
    }

    /// Notes that another gateway takes a stream without a claim. Returns the number of the note.
    fn note_takeover(&self, id: &SubscriptionId, taker: &Taker<SocketAddr>) -> u64 {
        let state = &mut *self.lock();
        state.takeovers_noted += 1;
        let number = state.takeovers_noted;
        let pending_takeovers = state.pending_takeovers.entry(id.clone()).or_default();
        // Whoever reaches the admin listener can say so, under any name.
        if pending_takeovers.len() >= MAX_PENDING_TAKEOVERS
            && !pending_takeovers.contains_key(&taker.holder)
        {
            let oldest = pending_takeovers
                .iter()
                .min_by_key(|(_, takeover)| takeover.at);
            let oldest = oldest.map(|(taker, _)| taker.clone());
            oldest.and_then(|oldest| pending_takeovers.remove(&oldest));
        }
        let takeover = PendingTakeover {
            number,
            at: Instant::now(),
            place: taker.place,
            tls: taker.tls,
        };
        pending_takeovers.insert(taker.holder.clone(), takeover);
        number
    }

    /// Forgets a takeover by a gateway that does not have the stream any more. Later reports of it count.
    fn forget_takeover(&self, id: &SubscriptionId, taker: &str, number: u64) {
        let pending_takeovers = &mut self.lock().pending_takeovers;
        if let Some(left) = pending_takeovers.get_mut(id) {
            left.retain(|holder, takeover| holder != taker || takeover.number > number);
            if left.is_empty() {
                pending_takeovers.remove(id);
            }
        }
    }

    /// Yields the claim to another gateway, which has heard that no client of ours has the stream: it may take it over.
    fn yield_claim(&self, id: &SubscriptionId) {
        let mut state = self.lock();
        if let Some(version) = state.released.remove(id) {
            state.doubtful.insert(id.clone(), version);
        }
    }

    /// Checks without the API server that no other gateway has the stream with a client that answers. Those that
    /// cannot be reached count as gone, too: a client that reconnects must not depend on the API server.
    async fn ask_all(&self, id: &SubscriptionId) -> Result<(), ClaimError> {
        self.peers.refresh().await;
        if !self.peers.are_complete() {
            return Err(ClaimError::Unknown);
        }
        let taker = Taker {
            holder: self.me.holder.clone(),
            place: self.port.get().copied(),
            tls: false,
        };
        let others = self
            .peers
            .all()
            .into_iter()
            .filter(|p| p.holder != self.me.holder);
        let asked = others.filter_map(|peer| {
            let address = peer.address?;
            let pod = pod_of(&peer.holder).to_owned();
            let taker = &taker;
            Some(async move { (pod, self.probe(&address, peer.tls, id, Some(taker)).await) })
        });
        for (pod, answer) in futures_util::future::join_all(asked).await {
            match answer {
                Ok(Probed::Answers) => return Err(ClaimError::Elsewhere { pod }),
                // It lives, and may well have the stream.
                Err(error) if error.is::<NotAPeer>() => return Err(ClaimError::Unknown),
                Ok(Probed::Silent | Probed::NotHeld) | Err(_) => (),
            }
        }
        Ok(())
    }

    /// Asks another gateway, as it wants to be asked; without a certificate of the group's, it cannot be asked by TLS.
    async fn probe(
        &self,
        address: &str,
        by_tls: bool,
        id: &SubscriptionId,
        taker: Option<&Taker<u16>>,
    ) -> anyhow::Result<Probed> {
        let tls = self.tls.current();
        if by_tls && tls.is_none() {
            return Err(NotAPeer.into());
        }
        let first = tls.as_ref().filter(|_| by_tls);
        match probe_client(address, first, id, taker).await {
            // It knows the certificate by now, and its Lease does not say so yet.
            Err(error) if error.is::<NotAPeer>() && !by_tls && tls.is_some() => {
                probe_client(address, tls.as_ref(), id, taker).await
            }
            answer => answer,
        }
    }

    /// Checks that a stream may be taken over from the gateway that has it: its client does not answer, or the gateway has no such
    /// stream or is dead.
    async fn probe_holder_client(
        &self,
        place: Place,
        pod: String,
        id: &SubscriptionId,
    ) -> Result<(), ClaimError> {
        let asked = match place.address {
            Some(address) => self.probe(&address, place.tls, id, None).await,
            None => Err(anyhow::anyhow!("it does not say where it can be asked")),
        };
        match asked {
            Ok(Probed::Answers) => Err(ClaimError::Elsewhere { pod }),
            Ok(Probed::Silent | Probed::NotHeld) => Ok(()),
            Err(error) => {
                let left = place.expires.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Ok(());
                }
                tracing::info!(subscription = %id, pod, %error, "the holder of the stream cannot be asked");
                let seconds = u32::try_from(left.as_secs())
                    .unwrap_or(u32::MAX)
                    .saturating_add(1);
                Err(ClaimError::Unreachable { pod, seconds })
            }
        }
    }

    /// A copy of what is held.
    pub(super) fn held(&self) -> Vec<(SubscriptionId, Claimed)> {
        let state = self.lock();
        state
            .held
            .iter()
            .map(|(id, c)| (id.clone(), c.clone()))
            .collect()
    }

    /// Changes what is known of a claim, unless it was given back meanwhile.
    pub(super) fn update(&self, id: &SubscriptionId, change: impl FnOnce(&mut Claimed)) {
        if let Some(claimed) = self.lock().held.get_mut(id) {
            change(claimed);
        }
    }

    /// Everything that is to be released, handed over.
    pub(super) fn take_released(&self) -> HashMap<SubscriptionId, String> {
        let mut state = self.lock();
        let mut all = std::mem::take(&mut state.doubtful);
        all.extend(std::mem::take(&mut state.released));
        all
    }

    /// Puts back a claim that could not be released.
    pub(super) fn put_back(&self, id: SubscriptionId, version: String) {
        let mut state = self.lock();
        if !state.held.contains_key(&id) && !state.released.contains_key(&id) {
            state.doubtful.entry(id).or_insert(version);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reason why an attempt failed.
enum Failed {
    ClaimError(ClaimError),
    /// The API server cannot be reached, or does not do what it is asked.
    Api(kube::Error),
}

impl From<kube::Error> for Failed {
    fn from(error: kube::Error) -> Self {
        Self::Api(error)
    }
}

#[cfg(test)]
mod tests;

//! Registry of the open streams: at most one per subscription.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use datastream_protocol::close::CloseCause;
use datastream_routing::{ByBucket, RouteTable, SubscriptionId};
use datastream_service::log_limit::LogLimit;
use tokio::time::Instant;

use super::probe::{Probed, probe};
use crate::access::{Admission, Refusal, reauthorize};
use crate::fanout::{DispatcherHandle, Ring, SendQueue};
use crate::limits::{AddressKey, Known, PerScope, Scope};

/// The open streams of this gateway.
#[derive(Debug)]
pub(crate) struct Registry {
    open: Mutex<Open>,
    /// Bounds the log of streams that come and go.
    log: Mutex<LogLimit>,
}

/// The open streams, and how many there are of whom.
#[derive(Debug, Default)]
struct Open {
    streams: ByBucket<Arc<SendQueue>>,
    by_namespace: HashMap<Arc<str>, u32>,
    by_address: HashMap<AddressKey, u32>,
    /// Subscriptions that get no stream until then.
    held_back: Known<SubscriptionId, Instant>,
}

/// Limits on open streams.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamLimits {
    /// Those of this gateway.
    pub all: usize,
    /// Those of a namespace and an address.
    pub each: PerScope,
}

/// Lines a second in which streams that come and go are logged.
const LOG_LINES: u32 = 50;

impl Default for Registry {
    fn default() -> Self {
        Self {
            open: Mutex::default(),
            log: Mutex::new(LogLimit::new(LOG_LINES, Duration::from_secs(1))),
        }
    }
}

/// Progress of a stream, for people to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The `seq` of the last event that was sent.
    pub last_seq: Option<Box<str>>,
    /// Records that the stream has yet to see.
    pub lag: u64,
}

/// A right that is given back when it is dropped.
pub(crate) trait Guard: std::fmt::Debug + Send + Sync {}

/// The right to the one stream of a subscription; dropping it gives it back and leaves the live fan-out.
#[derive(Debug)]
pub(crate) struct Registration {
    registry: Arc<Registry>,
    dispatcher: DispatcherHandle,
    id: SubscriptionId,
    address: Option<AddressKey>,
    queue: Arc<SendQueue>,
    /// The right to it among all gateways, if there are others.
    held: Option<Box<dyn Guard>>,
}

/// Load of a gateway: the number of its streams.
#[derive(Clone, Debug, Default)]
pub struct StreamCount(pub(crate) Arc<Registry>);

impl StreamCount {
    /// Open streams.
    pub fn streams(&self) -> usize {
        self.0.len()
    }
}

impl Registry {
    /// Registers a subscription's stream, for a client with this address.
    ///
    /// # Errors
    /// It has one, or there are as many streams as there may be.
    pub(crate) fn register(
        self: &Arc<Self>,
        admission: &Admission,
        dispatcher: &DispatcherHandle,
        queue: impl FnOnce() -> SendQueue,
        limits: StreamLimits,
        address: Option<IpAddr>,
    ) -> Result<Registration, Refusal> {
        let id = &admission.route.id;
        let address = address.map(AddressKey::from);
        let mut open = self.lock();
        open.check(id, address, limits)?;
        let queue = Arc::new(queue());
        open.streams.insert(id.clone(), queue.clone());
        *open.by_namespace.entry(id.namespace.clone()).or_default() += 1;
        if let Some(address) = address {
            *open.by_address.entry(address).or_default() += 1;
        }
        Ok(Registration {
            registry: self.clone(),
            dispatcher: dispatcher.clone(),
            id: id.clone(),
            address,
            queue,
            held: None,
        })
    }

    /// Applies what changed in a table since another one to the open streams.
    pub(crate) fn apply(&self, table: &RouteTable, before: &RouteTable) {
        let open = self.lock();
        for bucket in table.changed_since(before) {
            for queue in open.streams.bucket(bucket).values() {
                apply(table, queue);
            }
        }
    }

    /// Closes every stream whose client was let in by what has expired by now, in seconds since 1970.
    pub(crate) fn expire(&self, now: i64) {
        for queue in self.lock().streams.values() {
            if queue.end_of_principal().is_some_and(|end| end <= now) {
                queue.close(CloseCause::CredentialExpired);
            }
        }
    }

    /// The queues of all open streams, in no order.
    pub(crate) fn queues(&self) -> Vec<Arc<SendQueue>> {
        self.lock().streams.values().cloned().collect()
    }

    /// Finds out whether the client of a stream is still there. One that does not answer loses its stream.
    pub(crate) async fn probe(&self, id: &SubscriptionId) -> Probed {
        let queue = self.lock().streams.get(id).cloned();
        match queue {
            Some(queue) => probe(&queue).await,
            None => Probed::NotHeld,
        }
    }

    /// Closes a stream at once.
    pub(crate) fn abort(&self, id: &SubscriptionId, cause: &CloseCause) {
        if let Some(queue) = self.lock().streams.get(id) {
            queue.abort(cause.clone());
        }
    }

    /// Progress of a stream; `None` if it is not open.
    pub(crate) fn progress(&self, id: &SubscriptionId, ring: &Ring) -> Option<Progress> {
        let queue = self.lock().streams.get(id).cloned()?;
        let last = queue.last_sent();
        let lag = match &last {
            Some(last) if !queue.is_live() => ring.records_behind(&last.after),
            _ => 0,
        };
        let last_seq = last.map(|last| last.seq().as_str().into());
        Some(Progress { last_seq, lag })
    }

    /// Some streams, at most this many.
    pub(crate) fn some(&self, count: usize) -> Vec<Arc<SendQueue>> {
        self.lock().streams.values().take(count).cloned().collect()
    }

    /// Returns whether a subscription's stream is open.
    pub(crate) fn has(&self, id: &SubscriptionId) -> bool {
        self.lock().streams.get(id).is_some()
    }

    /// Asks for a log line about a stream that comes or goes. Returns the number of such lines held back before it, or `None` if
    /// it is to be held back, too.
    pub(crate) fn log_admits(&self) -> Option<u64> {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.admit(Instant::now().into_std())
    }

    /// Number of open streams.
    pub(crate) fn len(&self) -> usize {
        self.lock().streams.len()
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Checks that there may be one more stream, of this subscription for this address.
    fn check(
        &mut self,
        id: &SubscriptionId,
        address: Option<AddressKey>,
        limits: StreamLimits,
    ) -> Result<(), Refusal> {
        if self.streams.get(id).is_some() {
            return Err(Refusal::InUse { pod: None });
        }
        let held_back = self.held_back.get_mut(id);
        let left = held_back.and_then(|until| until.checked_duration_since(Instant::now()));
        if let Some(left) = left.filter(|left| !left.is_zero()) {
            return Err(Refusal::Busy {
                limit: "messages/subscription",
                reason: "its client sent too many messages, and was sent away",
                retry_seconds: u32::try_from(left.as_secs())
                    .map_or(u32::MAX, |s| s.saturating_add(1)),
            });
        }
        let is_reached = |scope, count: Option<&u32>| {
            let limit = limits.each.of(scope);
            limit.is_some_and(|limit| count.is_some_and(|count| *count >= limit.get()))
        };
        if is_reached(Scope::Namespace, self.by_namespace.get(&id.namespace)) {
            let reason = "the namespace has as many streams on this gateway as it may";
            return Err(Refusal::busy("streams/namespace", reason));
        }
        let of_address = address.and_then(|address| self.by_address.get(&address));
        if is_reached(Scope::Address, of_address) {
            let reason = "this address has as many streams on this gateway as it may";
            return Err(Refusal::busy("streams/address", reason));
        }
        if self.streams.len() >= limits.all {
            let reason = "this gateway has as many streams as it may";
            return Err(Refusal::busy("streams/gateway", reason));
        }
        Ok(())
    }

    fn remove(&mut self, id: &SubscriptionId, address: Option<AddressKey>) {
        self.streams.remove(id);
        leave(&mut self.by_namespace, &id.namespace);
        if let Some(address) = address {
            leave(&mut self.by_address, &address);
        }
    }
}

/// Counts one less.
fn leave<K: Eq + Hash>(counts: &mut HashMap<K, u32>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

impl Registration {
    /// Keeps the right to the stream among all gateways, too.
    pub(crate) fn keep(&mut self, held: impl Guard + 'static) {
        self.held = Some(Box::new(held));
    }

    /// Returns whether the progress of the stream is reported.
    pub(crate) fn is_reported(&self) -> bool {
        self.held.is_some()
    }

    /// Asks for a log line about this stream, which comes or goes ([`Registry::log_admits`]).
    pub(crate) fn log_admits(&self) -> Option<u64> {
        self.registry.log_admits()
    }

    /// Lets the subscription have no stream on this gateway for some time.
    pub(crate) fn hold_back(&self, time: Duration) {
        let now = Instant::now();
        let mut open = self.registry.lock();
        let is_over = |until: &mut Instant| *until <= now;
        if let Some(until) = open.held_back.entry(self.id.clone(), || now, is_over) {
            *until = now + time;
        }
    }

    /// Subscription that the stream belongs to.
    pub(crate) fn id(&self) -> &SubscriptionId {
        &self.id
    }

    /// The stream's queue.
    pub(crate) fn queue(&self) -> &Arc<SendQueue> {
        &self.queue
    }

    /// Looks at a table once more: it may have changed between the look-up of the key and the claim.
    pub(crate) fn check(&self, table: &RouteTable) {
        apply(table, &self.queue);
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.registry.lock().remove(&self.id, self.address);
        self.queue.end();
        self.dispatcher.leave(self.id.clone(), self.queue.clone());
    }
}

fn apply(table: &RouteTable, queue: &SendQueue) {
    match reauthorize(&queue.route(), &queue.principal(), table) {
        Ok(None) => (),
        Ok(Some(route)) => queue.set_route(route),
        // What it had yet to be sent may be what is denied now.
        Err(CloseCause::Denied) => queue.abort(CloseCause::Denied),
        Err(cause) => queue.close(cause),
    }
}

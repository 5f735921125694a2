//! Rates of what is sent and read, for whom they are shared.

use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use datastream_routing::SubscriptionId;
use tokio::time::Instant;

use super::address::AddressKey;
use super::known::Known;
use super::scope::Scope;
use super::settings::{Limits, PerScope};

/// Time for which a rate that was not used may be made up for at once.
const BURST: Duration = Duration::from_secs(1);
/// Bytes of a KiB.
const KIB: f64 = 1024.0;

/// A rate, kept by when what was charged so far would have taken place at it (the generic cell rate algorithm, ITU-T I.371). What is
/// charged beyond it makes the ones that charge wait, one after the other.
#[derive(Debug)]
struct Rate {
    per_second: f64,
    next: Mutex<Instant>,
}

impl Rate {
    fn new(per_second: f64) -> Self {
        let next = Mutex::new(made_up_for(Instant::now()));
        Self { per_second, next }
    }

    /// Charges an amount that was used, and returns when the one who used it may use more.
    fn charge(&self, amount: u64, now: Instant) -> Instant {
        let lasts = Duration::from_secs_f64(amount as f64 / self.per_second);
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        *next = (*next).max(made_up_for(now)) + lasts;
        *next
    }

    /// The time until which what was charged lasts.
    fn next(&self) -> Instant {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether a new one would be the same.
    fn is_idle(self: &Arc<Self>, now: Instant) -> bool {
        Arc::strong_count(self) == 1 && self.next() <= made_up_for(now)
    }
}

/// The time since which a rate that was not used is made up for.
fn made_up_for(now: Instant) -> Instant {
    now.checked_sub(BURST).unwrap_or(now)
}

/// One quantity's rates for all that share them. They outlive the streams: who connects again goes on with the rate that it had.
#[derive(Debug, Default)]
struct Shared {
    limits: PerScope,
    /// The charge for one of what the limits count.
    unit: f64,
    gateway: Option<Arc<Rate>>,
    subscriptions: Mutex<Known<SubscriptionId, Arc<Rate>>>,
    namespaces: Mutex<Known<Arc<str>, Arc<Rate>>>,
    addresses: Mutex<Known<AddressKey, Arc<Rate>>>,
}

fn shared<K: Eq + Hash>(
    rates: &Mutex<Known<K, Arc<Rate>>>,
    key: K,
    per_second: f64,
) -> Option<Arc<Rate>> {
    let now = Instant::now();
    let mut rates = rates.lock().unwrap_or_else(PoisonError::into_inner);
    let make = || Arc::new(Rate::new(per_second));
    rates.entry(key, make, |rate| rate.is_idle(now)).cloned()
}

impl Shared {
    fn new(limits: PerScope, unit: f64) -> Self {
        let gateway = limits.of(Scope::Gateway);
        let gateway = gateway.map(|rate| Arc::new(Rate::new(f64::from(rate.get()) * unit)));
        Self {
            limits,
            unit,
            gateway,
            ..Self::default()
        }
    }

    fn rates(&self, id: &SubscriptionId, address: Option<IpAddr>) -> Vec<(Scope, Arc<Rate>)> {
        let rate = |scope| {
            let per_second = f64::from(self.limits.of(scope)?.get()) * self.unit;
            let rate = match scope {
                Scope::Subscription => shared(&self.subscriptions, id.clone(), per_second),
                Scope::Namespace => shared(&self.namespaces, id.namespace.clone(), per_second),
                Scope::Address => shared(&self.addresses, address?.into(), per_second),
                Scope::Gateway => self.gateway.clone(),
            };
            Some((scope, rate?))
        };
        Scope::ALL.into_iter().filter_map(rate).collect()
    }
}

/// The rates of one quantity that hold for one stream.
#[derive(Debug, Default)]
pub(crate) struct Pace(Vec<(Scope, Arc<Rate>)>);

impl Pace {
    /// Charges an amount that was used. Returns until when to wait before more is used, if at all, and for whose limit.
    pub(crate) fn charge(&self, amount: u64) -> Option<(Instant, Scope)> {
        if self.0.is_empty() || amount == 0 {
            return None;
        }
        let now = Instant::now();
        let charged = self
            .0
            .iter()
            .map(|(scope, rate)| (rate.charge(amount, now), *scope));
        charged
            .max_by_key(|(until, _)| *until)
            .filter(|(until, _)| *until > now)
    }
}

impl Pace {
    /// The time until which to wait before anything is used, if what was charged before, by whomever, lasts until then.
    pub(crate) fn held_until(&self) -> Option<Instant> {
        let until = self.0.iter().map(|(_, rate)| rate.next()).max()?;
        (until > Instant::now()).then_some(until)
    }
}

/// The rates that hold for one stream.
#[derive(Debug, Default)]
pub(crate) struct Paces {
    /// Events that are sent.
    pub events: Pace,
    /// Bytes that are sent.
    pub sent: Pace,
    /// Bytes that are read from the topic.
    pub replayed: Pace,
}

/// The rates of a gateway.
#[derive(Debug)]
pub(crate) struct Rates {
    events: Shared,
    sent: Shared,
    replayed: Shared,
}

impl Rates {
    /// Rates by these limits.
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            events: Shared::new(limits.events, 1.0),
            sent: Shared::new(limits.sent_kib, KIB),
            replayed: Shared::new(limits.replayed_kib, KIB),
        }
    }

    /// The rates that hold for a stream of this subscription, for a client with this address; none if there are none.
    pub(crate) fn of(&self, id: &SubscriptionId, address: Option<IpAddr>) -> Option<Arc<Paces>> {
        let all = [&self.events, &self.sent, &self.replayed];
        if all.iter().all(|shared| shared.limits.is_none()) {
            return None;
        }
        let [events, sent, replayed] = all.map(|shared| Pace(shared.rates(id, address)));
        Some(Arc::new(Paces {
            events,
            sent,
            replayed,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(namespace: &str, name: &str) -> SubscriptionId {
        SubscriptionId::new(namespace, name)
    }

    fn rates(events: &str) -> Rates {
        Rates::new(&Limits {
            events: events.parse().unwrap(),
            ..Limits::default()
        })
    }

    /// Sends batches as fast as they may be sent, and returns how many events that are in these seconds.
    fn sent(streams: &[Arc<Paces>], batch: u64, seconds: u64) -> Vec<u64> {
        let (begun, mut sent) = (Instant::now(), vec![0; streams.len()]);
        let mut due = vec![begun; streams.len()];
        let end = begun + Duration::from_secs(seconds);
        loop {
            let next = (0..due.len()).min_by_key(|n| due[*n]).unwrap();
            if due[next] >= end {
                return sent;
            }
            sent[next] += batch;
            let rates = &streams[next].events.0;
            let free = rates.iter().map(|(_, rate)| rate.charge(batch, due[next]));
            due[next] = free.max().unwrap().max(due[next]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_keeps_its_rate_after_a_burst() {
        let rates = rates("subscription=1000");
        let stream = rates.of(&id("a", "1"), None).unwrap();
        let sent = sent(&[stream], 100, 10)[0];
        assert!((10_000..=11_200).contains(&sent), "{sent}");
    }

    #[tokio::test(start_paused = true)]
    async fn streams_of_a_namespace_share_its_rate_evenly_and_take_nothing_from_another() {
        let rates = rates("namespace=1000");
        let streams = ["a", "a", "a", "a", "b"].map(|n| rates.of(&id(n, "1"), None).unwrap());
        let sent = sent(&streams, 100, 20);
        let (of_a, of_b) = (&sent[..4], sent[4]);
        assert!(
            (20_000..=21_500).contains(&of_a.iter().sum::<u64>()),
            "{sent:?}"
        );
        // The first one has the burst.
        let difference = of_a.iter().max().unwrap() - of_a.iter().min().unwrap();
        assert!(difference <= 1_000 + 200, "{sent:?}");
        assert!((20_000..=21_500).contains(&of_b), "{sent:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_tightest_limit_is_named_and_without_limits_there_is_nothing() {
        let rates = rates("subscription=1000,address=100");
        let stream = rates
            .of(&id("a", "1"), Some([192, 0, 2, 1].into()))
            .unwrap();
        let (until, scope) = stream.events.charge(300).unwrap();
        assert_eq!(scope, Scope::Address);
        assert_eq!(until - Instant::now(), Duration::from_secs(2));
        assert!(stream.sent.charge(1 << 20).is_none());
        assert!(
            Rates::new(&Limits::default())
                .of(&id("a", "1"), None)
                .is_none()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn who_connects_again_goes_on_with_the_rate_that_it_had() {
        let rates = rates("subscription=100");
        let charged = |n: &str| {
            let stream = rates.of(&id("a", n), None).unwrap();
            let held = stream.events.held_until().is_some();
            stream.events.charge(1_000);
            held
        };
        assert!(!charged("1"));
        assert!(charged("1"), "of another stream of the same subscription");
        assert!(!charged("2"));
        tokio::time::advance(Duration::from_mins(1)).await;
        assert!(!charged("1"));
    }
}

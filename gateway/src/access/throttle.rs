//! Bounds on the rate of requests: a storm of reconnects cannot starve the streams that are open, and one key or namespace
//! cannot use up what is there for all.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datastream_routing::{KeyHash, Route};
use tokio::time::Instant;

use super::Refusal;
use crate::limits::{AddressKey, Bucket, Gate, Known};

/// Requests with one key that may be under way at once: one that opens the stream, and one that contends with it.
const UNDER_WAY: u32 = 2;
/// The part of the common rate that one key has. A client that loses its stream comes back once, not a hundred times a second.
const KEY_SHARE: f64 = 1.0 / 100.0;
/// The burst of a key, in seconds of its rate.
const KEY_BURST: f64 = 5.0;
/// The least rate of a key, however small the common one is, a second.
const KEY_LEAST: f64 = 2.0;
/// The part of the common rate that one namespace has while others want some, too.
const NAMESPACE_SHARE: f64 = 0.5;
#[derive(Debug)]
struct Key {
    bucket: Bucket,
    under_way: u32,
}

#[derive(Debug)]
struct State {
    all: Bucket,
    /// Requests that open no stream.
    reports: Bucket,
    keys: Known<KeyHash, Key>,
    namespaces: Known<Arc<str>, Bucket>,
    /// Signatures of tokens.
    signatures: Gate,
    /// Handshakes of TLS.
    tls: Gate,
    /// Requests of an address, whatever they bring.
    requests_of: Known<AddressKey, Bucket>,
}

/// The budgets of a gateway.
#[derive(Debug)]
pub(crate) struct Throttle {
    per_second: f64,
    /// Requests a second that one address may make, if that is limited.
    per_address: Option<NonZeroU32>,
    /// Held for arithmetic only.
    state: Mutex<State>,
}

/// A request that has been let in; dropping it ends the request.
#[derive(Debug)]
pub(crate) struct Permit {
    throttle: Arc<Throttle>,
    key: KeyHash,
}

/// The kind of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It opens a stream.
    Stream,
    /// It asks what is known of a key.
    Report,
}

impl Throttle {
    /// Lets this many handshakes in a second, at most this many at once; and as many reports beside them. Of one address, it takes no
    /// more requests than `per_address` a second.
    pub(crate) fn new(per_second: u32, per_address: Option<NonZeroU32>) -> Self {
        let per_second = f64::from(per_second.max(1));
        let now = Instant::now();
        let bucket = Bucket::new(per_second, per_second, now);
        Self {
            per_second,
            per_address,
            state: Mutex::new(State {
                all: bucket,
                reports: bucket,
                keys: Known::default(),
                namespaces: Known::default(),
                signatures: Gate::new(per_second, now),
                tls: Gate::new(per_second, now),
                requests_of: Known::default(),
            }),
        }
    }

    /// Lets a request of an address in, before it is known whose it is.
    ///
    /// # Errors
    /// There are more than the address may make.
    pub(crate) fn admit(&self, address: Option<IpAddr>) -> Result<(), Refusal> {
        let Some((per_second, address)) = self.per_address.zip(address) else {
            return Ok(());
        };
        let now = Instant::now();
        let rate = per_second.get().into();
        let mut state = self.lock();
        let make = || Bucket::new(rate, rate, now);
        let requests = &mut state.requests_of;
        let bucket = requests.entry(address.into(), make, |bucket| bucket.is_full(now));
        if bucket.is_none_or(|bucket| bucket.take(now)) {
            Ok(())
        } else {
            Err(Refusal::busy(
                "requests/address",
                "too many requests from this address",
            ))
        }
    }

    /// Lets the signature of a token be verified, before it is known whose it is.
    ///
    /// # Errors
    /// There are more than this gateway has time for.
    pub(crate) fn admit_signature(&self, address: Option<IpAddr>) -> Result<(), Refusal> {
        if self.lock().signatures.admit(address, Instant::now()) {
            Ok(())
        } else {
            let reason = "too many tokens are to be verified at once";
            Err(Refusal::busy("signatures/gateway", reason))
        }
    }

    /// Returns whether there is time for a handshake of TLS with a client.
    pub(crate) fn admits_tls(&self, address: IpAddr) -> bool {
        self.lock().tls.admit(Some(address), Instant::now())
    }

    /// Lets a request with the key of this route in, or says when to come back. The key's own budget comes before that of its
    /// namespace, and both before the common one: what is refused takes nothing from those who are let in.
    pub(crate) fn acquire(
        self: &Arc<Self>,
        route: &Route,
        purpose: Purpose,
    ) -> Result<Permit, Refusal> {
        let now = Instant::now();
        let mut state = self.lock();
        let State {
            all,
            reports,
            keys,
            namespaces,
            ..
        } = &mut *state;
        let rate = (self.per_second * KEY_SHARE).max(KEY_LEAST);
        let make = || Key {
            bucket: Bucket::new(rate, rate * KEY_BURST, now),
            under_way: 0,
        };
        let is_idle = |key: &mut Key| key.under_way == 0 && key.bucket.is_full(now);
        let Some(key) = keys.entry(route.key_sha256, make, is_idle) else {
            return Err(Refusal::busy(
                "requests/gateway",
                "too many clients connect at once",
            ));
        };
        if key.under_way >= UNDER_WAY {
            return Err(Refusal::busy(
                "requests/subscription",
                "requests with this key are under way already",
            ));
        }
        if key.bucket.tokens(now) < 1.0 {
            return Err(Refusal::busy(
                "requests/subscription",
                "too many requests with this key",
            ));
        }
        let common = match purpose {
            Purpose::Stream => all,
            Purpose::Report => reports,
        };
        if common.tokens(now) < 1.0 {
            return Err(Refusal::busy(
                "requests/gateway",
                "too many clients connect at once",
            ));
        }
        // As long as there is enough for everybody, nobody's share matters.
        let is_scarce = common.is_scarce(now);
        let rate = self.per_second * NAMESPACE_SHARE;
        let make = || Bucket::new(rate, rate, now);
        let namespace = route.id.namespace.clone();
        let namespace = namespaces.entry(namespace, make, |bucket| bucket.is_full(now));
        if let Some(namespace) = namespace {
            if is_scarce && namespace.tokens(now) < 1.0 {
                return Err(Refusal::busy(
                    "requests/namespace",
                    "too many clients of this namespace connect at once",
                ));
            }
            namespace.spend();
        }
        key.bucket.spend();
        common.spend();
        key.under_way += 1;
        Ok(Permit {
            throttle: self.clone(),
            key: route.key_sha256,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.throttle.lock();
        if let Some(key) = state.keys.get_mut(&self.key) {
            key.under_way = key.under_way.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use datastream_routing::SubscriptionId;

    use super::*;

    fn route(namespace: &str, name: usize) -> Route {
        let key = KeyHash::of(&format!("{namespace}/{name}"));
        Route::new(SubscriptionId::new(namespace, format!("s{name}")), key)
    }

    /// The number of these requests that are let in, each over at once.
    fn admitted(
        throttle: &Arc<Throttle>,
        routes: impl IntoIterator<Item = Route>,
        purpose: Purpose,
    ) -> usize {
        let acquire = |route: Route| throttle.acquire(&route, purpose).is_ok();
        routes
            .into_iter()
            .filter(|route| acquire(route.clone()))
            .count()
    }

    fn clients(namespace: &str, count: usize) -> Vec<Route> {
        (0..count).map(|n| route(namespace, n)).collect()
    }

    fn tenants(count: usize) -> Vec<Route> {
        (0..count).map(|n| route(&format!("n{n}"), 0)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_let_in_up_to_the_rate_and_the_rest_later() {
        let throttle = Arc::new(Throttle::new(100, None));
        let one_each = || admitted(&throttle, tenants(1000), Purpose::Stream);
        assert_eq!(one_each(), 100);
        tokio::time::advance(Duration::from_millis(500)).await;
        assert_eq!(one_each(), 50);
        tokio::time::advance(Duration::from_hours(1)).await;
        assert_eq!(one_each(), 100);
        let Err(Refusal::Busy { retry_seconds, .. }) =
            throttle.acquire(&route("x", 0), Purpose::Stream)
        else {
            panic!("let in")
        };
        assert!((1..=10).contains(&retry_seconds));
    }

    #[tokio::test(start_paused = true)]
    async fn one_key_uses_up_its_own_budget_and_nobody_elses() {
        let throttle = Arc::new(Throttle::new(1_000, None));
        let greedy = || std::iter::repeat_n(route("a", 0), 5_000);
        assert_eq!(admitted(&throttle, greedy(), Purpose::Stream), 50);
        assert_eq!(admitted(&throttle, greedy(), Purpose::Report), 0);
        assert_eq!(admitted(&throttle, tenants(900), Purpose::Stream), 900);
    }

    #[tokio::test(start_paused = true)]
    async fn reports_take_nothing_from_streams() {
        let throttle = Arc::new(Throttle::new(100, None));
        assert_eq!(admitted(&throttle, tenants(100), Purpose::Report), 100);
        let others = (100..200).map(|n| route(&format!("n{n}"), 0));
        assert_eq!(admitted(&throttle, others, Purpose::Stream), 100);
    }

    #[tokio::test(start_paused = true)]
    async fn a_namespace_has_all_that_nobody_else_wants_and_leaves_half_to_the_others() {
        let throttle = Arc::new(Throttle::new(100, None));
        assert_eq!(admitted(&throttle, clients("a", 1000), Purpose::Stream), 51);
        assert_eq!(admitted(&throttle, clients("b", 1000), Purpose::Stream), 49);
    }

    #[tokio::test(start_paused = true)]
    async fn one_key_has_few_requests_under_way() {
        let throttle = Arc::new(Throttle::new(1_000, None));
        let acquire = || throttle.acquire(&route("a", 0), Purpose::Stream);
        let under_way: Vec<_> = (0..10).filter_map(|_| acquire().ok()).collect();
        assert_eq!(under_way.len(), UNDER_WAY as usize);
        drop(under_way);
        assert!(acquire().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_makes_no_more_requests_than_it_may_and_others_do_not_notice() {
        let throttle = Throttle::new(1_000, NonZeroU32::new(10));
        let admitted = |last: u8| {
            let address = Some([192, 0, 2, last].into());
            (0..100).filter(|_| throttle.admit(address).is_ok()).count()
        };
        assert_eq!((admitted(1), admitted(2)), (10, 10));
        tokio::time::advance(Duration::from_millis(500)).await;
        assert_eq!(admitted(1), 5);
        assert!(throttle.admit(None).is_ok());
    }
}

//! Bounds on the rate of requests: a storm of reconnects cannot starve the streams that are open, and one key or namespace
//! cannot use up what is there for all.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use datastream_routing::{KeyHash, Route};
use tokio::time::Instant;

use super::Refusal;

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
/// Keys and namespaces that are remembered before those that have not been used for a while are forgotten.
const REMEMBERED: usize = 1 << 12;

/// Tokens that come back at a rate.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    per_second: f64,
    capacity: f64,
    tokens: f64,
    counted: Instant,
}

impl Bucket {
    fn new(per_second: f64, capacity: f64, now: Instant) -> Self {
        Self {
            per_second,
            capacity,
            tokens: capacity,
            counted: now,
        }
    }

    /// Tokens that are there now.
    fn tokens(&mut self, now: Instant) -> f64 {
        let grown = self.tokens + (now - self.counted).as_secs_f64() * self.per_second;
        (self.tokens, self.counted) = (grown.min(self.capacity), now);
        self.tokens
    }

    fn is_full(&mut self, now: Instant) -> bool {
        self.tokens(now) >= self.capacity
    }
}

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
    keys: HashMap<KeyHash, Key>,
    namespaces: HashMap<String, Bucket>,
}

/// The budgets of a gateway.
#[derive(Debug)]
pub(crate) struct Throttle {
    per_second: f64,
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
    /// Lets this many handshakes in a second, at most this many at once; and as many reports beside them.
    pub(crate) fn new(per_second: u32) -> Self {
        let per_second = f64::from(per_second.max(1));
        let now = Instant::now();
        let bucket = Bucket::new(per_second, per_second, now);
        Self {
            per_second,
            state: Mutex::new(State {
                all: bucket,
                reports: bucket,
                keys: HashMap::new(),
                namespaces: HashMap::new(),
            }),
        }
    }

    /// Lets a request with the key of this route in, or says when to come back. The key's own budget comes before that of its
    /// namespace, and both before the common one: what is refused takes nothing from those who are let in.
    pub(crate) fn acquire(
        self: &Arc<Self>,
        route: &Route,
        purpose: Purpose,
    ) -> Result<Permit, Refusal> {
        let now = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State {
            all,
            reports,
            keys,
            namespaces,
        } = &mut *state;
        forget(keys, |key| key.under_way == 0 && key.bucket.is_full(now));
        forget(namespaces, |bucket| bucket.is_full(now));
        let rate = (self.per_second * KEY_SHARE).max(KEY_LEAST);
        let key = keys.entry(route.key_sha256).or_insert_with(|| Key {
            bucket: Bucket::new(rate, rate * KEY_BURST, now),
            under_way: 0,
        });
        if key.under_way >= UNDER_WAY {
            return Err(Refusal::busy(
                "requests with this key are under way already",
            ));
        }
        if key.bucket.tokens(now) < 1.0 {
            return Err(Refusal::busy("too many requests with this key"));
        }
        let common = match purpose {
            Purpose::Stream => all,
            Purpose::Report => reports,
        };
        if common.tokens(now) < 1.0 {
            return Err(Refusal::busy("too many clients connect at once"));
        }
        // As long as there is enough for everybody, nobody's share matters.
        let is_scarce = common.tokens < common.capacity / 2.0;
        let rate = self.per_second * NAMESPACE_SHARE;
        let namespace = namespaces
            .entry(route.id.namespace.to_string())
            .or_insert_with(|| Bucket::new(rate, rate, now));
        if is_scarce && namespace.tokens(now) < 1.0 {
            return Err(Refusal::busy(
                "too many clients of this namespace connect at once",
            ));
        }
        key.bucket.tokens -= 1.0;
        common.tokens -= 1.0;
        namespace.tokens = (namespace.tokens(now) - 1.0).max(0.0);
        key.under_way += 1;
        Ok(Permit {
            throttle: self.clone(),
            key: route.key_sha256,
        })
    }
}

/// Makes room once a map has grown.
fn forget<K: Eq + Hash, V>(map: &mut HashMap<K, V>, mut is_idle: impl FnMut(&mut V) -> bool) {
    if map.len() >= REMEMBERED && map.len().is_power_of_two() {
        map.retain(|_, value| !is_idle(value));
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self
            .throttle
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
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
        let throttle = Arc::new(Throttle::new(100));
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
        let throttle = Arc::new(Throttle::new(1_000));
        let greedy = || std::iter::repeat_n(route("a", 0), 5_000);
        assert_eq!(admitted(&throttle, greedy(), Purpose::Stream), 50);
        assert_eq!(admitted(&throttle, greedy(), Purpose::Report), 0);
        assert_eq!(admitted(&throttle, tenants(900), Purpose::Stream), 900);
    }

    #[tokio::test(start_paused = true)]
    async fn reports_take_nothing_from_streams() {
        let throttle = Arc::new(Throttle::new(100));
        assert_eq!(admitted(&throttle, tenants(100), Purpose::Report), 100);
        let others = (100..200).map(|n| route(&format!("n{n}"), 0));
        assert_eq!(admitted(&throttle, others, Purpose::Stream), 100);
    }

    #[tokio::test(start_paused = true)]
    async fn a_namespace_has_all_that_nobody_else_wants_and_leaves_half_to_the_others() {
        let throttle = Arc::new(Throttle::new(100));
        assert_eq!(admitted(&throttle, clients("a", 1000), Purpose::Stream), 51);
        assert_eq!(admitted(&throttle, clients("b", 1000), Purpose::Stream), 49);
    }

    #[tokio::test(start_paused = true)]
    async fn one_key_has_few_requests_under_way() {
        let throttle = Arc::new(Throttle::new(1_000));
        let acquire = || throttle.acquire(&route("a", 0), Purpose::Stream);
        let under_way: Vec<_> = (0..10).filter_map(|_| acquire().ok()).collect();
        assert_eq!(under_way.len(), UNDER_WAY as usize);
        drop(under_way);
        assert!(acquire().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_have_not_come_for_a_while_are_forgotten() {
        let throttle = Arc::new(Throttle::new(1_000_000));
        for n in 0..3 * REMEMBERED {
            let _ = throttle.acquire(&route(&format!("n{n}"), n), Purpose::Stream);
            tokio::time::advance(Duration::from_millis(10)).await;
        }
        let state = throttle.state.lock().unwrap();
        assert!(state.keys.len() <= REMEMBERED + 1, "{}", state.keys.len());
        assert!(state.namespaces.len() <= REMEMBERED + 1);
    }
}

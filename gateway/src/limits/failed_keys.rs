//! Slows down those who try keys, address by address. A request with a good key is never slowed, whoever else is behind its address.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use super::address::AddressKey;
use super::bucket::Bucket;
use super::known::Known;

/// Requests with a key that is not good that an address is answered at once, a second and in a burst.
const PER_SECOND: f64 = 5.0;
const BURST: f64 = 50.0;
/// Time that others wait for their answer.
const DELAY: Duration = Duration::from_secs(2);
/// Answers that may wait at once: what waits holds a connection. Beyond, nobody is told whether a key is good.
const WAITING: usize = 256;

/// The outcome of the answer to a request without a good key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slowed {
    /// It need not wait.
    No,
    /// It waited.
    HeldBack,
    /// It is not to be given: too many wait.
    TooMany,
}

/// The addresses from which requests without a good key came.
#[derive(Debug)]
pub(crate) struct FailedKeys {
    addresses: Mutex<Known<AddressKey, Bucket>>,
    waiting: Semaphore,
}

impl Default for FailedKeys {
    fn default() -> Self {
        Self {
            addresses: Mutex::default(),
            waiting: Semaphore::new(WAITING),
        }
    }
}

impl FailedKeys {
    /// Notes a request without a good key, and holds its answer back if there are too many from its address.
    pub(crate) async fn note(&self, address: IpAddr) -> Slowed {
        if self.is_admitted(address.into()) {
            return Slowed::No;
        }
        let Ok(_waiting) = self.waiting.try_acquire() else {
            return Slowed::TooMany;
        };
        sleep(DELAY).await;
        Slowed::HeldBack
    }

    fn is_admitted(&self, address: AddressKey) -> bool {
        let now = Instant::now();
        let mut addresses = self
            .addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let make = || Bucket::new(PER_SECOND, BURST, now);
        let bucket = addresses.entry(address, make, |bucket| bucket.is_full(now));
        bucket.is_none_or(|bucket| bucket.take(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn answers_to_an_address_that_tries_keys_are_held_back_and_to_others_not() {
        let failed = FailedKeys::default();
        let (guessing, other) = ([192, 0, 2, 1], [192, 0, 2, 2]);
        let begun = Instant::now();
        for _ in 0..BURST as usize {
            assert_eq!(failed.note(guessing.into()).await, Slowed::No);
        }
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert_eq!(failed.note(guessing.into()).await, Slowed::HeldBack);
        assert_eq!(begun.elapsed(), DELAY);
        assert_eq!(failed.note(other.into()).await, Slowed::No);
        tokio::time::advance(Duration::from_mins(1)).await;
        assert_eq!(failed.note(guessing.into()).await, Slowed::No);
    }

    #[tokio::test(start_paused = true)]
    async fn few_answers_wait_at_once_and_the_rest_say_nothing_of_the_key() {
        let failed = FailedKeys::default();
        let address: IpAddr = [192, 0, 2, 1].into();
        while failed.is_admitted(address.into()) {}
        let begun = Instant::now();
        let all = (0..2 * WAITING).map(|_| failed.note(address));
        let slowed = futures_util::future::join_all(all).await;
        let held = slowed.iter().filter(|slowed| **slowed == Slowed::HeldBack);
        assert_eq!(held.count(), WAITING);
        assert!(!slowed.contains(&Slowed::No));
        assert_eq!(begun.elapsed(), DELAY);
    }
}

//! The time for which a Lease counts.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

/// The time between two renewals of a gateway's Lease.
pub const RENEW_EVERY: Duration = Duration::from_secs(5);
/// The time for which it counts after a renewal, unless it says another.
pub const DURATION: Duration = RENEW_EVERY.saturating_mul(3);
/// The time for which nothing may be heard of the Leases of a group of gateways, of which one at least is renewed.
pub const PULSE: Duration = RENEW_EVERY.saturating_mul(2);

/// The time until which a Lease counts, by the clock of the one who watches it.
///
/// A Lease is fresh for its duration from the moment that its renewal was seen, so that a clock that is off between
/// nodes does not matter (as in client-go's leader election). Only for the first sight the written time counts: whoever must not
/// be wrong then waits for the [duration](Self::duration) before it takes a Lease that is not fresh for dead.
#[derive(Clone, Debug)]
pub struct Freshness {
    renewed: Option<MicroTime>,
    /// The time for which it counts after a renewal.
    pub duration: Duration,
    /// Time at which its holder is taken for dead unless it is renewed.
    pub expires: Instant,
}

impl Freshness {
    /// A Lease as it is now, and what was known of it before.
    pub fn seen(lease: &Lease, before: Option<&Self>, now: Instant, clock: Timestamp) -> Self {
        let spec = lease.spec.as_ref();
        let renewed = spec.and_then(|s| s.renew_time.clone());
        let seconds = spec.and_then(|s| s.lease_duration_seconds);
        let duration = seconds.map_or(DURATION, |seconds| {
            Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
        });
        let expires = match before {
            Some(old) if old.renewed == renewed => old.expires,
            Some(_) => now + duration,
            None => {
                let age = renewed.as_ref().map_or(duration, |r| {
                    Duration::try_from(clock.duration_since(r.0)).unwrap_or_default()
                });
                now + duration.saturating_sub(age)
            }
        };
        Self {
            renewed,
            duration,
            expires,
        }
    }

    /// Counts its duration from this moment again, because renewals could not be seen until now.
    pub fn restart(&mut self, now: Instant) {
        self.expires = now + self.duration;
    }

    /// Returns whether it counts at this moment.
    pub fn is_fresh(&self, now: Instant) -> bool {
        self.expires > now
    }
}

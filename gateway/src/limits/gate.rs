//! A bound on what costs time before it is known whose it is.

use std::net::IpAddr;

use tokio::time::Instant;

use super::address::AddressKey;
use super::bucket::Bucket;
use super::known::Known;

/// The part that one address has while others want some, too.
const SHARE: f64 = 0.5;

/// A rate for all, of which one address has half as soon as it becomes scarce.
#[derive(Debug)]
pub(crate) struct Gate {
    all: Bucket,
    /// The share of an address a second.
    share: f64,
    addresses: Known<AddressKey, Bucket>,
}

impl Gate {
    /// Lets twice as many in a second as one address may have: behind it, as behind that of a proxy, there may be all clients.
    pub(crate) fn new(per_address: f64, now: Instant) -> Self {
        let all = per_address / SHARE;
        Self {
            all: Bucket::new(all, all, now),
            share: per_address,
            addresses: Known::default(),
        }
    }

    /// Lets one more in, unless there are too many, or it is scarce and this address has had its share.
    pub(crate) fn admit(&mut self, address: Option<IpAddr>, now: Instant) -> bool {
        if self.all.tokens(now) < 1.0 {
            return false;
        }
        // As long as there is enough for everybody, nobody's share matters.
        let is_scarce = self.all.is_scarce(now);
        let (share, addresses) = (self.share, &mut self.addresses);
        let own = address.and_then(|address| {
            let make = || Bucket::new(share, share, now);
            addresses.entry(address.into(), make, |bucket| bucket.is_full(now))
        });
        if let Some(own) = own {
            if is_scarce && own.tokens(now) < 1.0 {
                return false;
            }
            own.spend();
        }
        self.all.spend();
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_address_that_floods_leaves_half_to_the_others() {
        let mut gate = Gate::new(100.0, Instant::now());
        let mut admitted = |last: u8| {
            let address = Some([192, 0, 2, last].into());
            let mut admit = || gate.admit(address, Instant::now());
            (0..1000).filter(|_| admit()).count()
        };
        let flooding = admitted(1);
        assert!((100..=101).contains(&flooding), "{flooding}");
        assert_eq!(admitted(2), 200 - flooding);
        // Alone, as a proxy, it has its own rate in full.
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(admitted(1) >= 100);
    }
}

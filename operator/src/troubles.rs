//! The memory of subscriptions that are not as they should be, from one reconcile to the next.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use datastream_routing::SubscriptionId;
use tokio::time::Instant;

const FIRST_RETRY: Duration = Duration::from_millis(500);
const LAST_RETRY: Duration = Duration::from_mins(1);

/// Shared by all reconciles, and by who sees subscriptions go.
#[derive(Clone, Debug, Default)]
pub(crate) struct Troubles(Arc<Mutex<HashMap<SubscriptionId, Trouble>>>);

#[derive(Clone, Copy, Debug, Default)]
struct Trouble {
    /// Reconciles in a row that have failed.
    failures: u32,
    /// The generation that is on its way to the gateways, and since when.
    pending: Option<(i64, Instant)>,
}

impl Troubles {
    /// A reconcile failed. Returns the pause before the next one, twice as long each time.
    pub(crate) fn failed(&self, id: SubscriptionId) -> Duration {
        let mut troubles = self.lock();
        let count = &mut troubles.entry(id).or_default().failures;
        let wait = FIRST_RETRY.saturating_mul(1 << (*count).min(10));
        *count += 1;
        wait.min(LAST_RETRY)
    }

    /// The number of reconciles in a row that have failed.
    pub(crate) fn failures(&self, id: &SubscriptionId) -> u32 {
        self.lock().get(id).map_or(0, |trouble| trouble.failures)
    }

    /// This generation was found on its way to the gateways. Returns for how long it has been.
    pub(crate) fn pending(&self, id: &SubscriptionId, generation: i64) -> Duration {
        let mut troubles = self.lock();
        let trouble = troubles.entry(id.clone()).or_default();
        let known = trouble.pending.filter(|(known, _)| *known == generation);
        let (_, since) = known.unwrap_or_else(|| (generation, Instant::now()));
        trouble.pending = Some((generation, since));
        since.elapsed()
    }

    /// A reconcile went well to its end, although the subscription is not as it should be.
    pub(crate) fn succeeded(&self, id: &SubscriptionId) {
        if let Some(trouble) = self.lock().get_mut(id) {
            trouble.failures = 0;
        }
    }

    /// It is as it should be, or gone.
    pub(crate) fn over(&self, id: &SubscriptionId) {
        self.lock().remove(id);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SubscriptionId, Trouble>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_begin_anew_after_a_success() {
        let troubles = Troubles::default();
        let id = SubscriptionId::new("team", "a");
        let waits: Vec<_> = (0..12).map(|_| troubles.failed(id.clone())).collect();
        assert_eq!(waits[..3], [500, 1000, 2000].map(Duration::from_millis));
        assert_eq!(waits[11], LAST_RETRY);
        troubles.pending(&id, 1);
        assert_eq!(troubles.failed(id.clone()), LAST_RETRY);
        troubles.succeeded(&id);
        assert_eq!(troubles.failed(id.clone()), FIRST_RETRY);
        troubles.over(&id);
        assert_eq!(troubles.failed(id), FIRST_RETRY);
    }

    #[tokio::test(start_paused = true)]
    async fn a_generation_is_pending_since_it_was_first_found_so() {
        let troubles = Troubles::default();
        let id = SubscriptionId::new("team", "a");
        let second = Duration::from_secs(1);
        assert_eq!(troubles.pending(&id, 1), Duration::ZERO);
        tokio::time::advance(second).await;
        assert_eq!(troubles.pending(&id, 1), second);
        assert_eq!(troubles.pending(&id, 2), Duration::ZERO);
        tokio::time::advance(second).await;
        assert_eq!(troubles.pending(&id, 2), second);
        troubles.over(&id);
        assert_eq!(troubles.pending(&id, 2), Duration::ZERO);
    }
}

//! The memory of subscriptions that are not as they should be, from one reconcile to the next.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use datastream_routing::SubscriptionId;
use datastream_service::backoff::Backoff;
use tokio::time::Instant;

const FIRST_RETRY: Duration = Duration::from_millis(500);
const LAST_RETRY: Duration = Duration::from_mins(1);

/// History of reconciles, shared by all of them and by the watch of subscriptions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reconciles(Arc<Mutex<HashMap<SubscriptionId, ReconcileState>>>);

#[derive(Clone, Debug)]
struct ReconcileState {
    /// Failures in a row.
    backoff: Backoff,
    /// The generation that is on its way to the gateways, and since when.
    pending: Option<(i64, Instant)>,
}

impl Default for ReconcileState {
    fn default() -> Self {
        Self {
            backoff: Backoff::new(FIRST_RETRY, LAST_RETRY),
            pending: None,
        }
    }
}

impl Reconciles {
    /// A reconcile failed. Returns the pause before the next one, twice as long each time.
    pub(crate) fn failed(&self, id: SubscriptionId) -> Duration {
        self.lock().entry(id).or_default().backoff.next_delay()
    }

    /// The number of reconciles in a row that have failed.
    pub(crate) fn failures(&self, id: &SubscriptionId) -> u32 {
        self.lock()
            .get(id)
            .map_or(0, |state| state.backoff.failures())
    }

    /// Notes that this generation is on its way to the gateways. Returns for how long it has been.
    pub(crate) fn pending(&self, id: &SubscriptionId, generation: i64) -> Duration {
        let mut reconciles = self.lock();
        let state = reconciles.entry(id.clone()).or_default();
        let known = state.pending.filter(|(known, _)| *known == generation);
        let (_, since) = known.unwrap_or_else(|| (generation, Instant::now()));
        state.pending = Some((generation, since));
        since.elapsed()
    }

    /// A reconcile went well to its end, although the subscription is not as it should be.
    pub(crate) fn succeeded(&self, id: &SubscriptionId) {
        if let Some(state) = self.lock().get_mut(id) {
            state.backoff.reset();
        }
    }

    /// The number of subscriptions that are on their way to the gateways.
    pub(crate) fn on_their_way(&self) -> usize {
        let reconciles = self.lock();
        let states = reconciles.values();
        states.filter(|state| state.pending.is_some()).count()
    }

    /// Notes that the subscription is as it should be, or gone.
    pub(crate) fn over(&self, id: &SubscriptionId) {
        self.lock().remove(id);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SubscriptionId, ReconcileState>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_reset_after_a_success() {
        let reconciles = Reconciles::default();
        let id = SubscriptionId::new("team", "a");
        for _ in 0..12 {
            reconciles.failed(id.clone());
        }
        reconciles.pending(&id, 1);
        assert!(reconciles.failed(id.clone()) >= LAST_RETRY / 2);
        reconciles.succeeded(&id);
        assert!(reconciles.failed(id.clone()) <= FIRST_RETRY);
        reconciles.failed(id.clone());
        assert_eq!(reconciles.failures(&id), 2);
        reconciles.over(&id);
        assert!(reconciles.failed(id) <= FIRST_RETRY);
    }

    #[tokio::test(start_paused = true)]
    async fn pending_time_counts_from_the_first_reconcile_of_a_generation() {
        let reconciles = Reconciles::default();
        let id = SubscriptionId::new("team", "a");
        let second = Duration::from_secs(1);
        assert_eq!(reconciles.pending(&id, 1), Duration::ZERO);
        tokio::time::advance(second).await;
        assert_eq!(reconciles.pending(&id, 1), second);
        assert_eq!(reconciles.pending(&id, 2), Duration::ZERO);
        tokio::time::advance(second).await;
        assert_eq!(reconciles.pending(&id, 2), second);
        reconciles.over(&id);
        assert_eq!(reconciles.pending(&id, 2), Duration::ZERO);
    }
}

//! The connections that are not streams: a bounded number, of which the oldest make way for new ones.
//!
//! A client that has nothing to hide is done within a moment. So whoever holds connections open keeps none of the others out,
//! however many it opens: it is the first to be closed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// Time that a connection has before it makes way for one that waits.
const UNDISTURBED: Duration = Duration::from_secs(1);

/// The open connections of a listener, or those of one protocol.
#[derive(Debug)]
pub(crate) struct Connections {
    limit: usize,
    open: Mutex<Open>,
    /// Places for those that wait.
    free: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    /// By age, the oldest first.
    holders: BTreeMap<u64, Holder>,
}

/// A connection that has a place.
#[derive(Debug)]
struct Holder {
    since: Instant,
    evicted: CancellationToken,
}

/// One connection's place; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct ConnectionSlot {
    connections: Arc<Connections>,
    /// None while it carries streams, which have places of their own.
    number: Mutex<Option<u64>>,
    /// What it has waited for.
    waited: Mutex<Option<OwnedSemaphorePermit>>,
    evicted: CancellationToken,
}

impl Connections {
    /// At most `limit` at once.
    pub(crate) fn new(limit: usize) -> Self {
        let limit = limit.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            limit,
            open: Mutex::default(),
            free: Arc::new(Semaphore::new(limit)),
        }
    }

    /// Takes a place for a new connection, that of the oldest one if there is no other.
    pub(crate) fn enter(self: &Arc<Self>) -> ConnectionSlot {
        self.slot(None)
    }

    /// Waits for a place, in the order of arrival. The oldest connection makes way for it, as soon as it has had its time, and its place
    /// is free when it is dropped: so at no time more of them take memory than there are places.
    pub(crate) async fn enter_in_turn(self: &Arc<Self>) -> ConnectionSlot {
        let turn = self.free.clone().acquire_owned();
        tokio::pin!(turn);
        let turn = tokio::select! {
            biased;
            turn = &mut turn => turn,
            () = self.evict_oldest() => turn.await,
        };
        // The semaphore is never closed.
        self.slot(turn.ok())
    }

    /// Evicts the oldest connection that has had its time, when there is one.
    async fn evict_oldest(&self) {
        loop {
            let now = Instant::now();
            let until = {
                let mut open = self.lock();
                match open.holders.first_entry() {
                    Some(oldest) if oldest.get().since + UNDISTURBED <= now => {
                        return oldest.remove().evicted.cancel();
                    }
                    oldest => oldest.map_or(now, |oldest| oldest.get().since) + UNDISTURBED,
                }
            };
            sleep_until(until).await;
        }
    }

    fn slot(self: &Arc<Self>, waited: Option<OwnedSemaphorePermit>) -> ConnectionSlot {
        let evicted = CancellationToken::new();
        let number = self.place(&evicted);
        ConnectionSlot {
            connections: self.clone(),
            number: Mutex::new(Some(number)),
            waited: Mutex::new(waited),
            evicted,
        }
    }

    fn place(&self, evicted: &CancellationToken) -> u64 {
        let mut open = self.lock();
        if open.holders.len() >= self.limit
            && let Some((_, oldest)) = open.holders.pop_first()
        {
            oldest.evicted.cancel();
        }
        let number = open.next;
        open.next += 1;
        let holder = Holder {
            since: Instant::now(),
            evicted: evicted.clone(),
        };
        open.holders.insert(number, holder);
        number
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionSlot {
    /// Waits until the place is wanted for another connection.
    pub(crate) async fn evicted(&self) {
        self.evicted.cancelled().await;
    }

    /// Gives the place back: the connection carries streams, and stays.
    pub(crate) fn leave(&self) {
        if let Some(number) = self.number().take() {
            self.connections.lock().holders.remove(&number);
        }
        drop(self.waited().take());
    }

    /// Takes a place again: the connection carries no streams any more.
    pub(crate) fn come_back(&self) {
        let mut number = self.number();
        if number.is_none() {
            *number = Some(self.connections.place(&self.evicted));
            // Who is there already cannot wait.
            *self.waited() = self.connections.free.clone().try_acquire_owned().ok();
        }
    }

    fn waited(&self) -> MutexGuard<'_, Option<OwnedSemaphorePermit>> {
        self.waited.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn number(&self) -> MutexGuard<'_, Option<u64>> {
        self.number.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::time::advance;

    use super::*;

    fn is_evicted(place: &ConnectionSlot) -> bool {
        place.evicted().now_or_never().is_some()
    }

    #[test]
    fn the_oldest_makes_way_and_those_that_are_done_make_room() {
        let connections = Arc::new(Connections::new(2));
        let first = connections.enter();
        let second = connections.enter();
        let third = connections.enter();
        assert!(is_evicted(&first) && !is_evicted(&second) && !is_evicted(&third));
        drop(third);
        let fourth = connections.enter();
        assert!(!is_evicted(&second) && !is_evicted(&fourth));
        drop(connections.enter());
        assert!(is_evicted(&second));
    }

    #[test]
    fn one_that_carries_streams_has_no_place_until_they_are_gone() {
        let connections = Arc::new(Connections::new(1));
        let carrying = connections.enter();
        carrying.leave();
        let other = connections.enter();
        assert!(!is_evicted(&carrying));
        carrying.come_back();
        assert!(is_evicted(&other) && !is_evicted(&carrying));
        let _new = connections.enter();
        assert!(is_evicted(&carrying));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_waits_has_the_place_of_the_oldest_when_that_is_gone() {
        let connections = Arc::new(Connections::new(2));
        let (oldest, other) = (connections.enter_in_turn(), connections.enter_in_turn());
        let (oldest, other) = (oldest.await, other.await);
        advance(UNDISTURBED / 2).await;
        let mut waiting = Box::pin(connections.enter_in_turn());
        assert!(waiting.as_mut().now_or_never().is_none());
        assert!(!is_evicted(&oldest));
        advance(UNDISTURBED / 2).await;
        assert!(waiting.as_mut().now_or_never().is_none());
        assert!(is_evicted(&oldest) && !is_evicted(&other));
        // One that comes later does not overtake it.
        let mut later = Box::pin(connections.enter_in_turn());
        drop(oldest);
        assert!(later.as_mut().now_or_never().is_none());
        let waited = waiting.await;
        assert!(is_evicted(&other));
        drop(other);
        let later = later.await;
        assert!(!is_evicted(&waited) && !is_evicted(&later));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_carries_streams_lets_those_in_that_wait() {
        let connections = Arc::new(Connections::new(1));
        let carrying = connections.enter_in_turn().await;
        let mut waiting = Box::pin(connections.enter_in_turn());
        assert!(waiting.as_mut().now_or_never().is_none());
        carrying.leave();
        let waited = waiting.now_or_never().unwrap();
        assert!(!is_evicted(&carrying) && !is_evicted(&waited));
        carrying.come_back();
        assert!(is_evicted(&waited) && !is_evicted(&carrying));
    }
}

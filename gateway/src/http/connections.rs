//! The connections that are not streams: a bounded number, of which the oldest make way for new ones.
//!
//! A client that has nothing to hide is done within a moment. So whoever holds connections open keeps none of the others out,
//! however many it opens: it is the first to be closed.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// Time that a connection has before it makes way for one that waits.
const UNDISTURBED: Duration = Duration::from_millis(250);

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
    /// In the order in which they make way.
    holders: BTreeMap<Rank, Holder>,
    /// Connections that make way and are not gone.
    going: usize,
}

/// The order in which connections make way: those with streams after the others, and the oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    need: Need,
    number: u64,
}

/// The reason why a connection needs a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    /// Requests on it.
    Requests,
    /// More than the streams that it carries stand for.
    Beside,
    /// Nothing: its streams stand for it.
    Nothing,
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
    held: Mutex<Option<Held>>,
    evicted: CancellationToken,
}

/// A place that is held.
#[derive(Debug)]
struct Held {
    rank: Rank,
    /// The part of what those wait for that it has.
    turn: Option<OwnedSemaphorePermit>,
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
    /// is free when it is dropped: so no more of them take memory than there are places.
    pub(crate) async fn enter_in_turn(self: &Arc<Self>) -> ConnectionSlot {
        let turn = self.free.clone().acquire_owned();
        let turn = tokio::select! {
            biased;
            turn = turn => turn,
            never = self.evict_each() => match never {},
        };
        // The semaphore is never closed.
        self.slot(turn.ok())
    }

    /// Evicts the connection whose turn it is, when it has had its time, and another one if that is not soon gone.
    async fn evict_each(&self) -> Infallible {
        loop {
            let now = Instant::now();
            let since = {
                let mut open = self.lock();
                match open.holders.first_key_value() {
                    // Each of those that wait evicts one, and there may be more of them than places.
                    Some((rank, _)) if rank.need == Need::Beside && open.going > 0 => now,
                    Some((_, first)) if first.since + UNDISTURBED > now => first.since,
                    _ => {
                        open.evict_first();
                        now
                    }
                }
            };
            sleep_until(since + UNDISTURBED).await;
        }
    }

    fn slot(self: &Arc<Self>, turn: Option<OwnedSemaphorePermit>) -> ConnectionSlot {
        let evicted = CancellationToken::new();
        let held = self.place(Need::Requests, None, &evicted, turn);
        ConnectionSlot {
            connections: self.clone(),
            held: Mutex::new(Some(held)),
            evicted,
        }
    }

    /// Takes a place, that of another one if there is no other. Who had one before is as old as then.
    fn place(
        &self,
        need: Need,
        before: Option<u64>,
        evicted: &CancellationToken,
        turn: Option<OwnedSemaphorePermit>,
    ) -> Held {
        let mut open = self.lock();
        if open.holders.len() >= self.limit {
            open.evict_first();
        }
        let number = before.unwrap_or(open.next);
        open.next = open.next.max(number + 1);
        let rank = Rank { need, number };
        let holder = Holder {
            since: Instant::now(),
            evicted: evicted.clone(),
        };
        open.holders.insert(rank, holder);
        Held { rank, turn }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Evicts the connection whose turn it is, if there is one.
    fn evict_first(&mut self) {
        if let Some((_, first)) = self.holders.pop_first() {
            self.going += 1;
            first.evicted.cancel();
        }
    }
}

impl ConnectionSlot {
    /// Waits until the place is wanted for another connection.
    pub(crate) async fn evicted(&self) {
        self.evicted.cancelled().await;
    }

    /// Takes the place that is needed, or gives it back.
    pub(crate) fn set(&self, need: Need) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let before = held.as_ref().map(|held| held.rank);
        if before.map_or(Need::Nothing, |rank| rank.need) == need {
            return;
        }
        let mut turn = None;
        if let Some(before) = held.take() {
            self.connections.lock().holders.remove(&before.rank);
            turn = before.turn;
        }
        if need == Need::Nothing || self.evicted.is_cancelled() {
            return;
        }
        // Who is there already cannot wait.
        let turn = turn.or_else(|| self.connections.free.clone().try_acquire_owned().ok());
        let number = before.map(|rank| rank.number);
        *held = Some(self.connections.place(need, number, &self.evicted, turn));
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.set(Need::Nothing);
        if self.evicted.is_cancelled() {
            self.connections.lock().going -= 1;
        }
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
        carrying.set(Need::Nothing);
        let other = connections.enter();
        assert!(!is_evicted(&carrying));
        carrying.set(Need::Requests);
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
    async fn one_that_waits_evicts_another_one_where_the_first_is_not_soon_gone() {
        let connections = Arc::new(Connections::new(2));
        let (oldest, other) = (connections.enter_in_turn(), connections.enter_in_turn());
        let (_oldest, other) = (oldest.await, other.await);
        advance(UNDISTURBED).await;
        let mut waiting = Box::pin(connections.enter_in_turn());
        assert!(waiting.as_mut().now_or_never().is_none());
        assert!(!is_evicted(&other));
        advance(UNDISTURBED).await;
        assert!(waiting.as_mut().now_or_never().is_none());
        assert!(is_evicted(&other));
        drop(other);
        assert!(waiting.now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn those_with_streams_stay_while_others_are_going() {
        let connections = Arc::new(Connections::new(2));
        let (idle, carrying) = (connections.enter_in_turn(), connections.enter_in_turn());
        let (idle, carrying) = (idle.await, carrying.await);
        carrying.set(Need::Beside);
        advance(UNDISTURBED).await;
        let mut waiting = [(); 3].map(|()| Box::pin(connections.enter_in_turn()));
        for waiting in &mut waiting {
            assert!(waiting.as_mut().now_or_never().is_none());
        }
        assert!(is_evicted(&idle) && !is_evicted(&carrying));
        drop(idle);
        let [first, second, _] = waiting;
        let first = first.await;
        advance(UNDISTURBED).await;
        assert!(second.now_or_never().is_none());
        assert!(is_evicted(&first) && !is_evicted(&carrying));
    }

    #[test]
    fn those_with_streams_make_way_after_the_others() {
        let connections = Arc::new(Connections::new(3));
        let [carrying, idle, other] = [(); 3].map(|()| connections.enter());
        carrying.set(Need::Beside);
        let new = connections.enter();
        assert!(is_evicted(&idle) && !is_evicted(&carrying));
        // With its streams it loses that, but it keeps its age.
        carrying.set(Need::Requests);
        let _new = connections.enter();
        assert!(is_evicted(&carrying) && !is_evicted(&other) && !is_evicted(&new));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_carries_streams_lets_those_in_that_wait() {
        let connections = Arc::new(Connections::new(1));
        let carrying = connections.enter_in_turn().await;
        let mut waiting = Box::pin(connections.enter_in_turn());
        assert!(waiting.as_mut().now_or_never().is_none());
        carrying.set(Need::Nothing);
        let waited = waiting.now_or_never().unwrap();
        assert!(!is_evicted(&carrying) && !is_evicted(&waited));
        carrying.set(Need::Requests);
        assert!(is_evicted(&waited) && !is_evicted(&carrying));
    }
}

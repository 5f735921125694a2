//! The connections that are not streams: a bounded number, of which the oldest make way for new ones.
//!
//! A client that has nothing to hide is done within a moment. So whoever holds connections open keeps none of the others out,
//! however many it opens: it is the first to be closed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// The open connections of a listener.
#[derive(Debug)]
pub(crate) struct Connections {
    limit: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    /// By age, the oldest first.
    tokens: BTreeMap<u64, CancellationToken>,
}

/// One connection's place; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct ConnectionSlot {
    connections: Arc<Connections>,
    /// None while it carries streams, which have places of their own.
    number: Mutex<Option<u64>>,
    evicted: CancellationToken,
}

impl Connections {
    /// At most `limit` at once.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit: limit.max(1),
            open: Mutex::default(),
        }
    }

    /// Takes a place for a new connection, that of the oldest one if there is no other.
    pub(crate) fn enter(self: &Arc<Self>) -> ConnectionSlot {
        let evicted = CancellationToken::new();
        let number = self.place(&evicted);
        ConnectionSlot {
            connections: self.clone(),
            number: Mutex::new(Some(number)),
            evicted,
        }
    }

    fn place(&self, evicted: &CancellationToken) -> u64 {
        let mut open = self.lock();
        if open.tokens.len() >= self.limit
            && let Some((_, oldest)) = open.tokens.pop_first()
        {
            oldest.cancel();
        }
        let number = open.next;
        open.next += 1;
        open.tokens.insert(number, evicted.clone());
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
            self.connections.lock().tokens.remove(&number);
        }
    }

    /// Takes a place again: the connection carries no streams any more.
    pub(crate) fn come_back(&self) {
        let mut number = self.number();
        if number.is_none() {
            *number = Some(self.connections.place(&self.evicted));
        }
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

    use super::*;

    #[test]
    fn the_oldest_makes_way_and_those_that_are_done_make_room() {
        let connections = Arc::new(Connections::new(2));
        let is_evicted = |place: &ConnectionSlot| place.evicted().now_or_never().is_some();
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
        let is_evicted = |place: &ConnectionSlot| place.evicted().now_or_never().is_some();
        let carrying = connections.enter();
        carrying.leave();
        let other = connections.enter();
        assert!(!is_evicted(&carrying));
        carrying.come_back();
        assert!(is_evicted(&other) && !is_evicted(&carrying));
        let _new = connections.enter();
        assert!(is_evicted(&carrying));
    }
}

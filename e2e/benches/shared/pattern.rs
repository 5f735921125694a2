//! Patterns in which events are sent to the clients of a server.

/// The clients that an event goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Receivers {
    All,
    /// One, each in turn.
    One,
    /// None: events are read for nobody.
    #[allow(dead_code, reason = "not every bench sends such")]
    Nobody,
}

/// A pattern of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    pub(crate) to: Receivers,
    /// Microseconds from one event to the next, or from one burst to the next; 0 without a pause.
    pub(crate) interval: u64,
    /// Events that are sent at once.
    pub(crate) burst: u64,
    /// Events that may be on the way.
    pub(crate) window: u64,
}

impl Pattern {
    /// Clients that an event goes to, of so many.
    pub(crate) const fn receivers_of(self, clients: usize) -> usize {
        match self.to {
            Receivers::All => clients,
            Receivers::One => 1,
            Receivers::Nobody => 0,
        }
    }

    /// Deliveries a second to so many clients, where there are pauses.
    #[allow(dead_code, reason = "not every bench asks")]
    pub(crate) fn rate(self, clients: usize) -> Option<f64> {
        let deliveries = self.receivers_of(clients) as f64 * self.burst as f64;
        (self.interval > 0).then(|| deliveries * 1e6 / self.interval as f64)
    }
}

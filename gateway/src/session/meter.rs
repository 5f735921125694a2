//! The account of what one stream is sent.

use std::sync::Arc;

use tokio::time::Instant;

use crate::fanout::{QueuedFrame, Tally};
use crate::limits::Paces;
use crate::metrics::Metrics;

/// Counts the events of one stream, and charges its rates.
pub(crate) struct Meter {
    metrics: Arc<Metrics>,
    /// Rates that hold for the stream, if any do.
    paces: Option<Arc<Paces>>,
    /// Events handed to the transport so far.
    pub events: u64,
    /// Time until which nothing is taken out of the queue: what was sent before was more than the stream's rates allow.
    pub held_until: Option<Instant>,
}

impl Meter {
    /// A meter at zero. The stream may have to wait at once, for what others were sent for whom its rates hold, too.
    pub(crate) fn new(metrics: Arc<Metrics>, paces: Option<Arc<Paces>>) -> Self {
        let held_until = paces.as_ref().and_then(|paces| {
            let held = [paces.events.held_until(), paces.sent.held_until()];
            held.into_iter().flatten().max()
        });
        Self {
            metrics,
            paces,
            events: 0,
            held_until,
        }
    }

    /// Lets the stream go on, if it had to wait until now.
    pub(super) fn end_hold(&mut self, now: Instant) {
        self.held_until = self.held_until.filter(|until| *until > now);
    }

    /// Counts the events among frames that go out next.
    pub(super) fn count<'a>(
        &mut self,
        frames: impl IntoIterator<Item = &'a QueuedFrame>,
        tally: &mut Tally,
    ) {
        let amount = tally.count(frames);
        self.events += amount.events;
        let Some(paces) = &self.paces else {
            return;
        };
        let of_events = paces.events.charge(amount.events);
        let of_bytes = paces.sent.charge(amount.bytes);
        let held = [
            of_events.map(|held| (held, "events")),
            of_bytes.map(|held| (held, "sent_kib")),
        ];
        let held = held.into_iter().flatten();
        if let Some(((until, scope), what)) = held.max_by_key(|((until, _), _)| *until) {
            self.held_until = Some(until);
            self.metrics.limited(&format!("{what}/{}", scope.name()));
        }
    }
}

//! Counts of what goes out, kept aside for many deliveries, so that these do not meet at the counters of the gateway.

use jiff::Timestamp;
use prometheus::local::LocalHistogram;

use super::queued_frame::QueuedFrame;
use crate::metrics::Metrics;

/// Deliveries for which one look at the clock is good: they take less than a millisecond, in which latencies are counted.
const PER_LOOK: u32 = 32;

/// Deliveries that have not been added to the metrics.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(super) matched: u64,
    events: u64,
    bytes: u64,
    latency: LocalHistogram,
    event_age: LocalHistogram,
    /// The time in milliseconds since 1970, and for how many deliveries it is still good.
    now_ms: i64,
    looks: u32,
}

/// Events and bytes of some frames.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Amount {
    pub events: u64,
    pub bytes: u64,
}

impl Tally {
    /// A tally for these metrics.
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            matched: 0,
            events: 0,
            bytes: 0,
            latency: metrics.latency.local(),
            event_age: metrics.event_age.local(),
            now_ms: 0,
            looks: 0,
        }
    }

    /// Counts the events among frames that go out now.
    pub(crate) fn count<'a>(
        &mut self,
        frames: impl IntoIterator<Item = &'a QueuedFrame>,
    ) -> Amount {
        let mut amount = Amount::default();
        let now_ms = self.now_ms();
        for event in frames.into_iter().filter_map(QueuedFrame::event) {
            amount.events += 1;
            amount.bytes += event.text.len() as u64;
            for (since_ms, histogram) in [
                (event.times.taken_ms, &self.latency),
                (event.times.happened_ms, &self.event_age),
            ] {
                if since_ms > 0 {
                    histogram.observe((now_ms - since_ms).max(0) as f64 / 1e3);
                }
            }
        }
        self.events += amount.events;
        self.bytes += amount.bytes;
        amount
    }

    /// Some time has passed.
    pub(super) const fn look_again(&mut self) {
        self.looks = 0;
    }

    fn now_ms(&mut self) -> i64 {
        if self.looks == 0 {
            self.now_ms = Timestamp::now().as_millisecond();
            self.looks = PER_LOOK;
        }
        self.looks -= 1;
        self.now_ms
    }

    /// Adds everything to the metrics.
    pub(crate) fn settle(&mut self, metrics: &Metrics) {
        self.look_again();
        for (counter, counted) in [
            (&metrics.matched, &mut self.matched),
            (&metrics.sent, &mut self.events),
            (&metrics.sent_bytes, &mut self.bytes),
        ] {
            counter.inc_by(std::mem::take(counted));
        }
        self.latency.flush();
        self.event_age.flush();
    }
}

//! The count of streams by state.

use crate::metrics::Metrics;

/// State of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It reads from where its client said.
    Replaying,
    /// It reads on by itself.
    CatchingUp,
    /// The dispatcher fills its queue.
    Live,
}

impl State {
    const fn label(self) -> &'static str {
        match self {
            Self::Replaying => "replaying",
            Self::CatchingUp => "catching_up",
            Self::Live => "live",
        }
    }
}

/// Counts the stream under its state for as long as it lives.
pub(super) struct StateGauge<'a> {
    metrics: &'a Metrics,
    state: State,
}

impl<'a> StateGauge<'a> {
    /// Counts a stream that begins in this state.
    pub(super) fn new(metrics: &'a Metrics, state: State) -> Self {
        let gauge = Self { metrics, state };
        gauge.add(1);
        gauge
    }

    /// Returns whether the stream is live.
    pub(super) fn is_live(&self) -> bool {
        self.state == State::Live
    }

    /// Counts the stream under another state.
    pub(super) fn set(&mut self, state: State) {
        self.add(-1);
        self.state = state;
        self.add(1);
    }

    fn add(&self, by: i64) {
        let label = [self.state.label()];
        self.metrics.streams.with_label_values(&label).add(by);
    }
}

impl Drop for StateGauge<'_> {
    fn drop(&mut self) {
        self.add(-1);
    }
}

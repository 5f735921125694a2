//! Keeps the events of one stream in its stores, each once, however often a store fails.

mod sink_state;

use std::sync::Arc;
use std::time::Duration;

use datastream_protocol::position::{Position, Seq};
use datastream_service::backoff::Backoff;
use jiff::Timestamp;
use sink_state::{Failed, SinkState, Work};
use tokio::time::sleep;

use super::dead_letter::DeadLetters;
use super::event::Event;
use super::metrics::Status;
use super::store::{Gap, Mark, Store, StoreError, new_events};

/// Waiting times after a store failed.
const FIRST_DELAY: Duration = Duration::from_millis(200);
const LONGEST_DELAY: Duration = Duration::from_secs(30);
/// An error at the start is believed when it comes again after this time.
const ONCE_MORE: Duration = Duration::from_secs(1);

/// The point from which a store resumes that had events and has none any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum StartOver {
    /// The one at which this process began to store.
    #[default]
    Origin,
    /// The one that the configuration names.
    Start,
    /// The first event that the topic ever had, so that the gateway says what of them has expired.
    Beginning,
}

/// A store has lost what it had: the stream has to resume where the stores are now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WentBack;

/// The stores of one stream.
pub(super) struct SinkSet {
    sinks: Vec<SinkState>,
    status: Arc<Status>,
    backoff: Backoff,
    start_over: StartOver,
    dead_letters: Option<DeadLetters>,
}

impl SinkSet {
    /// Keeps events in these stores.
    pub(super) fn new(
        stores: Vec<Box<dyn Store>>,
        status: Arc<Status>,
        start_over: StartOver,
        dead_letters: Option<DeadLetters>,
    ) -> Self {
        Self {
            sinks: stores.into_iter().map(SinkState::new).collect(),
            status,
            backoff: Backoff::new(FIRST_DELAY, LONGEST_DELAY),
            start_over,
            dead_letters,
        }
    }

    /// Opens the stores. An error that may pass by itself is waited for, and any other must come twice: a place that is moved just while
    /// it is opened looks broken in many ways.
    ///
    /// # Errors
    /// One that does not pass.
    pub(super) async fn open(&mut self) -> Result<(), StoreError> {
        let mut is_second = false;
        while let Err(Failed::Store(error)) = self.attempt(&Work::Verify).await {
            if error.passes() {
                self.wait(&error).await;
            } else if is_second {
                return Err(error);
            } else {
                is_second = true;
                sleep(ONCE_MORE).await;
            }
        }
        if let Some(position) = self.position() {
            let gap = None;
            let level = Mark { position, gap };
            // Whatever went back meanwhile, the stream begins where the stores are.
            let _ = self.persist(&Work::Join(&level)).await;
        }
        Ok(())
    }

    /// Returns the position from which the stream has to resume so that every store gets everything; `None` if nothing is stored
    /// anywhere, or if a store starts from the beginning.
    pub(super) fn position(&self) -> Option<Position> {
        if self.sinks.iter().any(SinkState::restarts) {
            return None;
        }
        let stored = self.sinks.iter().filter_map(SinkState::stored);
        stored.reduce(|a, b| a.intersection(&b))
    }

    /// Stores the events that are not stored yet. Comes back when every store has them for good.
    ///
    /// # Errors
    /// A store lost what it had.
    pub(super) async fn append(&mut self, events: &[Event]) -> Result<(), WentBack> {
        self.begin(events).await?;
        let (new, _) = new_events(events, self.position().as_ref());
        self.persist(&Work::Append(events)).await?;
        let refused = self.sinks.iter_mut().map(SinkState::take_refused).min();
        let stored = new.len() as u64 - refused.unwrap_or(0).min(new.len() as u64);
        self.status.stored.inc_by(stored);
        self.status
            .duplicates
            .inc_by((events.len() - new.len()) as u64);
        if let Some(last) = new.last() {
            self.status.update(|detail| {
                detail.last_seq = Some(last.seq.clone());
                detail.last_stored = Some(Timestamp::now());
            });
        }
        Ok(())
    }

    /// Remembers in every store where the stream begins, before the first event is in any of them: one that has got nothing when the
    /// process is killed is then known from one that was added later.
    async fn begin(&mut self, events: &[Event]) -> Result<(), WentBack> {
        let is_begun = self.sinks.iter().all(|sink| sink.stored().is_some());
        let first = events.first().filter(|_| !is_begun);
        let Some(position) = first.and_then(|first| Seq::start_of(&first.seq).ok()) else {
            return Ok(());
        };
        let gap = None;
        self.persist(&Work::Begin(&Mark { position, gap })).await
    }

    /// Stores that the stream has come to this position, unless it is there already.
    ///
    /// # Errors
    /// A store lost what it had.
    pub(super) async fn mark(&mut self, position: &Position) -> Result<(), WentBack> {
        if self.position().is_some_and(|p| p.covers(position)) {
            return Ok(());
        }
        let (position, gap) = (position.clone(), None);
        self.persist(&Work::Mark(&Mark { position, gap })).await
    }

    /// Records that events before this position are missing.
    ///
    /// # Errors
    /// A store lost what it had.
    pub(super) async fn record_gap(
        &mut self,
        position: &Position,
        gap: Gap,
    ) -> Result<(), WentBack> {
        let (position, gap) = (position.clone(), Some(gap));
        self.persist(&Work::Mark(&Mark { position, gap })).await?;
        self.status.gaps.inc();
        Ok(())
    }

    /// Makes sure that the stores are where they were, and have what they had.
    ///
    /// # Errors
    /// A store lost what it had.
    pub(super) async fn verify(&mut self) -> Result<(), WentBack> {
        self.persist(&Work::Verify).await
    }

    /// Tries until it is done.
    async fn persist(&mut self, work: &Work<'_>) -> Result<(), WentBack> {
        loop {
            match self.attempt(work).await {
                Ok(()) => return Ok(()),
                Err(Failed::WentBack) => return Err(WentBack),
                Err(Failed::Store(error)) => self.wait(&error).await,
            }
        }
    }

    /// Does it on every sink on which it is not done.
    async fn attempt(&mut self, work: &Work<'_>) -> Result<(), Failed> {
        let letters = self.dead_letters.as_ref();
        let mut result = Ok(());
        for sink in &mut self.sinks {
            result = sink
                .attempt(work, self.start_over, letters, &self.status)
                .await;
            if result.is_err() {
                break;
            }
        }
        let damaged = self.sinks.iter().map(SinkState::damaged_lines).sum::<u64>();
        self.status.damaged_lines.set(damaged as i64);
        if !matches!(result, Err(Failed::Store(_))) {
            self.works();
        }
        result
    }

    /// The stores take events.
    fn works(&mut self) {
        self.backoff.reset();
        if self.status.store_open.get() == 0 {
            self.status.store_open.set(1);
            self.status.update(|detail| {
                if detail.error.take().is_some() {
                    tracing::info!(stream = self.status.name, "the store works again");
                }
            });
        }
    }

    async fn wait(&mut self, error: &StoreError) {
        let delay = self.backoff.next_delay();
        let status = &self.status;
        status.store_errors.inc();
        status.store_open.set(0);
        let reason = error.to_string();
        // The same error is logged once.
        if status.detail().error.as_ref() != Some(&reason) {
            tracing::error!(
                stream = status.name,
                "{reason}; trying again until it works"
            );
        }
        status.update(|detail| detail.error = Some(reason));
        tokio::time::sleep(delay).await;
    }
}

#[cfg(test)]
mod tests;

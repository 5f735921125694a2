//! Keeps the events of one stream in its stores, each once, however often a store fails.

use std::sync::Arc;
use std::time::Duration;

use datastream_gateway::position::Position;
use jiff::Timestamp;

use super::event::Event;
use super::metrics::Status;
use super::store::{Batch, Gap, Mark, Store, StoreError, new_events};
use crate::backoff::Backoff;

/// Waiting times after a store failed.
const FIRST_DELAY: Duration = Duration::from_millis(200);
const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// The stores of one stream.
pub(super) struct Keeper {
    shelves: Vec<Shelf>,
    status: Arc<Status>,
    backoff: Backoff,
}

/// One store, and what it is known to have.
struct Shelf {
    store: Box<dyn Store>,
    open: bool,
    stored: Option<Position>,
}

/// What is to be done on every shelf.
enum Work<'a> {
    Open,
    /// Mark where nothing is stored.
    Level(&'a Mark),
    Append(&'a [Event]),
    Mark(&'a Mark),
}

impl Shelf {
    async fn attempt(&mut self, work: &Work<'_>) -> Result<(), StoreError> {
        if !self.open {
            // Also after an error: what is stored is what the store says, not what was tried.
            self.stored = self.store.open().await?;
            self.open = true;
        }
        match work {
            Work::Open => {}
            Work::Append(events) => {
                if let Some(batch) = Batch::of_new(events, self.stored.as_ref()) {
                    let after = batch.after.clone();
                    self.store.append(Arc::new(batch)).await?;
                    self.stored = Some(after);
                }
            }
            Work::Level(_) if self.stored.is_some() => {}
            Work::Level(mark) | Work::Mark(mark) => {
                let position = match &self.stored {
                    Some(stored) => stored.union(&mark.position),
                    None => mark.position.clone(),
                };
                let gap = mark.gap.clone();
                self.stored = Some(position.clone());
                self.store.mark(Mark { position, gap }).await?;
            }
        }
        Ok(())
    }
}

impl Keeper {
    /// Keeps events in these stores.
    pub(super) fn new(stores: Vec<Box<dyn Store>>, status: Arc<Status>) -> Self {
        let shelf = |store| Shelf {
            store,
            open: false,
            stored: None,
        };
        Self {
            shelves: stores.into_iter().map(shelf).collect(),
            status,
            backoff: Backoff::new(FIRST_DELAY, LONGEST_DELAY),
        }
    }

    /// Opens the stores. An error that may pass by itself is waited for.
    ///
    /// # Errors
    /// One that does not.
    pub(super) async fn open(&mut self) -> Result<(), StoreError> {
        while let Err(error) = self.attempt(&Work::Open).await {
            if !error.passes {
                return Err(error);
            }
            self.wait(&error).await;
        }
        if let Some(position) = self.position() {
            // A store that was added later goes on where the others are.
            let gap = None;
            self.persist(&Work::Level(&Mark { position, gap })).await;
        }
        Ok(())
    }

    /// Where the stream has to go on so that every store gets everything; `None` if nothing is stored anywhere.
    pub(super) fn position(&self) -> Option<Position> {
        let stored = self.shelves.iter().filter_map(|s| s.stored.clone());
        stored.reduce(|a, b| a.intersection(&b))
    }

    /// Stores the events that are not stored yet. Comes back when every store has them for good.
    pub(super) async fn append(&mut self, events: &[Event]) {
        let (new, _) = new_events(events, self.position().as_ref());
        self.persist(&Work::Append(events)).await;
        self.status.stored.inc_by(new.len() as u64);
        self.status
            .duplicates
            .inc_by((events.len() - new.len()) as u64);
        if let Some(last) = new.last() {
            self.status.update(|detail| {
                detail.last_seq = Some(last.seq.clone());
                detail.last_stored = Some(Timestamp::now());
            });
        }
    }

    /// Remembers that the stream goes on at this position, unless it is there already.
    pub(super) async fn mark(&mut self, position: &Position) {
        if self.position().is_none_or(|p| !p.covers(position)) {
            let (position, gap) = (position.clone(), None);
            self.persist(&Work::Mark(&Mark { position, gap })).await;
        }
    }

    /// Records that events before this position are missing.
    pub(super) async fn record_gap(&mut self, position: &Position, gap: Gap) {
        let (position, gap) = (position.clone(), Some(gap));
        self.persist(&Work::Mark(&Mark { position, gap })).await;
        self.status.gaps.inc();
    }

    /// Tries until it is done.
    async fn persist(&mut self, work: &Work<'_>) {
        while let Err(error) = self.attempt(work).await {
            self.wait(&error).await;
        }
    }

    /// Does it on every shelf on which it is not done.
    async fn attempt(&mut self, work: &Work<'_>) -> Result<(), StoreError> {
        for shelf in &mut self.shelves {
            if let Err(error) = shelf.attempt(work).await {
                shelf.open = false;
                return Err(error);
            }
        }
        self.backoff.reset();
        if self.status.store_open.get() == 0 {
            self.status.store_open.set(1);
            self.status.update(|detail| {
                if detail.trouble.take().is_some() {
                    tracing::info!(stream = self.status.name, "the store works again");
                }
            });
        }
        Ok(())
    }

    async fn wait(&mut self, error: &StoreError) {
        let delay = self.backoff.next_delay();
        let status = &self.status;
        status.store_errors.inc();
        status.store_open.set(0);
        let reason = error.to_string();
        // The same trouble is said once.
        if status.detail().trouble.as_ref() != Some(&reason) {
            tracing::error!(
                stream = status.name,
                "{reason}; trying again until it works"
            );
        }
        status.update(|detail| detail.trouble = Some(reason));
        tokio::time::sleep(delay).await;
    }
}

#[cfg(test)]
mod tests;

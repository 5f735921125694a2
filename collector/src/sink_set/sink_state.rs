//! One store, and what it is known to have.

use std::ops::Range;
use std::sync::Arc;

use datastream_protocol::position::{Position, Seq};

use super::StartOver;
use crate::dead_letter::DeadLetters;
use crate::event::Event;
use crate::metrics::Status;
use crate::store::{Batch, ErrorKind, Gap, Mark, Store, StoreError};

/// One store of a stream.
pub(super) struct SinkState {
    store: Box<dyn Store>,
    open: bool,
    /// The position that the store says it has; after an error, until it is open again, the one that it said before.
    stored: Option<Position>,
    /// The position at which this process began to store.
    origin: Option<Position>,
    /// The store had events, has none any more, and gets them from the start of the stream.
    restarts: bool,
    damaged_lines: u64,
    /// Events of the last batch that it did not take.
    refused: u64,
}

/// Work to be done on every sink.
pub(super) enum Work<'a> {
    /// See that the store is open and in its place.
    Verify,
    /// Mark where the stream begins, if nothing is stored.
    Begin(&'a Mark),
    /// Begin where the stream does, if nothing is stored and other stores have come this far.
    Join(&'a Mark),
    Append(&'a [Event]),
    Mark(&'a Mark),
}

/// The reason why work is not done.
pub(super) enum Failed {
    /// The store did not work.
    Store(StoreError),
    /// The store has lost what it had.
    WentBack,
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl SinkState {
    pub(super) fn new(store: Box<dyn Store>) -> Self {
        Self {
            store,
            open: false,
            stored: None,
            origin: None,
            restarts: false,
            damaged_lines: 0,
            refused: 0,
        }
    }

    pub(super) fn stored(&self) -> Option<Position> {
        self.stored.clone()
    }

    pub(super) const fn restarts(&self) -> bool {
        self.restarts
    }

    pub(super) const fn damaged_lines(&self) -> u64 {
        self.damaged_lines
    }

    /// The events of the last batch that were set aside.
    pub(super) fn take_refused(&mut self) -> u64 {
        std::mem::take(&mut self.refused)
    }

    /// Does the work, unless it is done. After an error the store has to be opened again.
    pub(super) async fn attempt(
        &mut self,
        work: &Work<'_>,
        start_over: StartOver,
        letters: Option<&DeadLetters>,
        status: &Status,
    ) -> Result<(), Failed> {
        self.reopen(start_over, status).await?;
        match work {
            Work::Verify => {
                let verified = self.store.verify().await;
                self.noting(verified)?;
            }
            Work::Append(events) => self.append(events, start_over, letters, status).await?,
            Work::Begin(_) | Work::Join(_) if self.stored.is_some() => {}
            Work::Join(mark) => self.join(mark, start_over, status).await?,
            // Whoever has everything before it misses nothing.
            Work::Mark(mark) if self.has_all_before(&mark.position) => {}
            Work::Begin(mark) | Work::Mark(mark) => {
                let position = match &self.stored {
                    Some(stored) => stored.union(&mark.position),
                    None => mark.position.clone(),
                };
                let gap = mark.gap.clone();
                let mark = Mark {
                    position: position.clone(),
                    gap,
                };
                let marked = self.store.mark(mark).await;
                self.noting(marked)?;
                self.has(position);
            }
        }
        Ok(())
    }

    fn has_all_before(&self, position: &Position) -> bool {
        let stored = self.stored.as_ref();
        stored.is_some_and(|stored| stored.covers(position))
    }

    /// Finds out where a store begins that has nothing, while others have come this far: it was added later, or has lost what it had.
    async fn join(
        &mut self,
        others: &Mark,
        start_over: StartOver,
        status: &Status,
    ) -> Result<(), StoreError> {
        let partitions = others.position.partitions();
        let first = Position::start(partitions);
        let mark = match start_over {
            StartOver::Start => None,
            StartOver::Beginning => Some(Mark {
                position: first,
                gap: None,
            }),
            StartOver::Origin => Some(Mark {
                position: others.position.clone(),
                gap: Some(Gap {
                    from: String::new(),
                    to: others.position.clone(),
                }),
            }),
        };
        let begins = match &mark {
            Some(mark) => format!("from seq {} on", Seq::starting_at(&mark.position)),
            None => "from the start of the stream".to_owned(),
        };
        tracing::warn!(
            stream = status.name,
            "{}: nothing is stored here, unlike elsewhere; it gets the events {begins}",
            self.store.describe(),
        );
        self.restarts = mark.is_none();
        if let Some(mark) = mark {
            let position = mark.position.clone();
            let marked = self.store.mark(mark).await;
            self.noting(marked)?;
            self.has(position);
        }
        Ok(())
    }

    /// Notes that the store has to be opened again after an error.
    fn noting<T>(&mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        self.open &= result.is_ok();
        result
    }

    /// Notes that the store has everything before this position.
    fn has(&mut self, position: Position) {
        self.origin.get_or_insert_with(|| position.clone());
        self.stored = Some(position);
        self.restarts = false;
    }

    /// Opens the store, also after an error: what is stored is what the store says, not what was tried.
    async fn reopen(&mut self, start_over: StartOver, status: &Status) -> Result<(), Failed> {
        if self.open {
            return Ok(());
        }
        let opened = self.store.open().await?;
        self.damaged_lines = opened.damaged_lines;
        let has = |known: &Position| opened.position.as_ref().is_some_and(|p| p.covers(known));
        let Some(known) = self.stored.clone().filter(|known| !has(known)) else {
            if let Some(position) = opened.position {
                self.has(position);
            }
            self.open = true;
            return Ok(());
        };
        let position = match (opened.position, start_over) {
            (None, StartOver::Origin) => self.begin_again(self.origin.clone()).await?,
            (None, StartOver::Beginning) => {
                let beginning = Position::start(known.partitions());
                self.begin_again(Some(beginning)).await?
            }
            (position, _) => position,
        };
        status.losses.inc();
        let resumes = match &position {
            Some(position) => format!("from seq {} on", Seq::starting_at(position)),
            None => "from the start of the stream".to_owned(),
        };
        tracing::error!(
            stream = status.name,
            "{}: what was stored before seq {} is no longer there; fetching again {resumes}",
            self.store.describe(),
            Seq::starting_at(&known),
        );
        self.restarts = position.is_none();
        self.stored = position;
        self.open = true;
        Err(Failed::WentBack)
    }

    /// Marks where a store resumes that has nothing.
    async fn begin_again(
        &mut self,
        position: Option<Position>,
    ) -> Result<Option<Position>, StoreError> {
        if let Some(position) = position.clone() {
            let gap = None;
            self.store.mark(Mark { position, gap }).await?;
        }
        Ok(position)
    }

    async fn append(
        &mut self,
        events: &[Event],
        start_over: StartOver,
        letters: Option<&DeadLetters>,
        status: &Status,
    ) -> Result<(), Failed> {
        // Halves of what was refused, the first one last.
        let mut parts = Vec::from([Range {
            start: 0,
            end: events.len(),
        }]);
        while let Some(part) = parts.pop() {
            self.reopen(start_over, status).await?;
            let Some(batch) = Batch::of_new(&events[part.clone()], self.stored.as_ref()) else {
                continue;
            };
            let after = batch.after.clone();
            if self.origin.is_none() {
                self.origin = Seq::start_of(&batch.events[0].seq).ok();
            }
            let single = (batch.events.len() == 1).then(|| batch.events[0].clone());
            let appended = self.store.append(Arc::new(batch)).await;
            match (self.noting(appended), single) {
                (Ok(()), _) => self.has(after),
                (Err(error), None) if error.kind == ErrorKind::Refused => {
                    parts.extend(halves(part));
                }
                (Err(error), Some(event)) if error.kind == ErrorKind::Refused => {
                    self.reopen(start_over, status).await?;
                    self.set_aside(&event, after, &error, letters, status)
                        .await?;
                }
                (Err(error), _) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Writes an event that the store rejects as a dead letter, and continues after it, if dead letters are configured.
    async fn set_aside(
        &mut self,
        event: &Event,
        after: Position,
        error: &StoreError,
        letters: Option<&DeadLetters>,
        status: &Status,
    ) -> Result<(), StoreError> {
        let seq = &event.seq;
        let Some(letters) = letters else {
            return Err(StoreError {
                reason: format!(
                    "the event with seq {seq} cannot be stored: {error}; everything behind it waits (deadLetter would set it aside)"
                ),
                ..error.clone()
            });
        };
        let place = self.store.describe();
        letters
            .add(&status.name, &place, event, &error.reason)
            .await?;
        let (position, gap) = (after.clone(), None);
        let marked = self.store.mark(Mark { position, gap }).await;
        self.noting(marked)?;
        self.has(after);
        self.refused += 1;
        status.dead_letters.inc();
        tracing::error!(
            stream = status.name,
            "the event with seq {seq} cannot be stored and was set aside: {error}"
        );
        Ok(())
    }
}

/// The halves of a part, the first one last.
fn halves(part: Range<usize>) -> [Range<usize>; 2] {
    let middle = part.start + part.len() / 2;
    [middle..part.end, part.start..middle]
}

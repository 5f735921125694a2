//! Where events are stored: what every store does, and which there are.

mod jsonl;
mod lock;
mod off_thread;
mod postgres;
mod sqlite;

use std::sync::Arc;

use datastream_gateway::position::{Position, Seq};
use futures_util::future::BoxFuture;

pub(super) use jsonl::JsonlStore;
pub(super) use off_thread::OffThread;
pub(super) use postgres::PostgresStore;
pub(super) use sqlite::{Databases, SqliteStore};

use super::event::Event;

/// The events of one stream in one place. Every call is durable when it returns without an error; after an error the
/// store has to be opened again.
pub(super) trait Store: Send {
    /// Where it is, for people.
    fn describe(&self) -> String;

    /// Takes the stream for this process alone, mends what a killed one left behind, and says what is stored:
    /// everything before the position, or nothing.
    fn open(&mut self) -> BoxFuture<'_, Result<Option<Position>, StoreError>>;

    /// Stores a batch of events.
    fn append(&mut self, batch: Arc<Batch>) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Remembers a position without events.
    fn mark(&mut self, mark: Mark) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// Events to store, none of which is stored yet.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    /// In the order of the stream; at least one.
    pub events: Vec<Event>,
    /// Everything before this is stored already.
    pub before: Option<Position>,
    /// Everything before this is stored afterwards.
    pub after: Position,
}

impl Batch {
    /// Those of the events that are not stored where everything before the position is; `None` if all are.
    pub(super) fn of_new(events: &[Event], stored: Option<&Position>) -> Option<Self> {
        let (new, after) = new_events(events, stored);
        let after = after.filter(|_| !new.is_empty())?;
        Some(Self {
            events: new.into_iter().cloned().collect(),
            before: stored.cloned(),
            after,
        })
    }
}

/// Those of the events that are not stored where everything before the position is, and the position after them.
pub(super) fn new_events<'a>(
    events: &'a [Event],
    stored: Option<&Position>,
) -> (Vec<&'a Event>, Option<Position>) {
    let mut after = stored.cloned();
    let mut new = Vec::with_capacity(events.len());
    for event in events {
        if after.as_ref().is_some_and(|p| event.identity.is_before(p)) {
            continue;
        }
        after = Some(past(after.as_ref(), event));
        new.push(event);
    }
    (new, after)
}

/// The position after an event.
fn past(position: Option<&Position>, event: &Event) -> Position {
    match position {
        Some(position) if !event.position.covers(position) => position.union(&event.position),
        _ => event.position.clone(),
    }
}

/// A position to remember, and perhaps why the stream jumped there.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    /// Nothing before this has to be stored any more.
    pub position: Position,
    /// What is missing.
    pub gap: Option<Gap>,
}

impl Mark {
    /// The number to go on with.
    fn seq_start(&self) -> Seq {
        Seq::starting_at(&self.position)
    }
}

/// Events that expired before they were stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    /// The `seq_start` that was asked for.
    pub from: String,
}

/// A store that did not do what it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(super) struct StoreError {
    /// What happened, where.
    pub reason: String,
    /// Whether it may well pass by itself: a server that cannot be reached.
    pub passes: bool,
}

impl StoreError {
    /// An error that needs somebody to act.
    pub(super) fn lasting(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            passes: false,
        }
    }

    /// An error that may pass.
    pub(super) fn passing(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            passes: true,
        }
    }
}

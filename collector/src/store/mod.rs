//! The stores: the contract of every store, and the three that there are.

mod jsonl;
mod lines;
mod lock;
mod off_thread;
mod place;
mod postgres;
mod sqlite;

use std::sync::Arc;

use datastream_protocol::position::{Position, Seq};
use futures_util::future::BoxFuture;

pub(super) use jsonl::{JsonlStore, one_line};
pub(super) use lines::add as add_line;
pub(super) use off_thread::OffThread;
pub(super) use postgres::PostgresStore;
pub(super) use sqlite::{Databases, SqliteStore};

use super::event::Event;

/// The events of one stream in one place. Every call is durable when it returns without an error; after an error the
/// store has to be opened again.
pub(super) trait Store: Send {
    /// Its place, for people.
    fn describe(&self) -> String;

    /// Takes the stream for this process alone, mends what a killed one left behind, and says what is stored.
    fn open(&mut self) -> BoxFuture<'_, Result<Opened, StoreError>>;

    /// Stores a batch of events.
    fn append(&mut self, batch: Arc<Batch>) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Remembers a position without events.
    fn mark(&mut self, mark: Mark) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Checks that the store is still in the place that was configured, and still this process's.
    fn verify(&mut self) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// The content of a store that was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Opened {
    /// Everything before this is stored; none if nothing is.
    pub position: Option<Position>,
    /// Lines that cannot be read any more, and were left as they are.
    pub damaged_lines: u64,
}

impl Opened {
    /// A store without damage.
    fn at(position: Option<Position>) -> Self {
        Self {
            position,
            damaged_lines: 0,
        }
    }
}

/// Events to store, none of which is stored yet.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    /// Events in the order of the stream; at least one.
    pub events: Vec<Event>,
    /// Everything before this is stored already.
    pub before: Option<Position>,
    /// Everything before this is stored afterwards.
    pub after: Position,
}

impl Batch {
    /// Batch of the events that a store with everything before the position lacks; `None` if it has all.
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

/// Returns the events that a store with everything before the position lacks, and the position after them.
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
    /// The events that are missing, if any.
    pub gap: Option<Gap>,
}

impl Mark {
    /// The number to resume with.
    fn seq_start(&self) -> Seq {
        Seq::starting_at(&self.position)
    }
}

/// Events that expired before they were stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    /// The `seq_start` that was asked for; empty if nobody knows where the stream stood.
    pub from: String,
    /// The first position that is left.
    pub to: Position,
}

impl Gap {
    /// The number of the first position that is left.
    fn went_on_at(&self) -> Seq {
        Seq::starting_at(&self.to)
    }
}

/// A store that did not do what it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(super) struct StoreError {
    /// The fault and its place.
    pub reason: String,
    /// Its remedy.
    pub kind: ErrorKind,
}

/// The remedy of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErrorKind {
    /// Time: a server that cannot be reached, a lock that is held.
    Passing,
    /// Somebody's action.
    Lasting,
    /// Leaving out an event: the store takes others, but not what it was given.
    Refused,
}

impl StoreError {
    /// An error that needs somebody to act.
    pub(super) fn lasting(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            kind: ErrorKind::Lasting,
        }
    }

    /// An error that may pass.
    pub(super) fn passing(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            kind: ErrorKind::Passing,
        }
    }

    /// Returns whether it may well pass by itself.
    pub(super) fn passes(&self) -> bool {
        self.kind == ErrorKind::Passing
    }

    /// The same error, with more said before its reason.
    pub(super) fn within(self, place: &str) -> Self {
        Self {
            reason: format!("{place}: {}", self.reason),
            ..self
        }
    }
}

//! One batch of records, decoded: what the dispatcher routes and the ring keeps.

use std::sync::Arc;

use datastream_protocol::position::{EventPosition, Position};
use datastream_routing::Route;

use super::queued_frame::QueuedFrame;
use crate::event::Event;

/// Consecutive records of one partition. Records that could not be decoded leave no event but are counted in.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub partition: u32,
    /// The position of the dispatcher after this chunk.
    pub after: Position,
    pub events: Vec<Event>,
    /// Bytes of the records that the events came from.
    pub bytes: usize,
    /// Bytes of these records and of their frames.
    pub held: usize,
}

impl Chunk {
    /// The position just after one of the events, as the dispatcher saw it.
    pub(crate) fn position_after(&self, event: &Event) -> Position {
        let mut next = self.after.offsets().to_vec();
        next[self.partition as usize] = event.offset + 1;
        Position::new(next)
    }

    /// The frame that every stream in the live fan-out gets.
    pub(crate) fn live_frame(&self, event: &Event) -> QueuedFrame {
        let at = || self.at(self.position_after(event));
        QueuedFrame::Event(event.shared_frame(at))
    }

    /// The frame for a stream that has come to `position` (this event included) on its own way.
    pub(crate) fn frame_at(&self, event: &Event, position: &Position) -> QueuedFrame {
        // Streams that are ahead in another partition have numbers of their own.
        if position.partitions() == 1 || *position == self.position_after(event) {
            self.live_frame(event)
        } else {
            let frame = event.frame_at(self.at(position.clone()));
            QueuedFrame::Event(Arc::new(frame))
        }
    }

    const fn at(&self, after: Position) -> EventPosition {
        EventPosition {
            after,
            partition: self.partition,
        }
    }

    /// The events from `from` on that the route wants.
    pub(crate) fn wanted<'a>(
        &'a self,
        from: u64,
        route: &'a Route,
    ) -> impl Iterator<Item = &'a Event> {
        let first = self.events.partition_point(|e| e.offset < from);
        self.events[first..].iter().filter(|e| {
            let fields = e.fields();
            route.matches(&fields) && route.permits(&fields)
        })
    }

    /// Bytes of memory held, as an upper bound.
    pub(crate) fn weight(&self) -> usize {
        weight(self.held, self.events.len(), &self.after)
    }
}

/// The same of a chunk with so many events, of which records and frames take `held` bytes, at a position as long as this one.
pub(super) fn weight(held: usize, events: usize, position: &Position) -> usize {
    // 200 covers the structs of an event and of its frame, and their allocations.
    128 + held + (200 + position.memory()) * events
}

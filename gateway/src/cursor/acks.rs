//! Acknowledgement of what one stream has sent, by the heartbeats that its client answers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use datastream_protocol::position::Position;
use tokio::time::Instant;

use super::CursorKey;
use super::writer::Cursors;

/// Heartbeats in flight that are distinguished. More come only from a client that leaves some out.
const IN_FLIGHT: usize = 16;
/// A stream that gets no events moves its cursor this often all the same, so that what it has seen go by need not be
/// read again, and does not expire under it.
const IDLE: Duration = Duration::from_mins(5);

/// The heartbeats of one stream that are not answered yet, and what the stream had been sent before each.
pub(crate) struct Acks {
    cursors: Arc<Cursors>,
    key: CursorKey,
    unanswered: VecDeque<Sent>,
    /// Events sent up to the last acknowledgement, and when that was.
    acknowledged: (u64, Instant),
    /// The client has not acknowledged yet that it begins behind what had expired.
    is_behind_gap: bool,
}

#[derive(Debug)]
struct Sent {
    position: Position,
    events: u64,
}

impl Acks {
    /// Acknowledgements of the stream of the subscription with this key.
    pub(crate) fn new(cursors: Arc<Cursors>, key: CursorKey) -> Self {
        Self {
            cursors,
            key,
            unanswered: VecDeque::new(),
            acknowledged: (0, Instant::now()),
            is_behind_gap: false,
        }
    }

    /// Notes a gap: it has to be acknowledged, too.
    pub(crate) fn behind_gap(self) -> Self {
        Self {
            is_behind_gap: true,
            ..self
        }
    }

    /// The client has handled everything before this position, or knows that it is gone.
    pub(crate) fn acknowledge(&mut self, position: &Position) {
        self.is_behind_gap = false;
        self.cursors.acknowledge(&self.key, position);
    }

    /// A heartbeat goes out behind everything before `position`, which was this many events.
    pub(crate) fn heartbeat(&mut self, position: &Position, events: u64) {
        // One that is not remembered acknowledges nothing: answers are always taken for the oldest that is.
        if self.unanswered.len() < IN_FLIGHT {
            let position = position.clone();
            self.unanswered.push_back(Sent { position, events });
        }
    }

    /// A heartbeat was answered: the oldest one, so that an answer never acknowledges too much.
    pub(crate) fn answered(&mut self) {
        let Some(Sent { position, events }) = self.unanswered.pop_front() else {
            return;
        };
        let (before, since) = self.acknowledged;
        if events > before || self.is_behind_gap || since.elapsed() >= IDLE {
            self.acknowledged = (events, Instant::now());
            self.acknowledge(&position);
        }
    }
}

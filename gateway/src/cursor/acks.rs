//! Acknowledgement of what one stream has sent, by the heartbeats that its client answers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use datastream_protocol::position::Position;
use tokio::time::Instant;

use super::CursorKey;
use super::writer::Cursors;

/// Positions of heartbeats in flight that are distinguished. Of further heartbeats, the last of these stands.
const IN_FLIGHT: usize = 16;
/// A stream that gets no events moves its cursor this often all the same, so that what it has seen go by need not be
/// read again, and does not expire under it.
const IDLE: Duration = Duration::from_mins(5);

/// Acknowledgement of one stream.
pub(crate) struct Acks {
    cursors: Arc<Cursors>,
    key: CursorKey,
    unanswered: Unanswered,
    /// Events sent up to the last acknowledgement, and when that was.
    acknowledged: (u64, Instant),
    /// The client has not acknowledged yet that it begins behind what had expired.
    is_behind_gap: bool,
}

/// The heartbeats of one stream that are not answered yet, and what the stream had been sent before each.
#[derive(Debug, Default)]
struct Unanswered(VecDeque<Sent>);

/// Heartbeats in a row whose answers acknowledge the same: what had been sent before the first of them.
#[derive(Debug)]
struct Sent {
    position: Position,
    events: u64,
    heartbeats: u32,
}

impl Unanswered {
    /// A heartbeat goes out.
    fn sent(&mut self, position: &Position, events: u64) {
        // Answers name no heartbeat: each is to the oldest one, so none may be left out.
        let is_full = self.0.len() == IN_FLIGHT;
        match self.0.back_mut().filter(|_| is_full) {
            Some(last) => last.heartbeats = last.heartbeats.saturating_add(1),
            None => self.0.push_back(Sent {
                position: position.clone(),
                events,
                heartbeats: 1,
            }),
        }
    }

    /// Returns what the answer to the oldest one acknowledges.
    fn answered(&mut self) -> Option<(Position, u64)> {
        let oldest = self.0.front_mut()?;
        oldest.heartbeats -= 1;
        let acknowledged = (oldest.position.clone(), oldest.events);
        if oldest.heartbeats == 0 {
            self.0.pop_front();
        }
        Some(acknowledged)
    }
}

impl Acks {
    /// Acknowledgements of the stream of the subscription with this key.
    pub(crate) fn new(cursors: Arc<Cursors>, key: CursorKey) -> Self {
        Self {
            cursors,
            key,
            unanswered: Unanswered::default(),
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
        self.unanswered.sent(position, events);
    }

    /// A heartbeat was answered: the oldest one, so that an answer never acknowledges too much.
    pub(crate) fn answered(&mut self) {
        let Some((position, events)) = self.unanswered.answered() else {
            return;
        };
        let (before, since) = self.acknowledged;
        if events > before || self.is_behind_gap || since.elapsed() >= IDLE {
            self.acknowledged = (events, Instant::now());
            self.acknowledge(&position);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_answer_acknowledges_no_more_than_was_sent_before_its_heartbeat(
            answers in vec(any::<bool>(), 0..200),
        ) {
            let mut unanswered = Unanswered::default();
            let mut outstanding = VecDeque::new();
            // Only the latest heartbeats lead to less than what they stand for.
            let mut crowded = false;
            for (events, is_answer) in (0..).zip(answers) {
                if !is_answer {
                    unanswered.sent(&Position::new([events]), events);
                    outstanding.push_back(events);
                    crowded |= outstanding.len() > IN_FLIGHT;
                } else if let Some(sent) = outstanding.pop_front() {
                    let (position, acknowledged) = unanswered.answered().unwrap();
                    prop_assert_eq!(position.next(0), acknowledged);
                    prop_assert!(acknowledged <= sent);
                    prop_assert!(crowded || acknowledged == sent);
                    crowded &= !outstanding.is_empty();
                } else {
                    prop_assert!(unanswered.answered().is_none());
                }
            }
        }
    }
}

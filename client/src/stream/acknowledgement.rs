//! Acknowledgement of events by the answers to heartbeats.

use std::collections::VecDeque;

/// The time at which a heartbeat is answered. Its answer acknowledges every event before it, from where a subscription with
/// `resume: Committed` goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acknowledge {
    /// Once every event before it has been handled: an event is when the next one is asked for.
    #[default]
    Handled,
    /// Once [`EventStream::acknowledge`](crate::EventStream::acknowledge) was called with the event before it, or a later one: for
    /// programs that take many events before they make them safe. A gateway closes a stream whose heartbeats are not answered for
    /// as long as its subscription says, and the stream is opened again.
    Explicitly,
}

/// Heartbeats that have yet to be answered, oldest first: those behind one event together, so that there are not more of them than
/// events.
#[derive(Debug, Default)]
pub(super) struct Unanswered(VecDeque<Behind>);

#[derive(Debug)]
struct Behind {
    /// Ordinal of the last event before them.
    ordinal: u64,
    heartbeats: u32,
}

impl Unanswered {
    /// Adds a heartbeat behind the event with this ordinal.
    pub(super) fn push(&mut self, ordinal: u64) {
        match self.0.back_mut() {
            Some(last) if last.ordinal == ordinal => last.heartbeats += 1,
            _ => self.0.push_back(Behind {
                ordinal,
                heartbeats: 1,
            }),
        }
    }

    /// The ordinal of the event that the oldest one waits for; if there is none, of an event that never comes.
    pub(super) fn oldest(&self) -> u64 {
        self.0.front().map_or(u64::MAX, |behind| behind.ordinal)
    }

    /// Takes the oldest one if everything up to the event with this ordinal has been acknowledged and that includes what is before it.
    pub(super) fn take_due(&mut self, acknowledged: u64) -> bool {
        let Some(first) = self.0.front_mut() else {
            return false;
        };
        if first.ordinal > acknowledged {
            return false;
        }
        first.heartbeats -= 1;
        if first.heartbeats == 0 {
            self.0.pop_front();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heartbeats_are_due_when_what_is_before_them_was_acknowledged() {
        let mut unanswered = Unanswered::default();
        assert_eq!(unanswered.oldest(), u64::MAX);
        for ordinal in [0, 2, 2, 5] {
            unanswered.push(ordinal);
        }
        let mut due = |acknowledged| {
            let mut answers = 0;
            while unanswered.take_due(acknowledged) {
                answers += 1;
            }
            (answers, unanswered.oldest())
        };
        assert_eq!(due(1), (1, 2));
        assert_eq!(due(4), (2, 5));
        assert_eq!(due(5), (1, u64::MAX));
    }
}

//! The committed position of one subscription.

use datastream_protocol::position::Position;

/// A position from which the stream of a subscription resumes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// Everything before it is done with.
    pub position: Position,
    /// A client has acknowledged that. If not, it is where the earliest of the subscription's streams started.
    pub is_acknowledged: bool,
}

impl Cursor {
    /// A cursor of a client that has acknowledged everything before this position.
    pub(super) fn acknowledged(position: &Position) -> Self {
        Self {
            position: position.clone(),
            is_acknowledged: true,
        }
    }

    /// A cursor of a stream that starts here, and of which nothing has been acknowledged.
    pub(super) fn started_at(position: &Position) -> Self {
        Self {
            position: position.clone(),
            is_acknowledged: false,
        }
    }

    /// Takes in another cursor of the subscription; which of them was written first does not matter. What was acknowledged never moves
    /// back: who replays old events and answers heartbeats meanwhile does not lose what was acknowledged before. Until something is, the
    /// earliest start counts, because a client may have ended without a word; it has to give way to any acknowledgement, or a start that
    /// is further on would count as one.
    pub(super) fn take_in(&mut self, other: Self) {
        match (self.is_acknowledged, other.is_acknowledged) {
            (true, true) => self.position = self.position.union(&other.position),
            (true, false) => (),
            (false, true) => *self = other,
            (false, false) => self.position = self.position.intersection(&other.position),
        }
    }

    /// Returns whether taking the other one in would change nothing.
    pub(super) fn has(&self, other: &Self) -> bool {
        let mut both = self.clone();
        both.take_in(other.clone());
        both == *self
    }
}

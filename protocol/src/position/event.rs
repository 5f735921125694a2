//! Position of one event within a stream.

use super::{Position, Seq};

/// Position that an event brings a stream to, and the partition that the event is in: what its sequence number says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventPosition {
    /// The position just after the event.
    pub after: Position,
    /// The event's own partition.
    pub partition: u32,
}

impl EventPosition {
    /// The event's sequence number.
    pub fn seq(&self) -> Seq {
        Seq::of(&self.after, self.partition)
    }

    /// The position from which a replay begins with this event.
    pub fn before(&self) -> Position {
        let mut next = self.after.offsets().to_vec();
        if let Some(own) = next.get_mut(self.partition as usize) {
            *own = own.saturating_sub(1);
        }
        Position::new(next)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_number_of_an_event_says_its_position(next in vec(1_u64..1 << 40, 1..20), own in 0_u32..20) {
            let partition = own % next.len() as u32;
            let at = EventPosition { after: Position::new(next), partition };
            let (seq, partitions) = (at.seq(), at.after.partitions());
            prop_assert_eq!(&Seq::parse_end(seq.as_str(), partitions).unwrap(), &at.after);
            prop_assert_eq!(Seq::parse_start(seq.as_str(), partitions).unwrap(), at.before());
        }
    }
}

//! Identity of an event: its own partition and its offset there.

use super::Position;
use super::seq::{Seq, SeqError, parse, partitions};

/// The identity of an event. Gateways merge the partitions of a topic in different orders, so that one event may have
/// different sequence numbers; all of them yield the same identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventIdentity {
    /// The event's own partition.
    pub partition: u32,
    /// Its offset there.
    pub offset: u64,
}

impl EventIdentity {
    /// The identity of the event with this number, and the position that the event brings a stream to: whoever saw
    /// the stream up to here has seen everything before that position.
    ///
    /// # Errors
    /// No number, or not of an event: zero, or a place between events.
    pub fn of_seq(text: &str) -> Result<(Self, Position), SeqError> {
        let (position, own) = parse(text, partitions(text))?;
        let partition = own.ok_or(SeqError::Malformed)?;
        let offset = position.next(partition).checked_sub(1);
        let offset = offset.ok_or(SeqError::Malformed)?;
        Ok((Self { partition, offset }, position))
    }

    /// Returns whether a stream that has come to `position` has seen this event.
    pub fn is_before(&self, position: &Position) -> bool {
        self.offset < position.next(self.partition)
    }
}

impl Seq {
    /// Position at which a replay with `seq_start=text` begins, in a topic with as many partitions as the number names.
    ///
    /// # Errors
    /// No number that a gateway gives.
    pub fn start_of(text: &str) -> Result<Position, SeqError> {
        Self::parse_start(text, partitions(text))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// The numbers of a merge: which partition each event is in.
    fn numbers(partitions: u32, merge: &[u32]) -> Vec<Seq> {
        let mut position = Position::start(partitions);
        let number = |own: &u32| {
            position.advance(*own, position.next(*own) + 1);
            Seq::of(&position, *own)
        };
        merge.iter().map(number).collect()
    }

    fn merges() -> impl Strategy<Value = (u32, Vec<u32>, Vec<u32>)> {
        (1_u32..=16)
            .prop_flat_map(|n| (Just(n), vec(0..n, 1..60)))
            .prop_flat_map(|(n, merge)| (Just(n), Just(merge.clone()), Just(merge).prop_shuffle()))
    }

    proptest! {
        #[test]
        fn every_interleaving_of_the_same_events_yields_the_same_identities((partitions, one, other) in merges()) {
            let identities = |merge: &[u32]| {
                let numbers = numbers(partitions, merge);
                let mut all: Vec<_> = numbers
                    .iter()
                    .map(|seq| EventIdentity::of_seq(seq.as_str()).unwrap().0)
                    .collect();
                all.sort_unstable();
                all.dedup();
                all
            };
            prop_assert_eq!(identities(&one).len(), one.len());
            prop_assert_eq!(identities(&one), identities(&other));
        }

        #[test]
        fn a_replay_from_a_position_brings_exactly_the_events_after_it((partitions, one, other) in merges(), at in 0_usize..60) {
            // One gateway was followed up to an event, another one from there on.
            let seen = &numbers(partitions, &one)[..=at.min(one.len() - 1)];
            let position = seen.iter().fold(Position::start(partitions), |position, seq| {
                let (identity, at) = EventIdentity::of_seq(seq.as_str()).unwrap();
                assert!(!identity.is_before(&position) && identity.is_before(&at));
                position.union(&at)
            });
            let resumed = Seq::starting_at(&position);
            prop_assert_eq!(&Seq::start_of(resumed.as_str()).unwrap(), &position);
            let before = numbers(partitions, &other)
                .iter()
                .filter(|seq| EventIdentity::of_seq(seq.as_str()).unwrap().0.is_before(&position))
                .count();
            prop_assert_eq!(before, seen.len());
        }

        #[test]
        fn union_covers_both_positions_and_both_cover_the_intersection(a in vec(0_u64..9, 1..5), b in vec(0_u64..9, 1..5)) {
            let (a, b) = (Position::new(a), Position::new(b));
            let (union, both) = (a.union(&b), a.intersection(&b));
            prop_assert!(union.covers(&a) && union.covers(&b));
            prop_assert!(a.covers(&both) && b.covers(&both));
        }

        #[test]
        fn arbitrary_text_is_parsed_without_a_panic(text in "[0-9a-z |]{0,70}") {
            let _ = EventIdentity::of_seq(&text);
            let _ = Seq::start_of(&text);
        }
    }

    #[test]
    fn the_seq_of_one_partition_is_the_offset_plus_one() {
        let (identity, position) = EventIdentity::of_seq("7").unwrap();
        assert_eq!((identity.partition, identity.offset), (0, 6));
        assert_eq!(position, Position::new([7]));
    }

    #[test]
    fn invalid_seqs_have_no_identity() {
        for text in ["", "0", "-1", "7.0", "99999999999999999999"] {
            assert!(EventIdentity::of_seq(text).is_err(), "{text}");
        }
        let between = Seq::starting_at(&Position::new([3, 4]));
        assert!(EventIdentity::of_seq(between.as_str()).is_err());
        assert_eq!(Seq::start_of(between.as_str()), Ok(Position::new([3, 4])));
    }
}

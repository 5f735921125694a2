//! The cursors as the topic says, and which of them have to be written again before the topic drops them.

use std::collections::HashMap;

use super::{Cursor, CursorKey};

/// Every cursor that is in the topic. Plain data, no I/O.
#[derive(Debug, Default)]
pub(super) struct Table {
    cursors: HashMap<CursorKey, Entry>,
    /// Bytes of the records read so far.
    read_bytes: u64,
}

#[derive(Debug)]
struct Entry {
    cursor: Cursor,
    /// End of its newest record, in bytes read.
    at_bytes: u64,
    /// Time at which the broker took that record, in milliseconds since 1970; 0 if it did not say.
    at_ms: i64,
}

/// Age that a cursor may reach before it is written again.
#[derive(Clone, Copy, Debug)]
pub(super) struct MaxAge {
    /// Bytes of records that came after it.
    pub bytes: u64,
    /// Time since its record was taken, in milliseconds.
    pub ms: i64,
}

impl Table {
    /// Takes in a record of this many bytes, taken at `at_ms`.
    pub(super) fn apply(&mut self, cursors: Vec<(CursorKey, Cursor)>, bytes: u64, at_ms: i64) {
        self.read_bytes += bytes;
        for (key, cursor) in cursors {
            let entry = self.cursors.entry(key).or_insert_with(|| Entry {
                cursor: cursor.clone(),
                at_bytes: 0,
                at_ms: 0,
            });
            entry.cursor.take_in(cursor);
            (entry.at_bytes, entry.at_ms) = (self.read_bytes, at_ms);
        }
    }

    /// Position from which this subscription's stream resumes.
    pub(super) fn get(&self, key: &CursorKey) -> Option<&Cursor> {
        self.cursors.get(key).map(|entry| &entry.cursor)
    }

    /// Number of cursors.
    pub(super) fn len(&self) -> usize {
        self.cursors.len()
    }

    /// The cursors of subscriptions that `lives` and whose records are older than `age`, to be written again.
    pub(super) fn due(
        &self,
        age: MaxAge,
        now_ms: i64,
        lives: impl Fn(&CursorKey) -> bool,
    ) -> Vec<(CursorKey, Cursor)> {
        let old = self.cursors.iter().filter(|(key, entry)| {
            let driven_out = self.read_bytes - entry.at_bytes > age.bytes;
            let timed_out = entry.at_ms > 0 && now_ms - entry.at_ms > age.ms;
            (driven_out || timed_out) && lives(key)
        });
        old.map(|(key, entry)| (key.clone(), entry.cursor.clone()))
            .collect()
    }

    /// Forgets what the topic has dropped: cursors with more than this many bytes after them.
    pub(super) fn forget(&mut self, kept_bytes: u64) {
        let read_bytes = self.read_bytes;
        self.cursors
            .retain(|_, entry| read_bytes - entry.at_bytes <= kept_bytes);
    }
}

#[cfg(test)]
mod tests {
    use datastream_protocol::position::Position;
    use datastream_routing::SubscriptionId;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn at(next: impl Into<Box<[u64]>>) -> Cursor {
        Cursor::acknowledged(&Position::new(next))
    }

    fn key(name: &str) -> CursorKey {
        CursorKey {
            id: SubscriptionId::new("team", name),
            uid: "u".to_owned(),
        }
    }

    proptest! {
        #[test]
        fn what_was_acknowledged_never_moves_back_whatever_is_written(
            written in vec((vec(0..100_u64, 1..4), any::<bool>()), 1..40),
        ) {
            let mut table = Table::default();
            let (mut acknowledged, mut started) = (None::<Position>, None::<Position>);
            for (next, is_acknowledged) in written {
                let position = Position::new(next);
                let cursor = Cursor { position: position.clone(), is_acknowledged };
                table.apply(vec![(key("a"), cursor)], 10, 0);
                let to = if is_acknowledged { &mut acknowledged } else { &mut started };
                *to = Some(match to.take() {
                    None => position,
                    Some(before) if is_acknowledged => before.union(&position),
                    Some(before) => before.intersection(&position),
                });
                // A start counts for as long as nothing is acknowledged, and for nothing from then on.
                let now = table.get(&key("a")).unwrap();
                prop_assert_eq!(now.is_acknowledged, acknowledged.is_some());
                prop_assert_eq!(Some(&now.position), acknowledged.as_ref().or(started.as_ref()));
            }
        }

        /// Whoever writes again what is due keeps every cursor within what the topic keeps.
        #[test]
        fn cursors_rewritten_when_due_are_never_dropped(moves in vec(0..5_usize, 1..200)) {
            const KEPT: u64 = 400;
            let age = MaxAge { bytes: KEPT / 4, ms: i64::MAX };
            let mut table = Table::default();
            let names = ["a", "b", "c", "d", "e"];
            for name in names {
                table.apply(vec![(key(name), at([7]))], 10, 0);
            }
            for name in moves {
                table.apply(vec![(key(names[name]), at([7]))], 10, 0);
                for cursor in table.due(age, 0, |_| true) {
                    table.apply(vec![cursor], 10, 0);
                }
                table.forget(KEPT);
                prop_assert_eq!(table.len(), names.len());
            }
        }
    }

    #[test]
    fn old_cursors_of_existing_subscriptions_are_due_for_rewriting() {
        let mut table = Table::default();
        table.apply(vec![(key("a"), at([1]))], 10, 1000);
        table.apply(vec![(key("b"), at([2]))], 10, 5000);
        let due = |bytes, ms| {
            let mut due = table.due(MaxAge { bytes, ms }, 6000, |k| *k.id.name != *"gone");
            due.sort_by(|a, b| a.0.id.cmp(&b.0.id));
            due.into_iter()
                .map(|(k, _)| k.id.name.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(due(100, 10_000), Vec::<String>::new());
        assert_eq!(due(5, 10_000), ["a"]);
        assert_eq!(due(100, 4000), ["a"]);
        assert_eq!(due(100, 500), ["a", "b"]);
        assert!(
            table
                .due(MaxAge { bytes: 0, ms: 0 }, 6000, |_| false)
                .is_empty()
        );
    }
}

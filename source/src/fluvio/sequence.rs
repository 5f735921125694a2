//! The order of the batches of an answer. The offsets of a partition have no holes, so that what one header says about its end can
//! be held against where the next batch begins, and against where the log ends.

use std::ops::Range;

use bytes::Buf as _;

use super::batch::{self, Framing, Header};

/// Beginning of an answer, seen from the offset that is wanted next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// Whole batches, each of which begins where the one before ends.
    Sequence {
        /// Place of their bytes.
        bytes: Range<usize>,
        /// The offset after the last of them.
        next: u64,
        /// More than the last header says that it ends there: the batch behind it, or the end of the log.
        agreed: bool,
    },
    /// A whole batch with the wanted offset, of which the header may be wrong about its end.
    Doubtful {
        /// Place of its bytes.
        bytes: Range<usize>,
        /// Its header.
        header: Header,
        /// The offset at which the batch behind it begins, if that is to be seen.
        successor: Option<u64>,
    },
    /// Something else.
    Other {
        /// Place at which it begins, behind batches that lie before the wanted offset.
        at: usize,
    },
}

/// Looks at an answer of which no batch reaches beyond `end`, and which goes up to there unless it is `cut`. A server answers with
/// whole batches, from the one that has `next` on, or from one that only says so. With `doubted`, the first one is doubtful in any
/// case.
pub(super) fn start(batches: &[u8], end: u64, cut: bool, next: u64, doubted: bool) -> Start {
    let mut rest = batches;
    let (mut first, mut reached, mut agreed) = (None, next, false);
    while let Framing::Whole(header) = batch::frame(rest) {
        let at = batches.len() - rest.len();
        let successor = batch::base(&rest[header.size..]).filter(|base| *base <= end);
        if first.is_none() {
            // A batch in front of the wanted one lies before it, whatever its own header says.
            let is_before = header.first > next && successor.is_some_and(|base| base <= next);
            if is_before || header.next <= next {
                rest.advance(header.size);
                continue;
            }
        }
        let follows = match first {
            None => header.first <= next,
            Some(_) => header.first == reached,
        };
        if !follows {
            break;
        }
        let successor = successor.filter(|base| *base > header.first);
        let contradicted = successor.is_some_and(|base| base != header.next);
        if header.next > end || contradicted || (doubted && first.is_none()) {
            if first.is_none() {
                return Start::Doubtful {
                    bytes: at..at + header.size,
                    header,
                    successor,
                };
            }
            break;
        }
        first = first.or(Some(at));
        agreed = successor.is_some() || (!cut && header.next == end);
        reached = header.next;
        rest.advance(header.size);
    }
    let at = batches.len() - rest.len();
    match first {
        Some(first) => Start::Sequence {
            bytes: first..at,
            next: reached,
            agreed,
        },
        None => Start::Other { at },
    }
}

/// The offset at which to go on behind a batch that cannot be read and whose header may be wrong: before anything that may be good.
/// `count` is the number of its records, if that can be told without the header.
pub(super) fn behind(header: &Header, count: Option<u64>, successor: Option<u64>, end: u64) -> u64 {
    if successor == Some(header.next) {
        return header.next;
    }
    let own = count.map_or(header.next, |count| header.first.saturating_add(count));
    successor.map_or(own, |base| base.min(own)).min(end)
}

#[cfg(test)]
mod tests {
    use fluvio_protocol::Encoder;
    use fluvio_protocol::record::{Batch, Record, RecordData};

    use super::*;

    const NO_END: u64 = u64::MAX;

    /// A batch of three records, of which the header says this about its end.
    fn batch(base: i64, last_delta: i32) -> Vec<u8> {
        let records = ["one", "two", "three"].map(|text| Record::new(RecordData::from(text)));
        let mut batch = Batch::from(records.to_vec());
        batch.base_offset = base;
        batch.header.last_offset_delta = last_delta;
        let mut bytes = vec![];
        batch.encode(&mut bytes, 0).unwrap();
        assert_eq!(batch::base(&bytes), u64::try_from(base).ok());
        bytes
    }

    fn header(bytes: &[u8]) -> Header {
        match batch::frame(bytes) {
            Framing::Whole(header) => header,
            other => panic!("{other:?}"),
        }
    }

    fn doubtful(at: usize, bytes: &[u8], successor: Option<u64>) -> Start {
        Start::Doubtful {
            bytes: at..at + bytes.len(),
            header: header(bytes),
            successor,
        }
    }

    const fn sequence(bytes: Range<usize>, next: u64, agreed: bool) -> Start {
        Start::Sequence {
            bytes,
            next,
            agreed,
        }
    }

    #[test]
    fn batches_that_agree_are_in_sequence_up_to_what_is_cut() {
        let answer = [batch(0, 2), batch(3, 2), batch(6, 2)].concat();
        let size = answer.len() / 3;
        assert_eq!(
            start(&answer, 9, false, 0, false),
            sequence(0..3 * size, 9, true)
        );
        assert_eq!(
            start(&answer, 12, false, 0, false),
            sequence(0..3 * size, 9, false)
        );
        assert_eq!(
            start(&answer, 9, false, 4, false),
            sequence(size..3 * size, 9, true)
        );
        let cut = &answer[..2 * size + 20];
        assert_eq!(
            start(cut, 9, true, 0, false),
            sequence(0..2 * size, 6, true)
        );
        let cut = &answer[..2 * size + 10];
        assert_eq!(
            start(cut, 9, false, 0, false),
            sequence(0..2 * size, 6, false)
        );
    }

    #[test]
    fn a_batch_behind_which_an_answer_is_cut_agrees_with_nothing() {
        let last = batch(6, 2);
        let size = last.len();
        assert_eq!(start(&last, 9, false, 6, false), sequence(0..size, 9, true));
        assert_eq!(start(&last, 9, true, 6, false), sequence(0..size, 9, false));
    }

    #[test]
    fn a_header_that_the_next_batch_or_the_end_contradicts_is_looked_at_by_itself() {
        for last_delta in [0, 1, 3, 5, 1_000, i32::MAX] {
            let wrong = batch(3, last_delta);
            let answer = [batch(0, 2), wrong.clone(), batch(6, 2)].concat();
            let size = wrong.len();
            assert_eq!(
                start(&answer, 9, false, 0, false),
                sequence(0..size, 3, true)
            );
            let alone = doubtful(0, &wrong, Some(6));
            assert_eq!(start(&answer[size..], 9, false, 3, false), alone);
        }
        let wrong = batch(3, 5);
        assert_eq!(start(&wrong, 6, false, 3, false), doubtful(0, &wrong, None));
        assert_eq!(start(&wrong, 9, false, 3, true), doubtful(0, &wrong, None));
    }

    #[test]
    fn a_batch_in_front_of_the_wanted_one_is_passed_over_whatever_it_says() {
        let good = batch(6, 2);
        let size = good.len();
        // Where it ends, by the batch behind it, decides its records.
        let reaching = batch(3, 8);
        let answer = [reaching.clone(), good.clone()].concat();
        assert_eq!(
            start(&answer, 9, false, 6, false),
            doubtful(0, &reaching, Some(6))
        );
        for passed in [batch(1_000, 2), batch(3, 0), batch(3, -1), batch(0, 2)] {
            let answer = [passed, good.clone()].concat();
            let found = start(&answer, NO_END, false, 6, false);
            assert_eq!(found, sequence(size..2 * size, 9, false));
        }
    }

    #[test]
    fn a_hole_begins_something_else() {
        let answer = [batch(0, 2), batch(6, 2)].concat();
        let size = answer.len() / 2;
        assert_eq!(
            start(&answer[size..], 9, false, 3, false),
            Start::Other { at: 0 }
        );
        assert_eq!(
            start(&answer, 9, false, 3, false),
            Start::Other { at: size }
        );
    }

    #[test]
    fn what_may_be_good_is_not_passed_over() {
        let says = |last_delta| header(&batch(3, last_delta));
        // What the header says, the number of records, the batch behind, the end; where to go on.
        for (last_delta, count, successor, end, next) in [
            (9, Some(3), Some(6), 20, 6),
            (9, Some(3), None, 20, 6),
            (9, None, Some(6), 20, 6),
            (9, None, None, 8, 8),
            (0, Some(3), Some(6), 20, 6),
            (0, None, Some(6), 20, 4),
            (2, Some(1), Some(6), 20, 6),
            (2, None, None, 20, 6),
            (2, None, Some(9), 20, 6),
        ] {
            let found = behind(&says(last_delta), count, successor, end);
            assert_eq!(found, next, "{last_delta} {count:?} {successor:?} {end}");
        }
    }
}

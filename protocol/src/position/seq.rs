//! Sequence numbers: positions written as decimal numbers (see `docs/decisions/0002-sequence-numbers.md`).
//!
//! With one partition, the number of an event is its offset plus one. With several, it is the digit `1`, then 15 digits
//! for each partition's next offset (this event's own included), partition 0 first, then 3 digits that say which
//! partition the event itself is in: twice its number, or one more for 'just after it'. So numbers grow
//! along a stream, adding one always means 'after this event', and the length gives the number of partitions.

use std::fmt;

use super::Position;

/// Digits of an offset: at a million records a second, enough for 31 years.
const OFFSET_DIGITS: usize = 15;
const OWN_DIGITS: usize = 3;
/// Partitions that fit into the digits.
pub const MAX_PARTITIONS: u32 = 499;

/// The sequence number of an event, as decimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Seq(Box<str>);

/// Reason why a `seq_start` or `seq_end` was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SeqError {
    /// The text has something but decimal digits.
    #[error("not a sequence number: only the digits 0 to 9, as in the \"seq\" of an event")]
    NotDecimal,
    /// Digits, but of no number that a gateway gives.
    #[error(
        "not a sequence number of this topic: take it whole from the \"seq\" of an event, or that plus one"
    )]
    Malformed,
    /// The number is of a topic with more partitions than this one has.
    #[error("sequence number of a topic with {found} partitions, but this topic has {expected}")]
    Partitions {
        /// Partitions that the number names.
        found: u32,
        /// Partitions of the topic.
        expected: u32,
    },
}

impl Seq {
    /// The number of the event that brought a stream to `position`, in partition `own`.
    pub fn of(position: &Position, own: u32) -> Self {
        if let [next] = position.offsets() {
            return Self(next.to_string().into());
        }
        let offsets = position.offsets();
        let mut digits = vec![b'0'; 1 + offsets.len() * OFFSET_DIGITS + OWN_DIGITS];
        digits[0] = b'1';
        let (groups, last) = digits[1..].split_at_mut(offsets.len() * OFFSET_DIGITS);
        for (group, next) in groups.chunks_exact_mut(OFFSET_DIGITS).zip(offsets) {
            write_digits(group, *next);
        }
        write_digits(last, u64::from(own) * 2);
        Self(String::from_utf8(digits).unwrap_or_default().into())
    }

    /// The number that a replay may start with to get everything from `position` on.
    pub fn starting_at(position: &Position) -> Self {
        if let [next] = position.offsets() {
            return Self((next + 1).to_string().into());
        }
        // 'Just after' whatever came last in partition 0: what follows is what the position says.
        let mut digits = String::from(Self::of(position, 0).0);
        digits.truncate(digits.len() - 1);
        digits.push('1');
        Self(digits.into())
    }

    /// The most digits that a number of a topic with so many partitions has.
    pub const fn max_digits(partitions: u32) -> usize {
        match partitions {
            0 | 1 => 20,
            several => 1 + several as usize * OFFSET_DIGITS + OWN_DIGITS,
        }
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Position at which a replay with `seq_start=text` begins: the event with this number is the first one it sees.
    pub fn parse_start(text: &str, partitions: u32) -> Result<Position, SeqError> {
        let (mut position, own) = parse(text, partitions)?;
        if let Some(own) = own {
            let slot = &mut position.next[own as usize];
            *slot = slot.saturating_sub(1);
        }
        Ok(position)
    }

    /// Position at which a replay with `seq_end=text` ends: the event with this number is the last one it sees.
    pub fn parse_end(text: &str, partitions: u32) -> Result<Position, SeqError> {
        parse(text, partitions).map(|(position, _)| position)
    }
}

/// Writes a number over zeros, its last digit at the end; digits for which there is no place are left out.
fn write_digits(zeros: &mut [u8], number: u64) {
    let mut rest = number;
    for place in zeros.iter_mut().rev() {
        if rest == 0 {
            break;
        }
        *place += (rest % 10) as u8;
        rest /= 10;
    }
}

/// Number of partitions of the topic that a number comes from, derived from its length.
pub(super) fn partitions(text: &str) -> u32 {
    let digits = text.trim_start_matches('0').len();
    let groups = digits.saturating_sub(1 + OWN_DIGITS) / OFFSET_DIGITS;
    (groups as u32).clamp(1, MAX_PARTITIONS)
}

/// The position that a number names and, if it names an event and not the place just after it, the event's partition.
pub(super) fn parse(text: &str, partitions: u32) -> Result<(Position, Option<u32>), SeqError> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(SeqError::NotDecimal);
    }
    let digits = match text.trim_start_matches('0') {
        "" => "0",
        digits => digits,
    };
    let mut position = Position::start(partitions);
    if digits.len() <= OFFSET_DIGITS {
        // Also what a client kept from the time when the topic had one partition.
        position.next[0] = digits.parse().map_err(|_| SeqError::Malformed)?;
        return Ok((position, Some(0)));
    }
    let groups = digits.strip_prefix('1').ok_or(SeqError::Malformed)?;
    let (offsets, own) = groups
        .split_at_checked(groups.len() - OWN_DIGITS)
        .ok_or(SeqError::Malformed)?;
    if offsets.len() % OFFSET_DIGITS != 0 || offsets.len() < 2 * OFFSET_DIGITS {
        return Err(SeqError::Malformed);
    }
    let found = (offsets.len() / OFFSET_DIGITS) as u32;
    if found > partitions {
        return Err(SeqError::Partitions {
            found,
            expected: partitions,
        });
    }
    for (slot, group) in position.next.iter_mut().zip(0..found as usize) {
        let digits = &offsets[group * OFFSET_DIGITS..(group + 1) * OFFSET_DIGITS];
        *slot = digits.parse().map_err(|_| SeqError::Malformed)?;
    }
    let own: u32 = own.parse().map_err(|_| SeqError::Malformed)?;
    if own / 2 >= found {
        return Err(SeqError::Malformed);
    }
    Ok((position, (own.is_multiple_of(2)).then_some(own / 2)))
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// `digits + 1`, as a client computes it on a decimal string.
    fn plus_one(digits: &str) -> String {
        let mut bytes = digits.as_bytes().to_vec();
        for byte in bytes.iter_mut().rev() {
            if *byte != b'9' {
                *byte += 1;
                return String::from_utf8(bytes).unwrap();
            }
            *byte = b'0';
        }
        format!("1{}", String::from_utf8(bytes).unwrap())
    }

    /// Numbers of any length, compared by value.
    fn less(a: &Seq, b: &Seq) -> bool {
        (a.as_str().len(), a.as_str()) < (b.as_str().len(), b.as_str())
    }

    /// A history: which partition each event is in.
    fn history() -> impl Strategy<Value = (u32, Vec<u32>)> {
        (1_u32..=16).prop_flat_map(|n| (Just(n), vec(0..n, 1..60)))
    }

    fn numbers(partitions: u32, history: &[u32]) -> Vec<Seq> {
        let mut position = Position::start(partitions);
        let number = |own: &u32| {
            position.advance(*own, position.next(*own) + 1);
            Seq::of(&position, *own)
        };
        history.iter().map(number).collect()
    }

    /// Events of the history that a stream which starts at `position` still sees.
    fn rest(history: &[u32], position: &Position) -> Vec<usize> {
        let mut offsets = vec![0; position.partitions() as usize];
        let mut seen = vec![];
        for (event, own) in history.iter().enumerate() {
            if offsets[*own as usize] >= position.next(*own) {
                seen.push(event);
            }
            offsets[*own as usize] += 1;
        }
        seen
    }

    proptest! {
        #[test]
        fn seqs_increase_and_resume_exactly_after_their_event((partitions, history) in history()) {
            let numbers = numbers(partitions, &history);
            for pair in numbers.windows(2) {
                prop_assert!(less(&pair[0], &pair[1]), "{} then {}", pair[0], pair[1]);
            }
            for (event, seq) in numbers.iter().enumerate() {
                let from = Seq::parse_start(seq.as_str(), partitions).unwrap();
                prop_assert_eq!(rest(&history, &from), (event..history.len()).collect::<Vec<_>>());
                let after = Seq::parse_start(&plus_one(seq.as_str()), partitions).unwrap();
                prop_assert_eq!(rest(&history, &after), (event + 1..history.len()).collect::<Vec<_>>());
                let end = Seq::parse_end(seq.as_str(), partitions).unwrap();
                prop_assert_eq!(rest(&history, &end), (event + 1..history.len()).collect::<Vec<_>>());
            }
        }

        #[test]
        fn partitions_added_later_are_read_from_their_start((partitions, history) in history(), more in 1_u32..4) {
            let numbers = numbers(partitions, &history);
            let last = numbers.last().unwrap();
            let after = Seq::parse_start(&plus_one(last.as_str()), partitions + more).unwrap();
            for added in partitions..partitions + more {
                prop_assert_eq!(after.next(added), 0);
            }
            prop_assert!(rest(&history, &after).is_empty());
            let mut grown = after;
            grown.advance(partitions, 1);
            prop_assert!(less(last, &Seq::of(&grown, partitions)));
        }

        #[test]
        fn arbitrary_text_is_parsed_without_a_panic(text in "[0-9a-z |]{0,70}", partitions in 1_u32..5) {
            let _ = Seq::parse_start(&text, partitions);
            let _ = Seq::parse_end(&text, partitions);
        }
    }

    #[test]
    fn the_first_event_of_one_partition_has_seq_1() {
        let mut position = Position::start(1);
        position.advance(0, 1);
        assert_eq!(Seq::of(&position, 0).as_str(), "1");
        assert_eq!(Seq::parse_start("1", 1).unwrap(), Position::start(1));
        assert_eq!(Seq::parse_start("0", 1).unwrap(), Position::start(1));
        assert_eq!(Seq::starting_at(&Position::start(1)).as_str(), "1");
    }

    #[test]
    fn malformed_and_foreign_seqs_are_rejected_with_the_reason() {
        assert_eq!(Seq::parse_start("-1", 1), Err(SeqError::NotDecimal));
        assert_eq!(
            Seq::parse_start("99999999999999999999", 1),
            Err(SeqError::Malformed)
        );
        let of_two = Seq::of(&Position::start(2), 1);
        assert_eq!(
            Seq::parse_start(of_two.as_str(), 1),
            Err(SeqError::Partitions {
                found: 2,
                expected: 1
            })
        );
    }
}

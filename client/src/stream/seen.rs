//! The events that a stream has seen, and where it resumes.

use datastream_protocol::position::{EventIdentity, Position, Seq, after};

/// The place of a stream: where the next connection starts, and what it has seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The number to start with; `None` while it is not known.
    seq_start: Option<String>,
    /// Everything before has been seen. `None` while nothing has, and where numbers are not given by datastream.
    position: Option<Position>,
}

impl Seen {
    /// A stream that starts with this number.
    pub(super) fn starting(seq_start: Option<&str>) -> Self {
        Self {
            seq_start: seq_start.map(str::to_owned),
            position: None,
        }
    }

    /// The number that the next connection starts with.
    pub(super) fn seq_start(&self) -> Option<&str> {
        self.seq_start.as_deref()
    }

    /// Notes that the event with this number has come. Returns whether it is new.
    pub(super) fn add(&mut self, seq: &str) -> bool {
        // Numbers of other servers say nothing; theirs do not come twice when a stream resumes behind them.
        if let Ok((identity, position)) = EventIdentity::of_seq(seq) {
            if self
                .position
                .as_ref()
                .is_some_and(|p| identity.is_before(p))
            {
                return false;
            }
            self.merge(&position);
        }
        self.seq_start = after(seq);
        true
    }

    /// Notes that a marker says that this number is next.
    pub(super) fn mark(&mut self, seq_start: &str) {
        if let Ok(position) = Seq::start_of(seq_start) {
            self.merge(&position);
        }
        self.seq_start = Some(seq_start.to_owned());
    }

    fn merge(&mut self, position: &Position) {
        match &mut self.position {
            // Partitions may have been added.
            Some(seen) => *seen = seen.union(position),
            None => self.position = Some(position.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seq(next: [u64; 2], own: u32) -> String {
        Seq::of(&Position::new(next), own).as_str().to_owned()
    }

    #[test]
    fn an_event_is_new_once_under_whichever_number_it_comes() {
        let mut seen = Seen::default();
        assert!(seen.add(&seq([4, 0], 0)));
        assert!(seen.add(&seq([4, 1], 1)));
        // Another gateway has merged the partitions in another order.
        for again in [seq([3, 1], 1), seq([4, 1], 0), seq([2, 0], 0)] {
            let before = seen.seq_start().map(str::to_owned);
            assert!(!seen.add(&again), "{again}");
            assert_eq!(seen.seq_start(), before.as_deref());
        }
        assert!(seen.add(&seq([5, 1], 0)));
    }

    #[test]
    fn a_stream_resumes_after_the_last_event_or_at_the_marker() {
        let mut seen = Seen::starting(Some("3"));
        assert_eq!(seen.seq_start(), Some("3"));
        seen.mark("7");
        assert_eq!(seen.seq_start(), Some("7"));
        assert!(!seen.add("6"));
        assert!(seen.add("7"));
        assert_eq!(seen.seq_start(), Some("8"));
    }

    #[test]
    fn numbers_of_other_servers_are_counted_on() {
        let mut seen = Seen::default();
        let other = "99999999999999999999999999999999999999999999";
        assert!(seen.add(other));
        assert_eq!(seen.seq_start(), after(other).as_deref());
    }
}

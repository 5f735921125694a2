//! Sequence numbers as a client reads them in `docs/decisions/0002`. Implemented separately from the gateway, so that
//! the checker does not believe what it checks.

const OFFSET_DIGITS: usize = 15;
const OWN_DIGITS: usize = 3;

/// A sequence number taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seq {
    /// The next offset of every partition, this event's included.
    pub next: Box<[u64]>,
    /// The event's own partition.
    pub own: usize,
    /// Points just after the event, not to the event itself.
    pub after: bool,
}

impl Seq {
    /// Reads the digits; absent if they are no number of a topic with this many partitions.
    pub(crate) fn parse(digits: &str, partitions: usize) -> Option<Self> {
        if partitions == 1 {
            let next = digits.parse().ok()?;
            return Some(Self {
                next: [next].into(),
                own: 0,
                after: false,
            });
        }
        let groups = digits.strip_prefix('1')?;
        if groups.len() != partitions * OFFSET_DIGITS + OWN_DIGITS {
            return None;
        }
        let number = |from: usize, len: usize| groups.get(from..from + len)?.parse::<u64>().ok();
        let next = (0..partitions).map(|p| number(p * OFFSET_DIGITS, OFFSET_DIGITS));
        let own = number(partitions * OFFSET_DIGITS, OWN_DIGITS)? as usize;
        Some(Self {
            next: next.collect::<Option<_>>()?,
            own: own / 2,
            after: own % 2 == 1,
        })
        .filter(|seq| seq.own < partitions)
    }

    /// The digits.
    pub(crate) fn digits(&self) -> String {
        if let [next] = *self.next {
            return (next + u64::from(self.after)).to_string();
        }
        let groups = self.next.iter().map(|n| format!("{n:0OFFSET_DIGITS$}"));
        let own = self.own * 2 + usize::from(self.after);
        format!("1{}{own:0OWN_DIGITS$}", groups.collect::<String>())
    }

    /// The digits plus one: where a stream resumes that saw this last.
    pub(crate) fn plus_one(&self) -> String {
        let after = Self {
            after: true,
            ..self.clone()
        };
        after.digits()
    }

    /// The offset of the event in its own partition.
    pub(crate) fn offset(&self) -> u64 {
        self.next[self.own].saturating_sub(1)
    }

    /// The first offset of every partition that a stream with this as `seq_start` sees.
    pub(crate) fn start(&self) -> Vec<u64> {
        let mut start = self.next.to_vec();
        if !self.after {
            start[self.own] = self.offset();
        }
        start
    }

    /// Sort key in the order of the numbers.
    pub(crate) fn key(&self) -> (&[u64], usize) {
        (&self.next, self.own)
    }
}

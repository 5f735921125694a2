//! The time that the connections of a stream may be silent.

use std::time::Duration;

use tokio::time::Instant;

/// The longest interval of heartbeats that a subscription may ask for.
const LONGEST_INTERVAL: Duration = Duration::from_mins(5);
/// Silence that is endured before the interval of the heartbeats is known.
const FIRST_LIMIT: Duration = LONGEST_INTERVAL.saturating_add(Duration::from_secs(10));
/// Silence that is always endured.
const SHORTEST_LIMIT: Duration = Duration::from_secs(20);
/// Heartbeats that may be missing.
const INTERVALS: u32 = 3;
/// Silence that is never endured, unless it was asked for.
const LONGEST_LIMIT: Duration = LONGEST_INTERVAL.saturating_mul(INTERVALS);

/// Gaps shorter than this tell nothing: no subscription may ask for an interval of less than 5 s.
const SHORTEST_GAP: Duration = Duration::from_secs(4);
/// Gaps longer than this tell nothing: no interval is as long, but a process that is stopped reads late what came in time.
const LONGEST_GAP: Duration = FIRST_LIMIT;
/// Number of gaps that have to be about as long as the longest before it counts as the interval.
const ALIKE: u32 = 2;
/// Number of gaps in a row that have to be shorter than the longest before it counts as the interval: it may be too long, which
/// hangs up on no gateway that is well.
const SHORTER: u32 = 4;

/// Silence after which the connections of a stream count as dead: three intervals of heartbeats. The interval is the longest gap
/// between two heartbeats on any connection, once another one was about as long or four in a row were shorter: a heartbeat that
/// comes out of turn makes shorter ones, and one that is late a longer one. What has been measured goes from one connection to the next by [`Connection::silence`](crate::Connection::silence).
#[derive(Clone, Copy, Debug, Default)]
pub struct SilenceLimit {
    fixed: Option<Duration>,
    longest: Duration,
    /// Number of gaps that were about as long as the longest.
    alike: u32,
    /// Number of gaps since the longest.
    shorter: u32,
    /// Arrival of the last heartbeat, where it is known.
    previous: Option<Instant>,
}

impl SilenceLimit {
    /// Starts with what is endured before any heartbeat. With `fixed`, it stays at that.
    pub const fn new(fixed: Option<Duration>) -> Self {
        Self {
            fixed,
            longest: Duration::ZERO,
            alike: 0,
            shorter: 0,
            previous: None,
        }
    }

    /// The silence that is endured now.
    pub(crate) fn limit(&self) -> Duration {
        if let Some(fixed) = self.fixed {
            return fixed;
        }
        if !self.is_known() {
            return FIRST_LIMIT;
        }
        let limit = self.longest.saturating_mul(INTERVALS);
        limit.clamp(SHORTEST_LIMIT, LONGEST_LIMIT)
    }

    /// Notes a heartbeat that came at this time; `None` if it had come some time before it was read. Only between two known times
    /// there is a gap.
    pub(crate) fn heartbeat(&mut self, arrived: Option<Instant>) {
        if let (Some(arrived), Some(previous)) = (arrived, self.previous) {
            let gap = arrived - previous;
            if (SHORTEST_GAP..=LONGEST_GAP).contains(&gap) {
                self.measured(gap);
            }
        }
        self.previous = arrived;
    }

    fn measured(&mut self, gap: Duration) {
        let (shorter, longer) = (self.longest.min(gap), self.longest.max(gap));
        self.longest = longer;
        if self.is_known() {
            return;
        }
        self.shorter = if gap == longer { 0 } else { self.shorter + 1 };
        if 4 * shorter >= 3 * longer {
            self.alike += 1;
        } else if gap == longer {
            self.alike = 1;
        }
    }

    const fn is_known(&self) -> bool {
        self.alike >= ALIKE || self.shorter >= SHORTER
    }

    /// Notes a new connection: what comes next is no gap.
    pub(crate) const fn restart(&mut self) {
        self.previous = None;
    }

    /// Notes that a connection was given up for its silence. The next one starts anew: if the interval was taken for too short, it
    /// would be given up as well, before a heartbeat can show that.
    pub(crate) const fn gave_up(&mut self) {
        *self = Self::new(self.fixed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// The limit after heartbeats that came at these seconds.
    fn limit_after(limit: &mut SilenceLimit, arrivals: &[Option<u64>]) -> Duration {
        let start = Instant::now();
        for arrived in arrivals {
            limit.heartbeat(arrived.map(|arrived| start + seconds(arrived)));
        }
        limit.limit()
    }

    #[test]
    fn silence_is_endured_for_three_intervals_of_heartbeats() {
        let mut limit = SilenceLimit::default();
        assert_eq!(limit_after(&mut limit, &[Some(0), Some(30)]), seconds(310));
        limit.restart();
        assert_eq!(limit_after(&mut limit, &[Some(0), Some(30)]), seconds(90));
    }

    #[test]
    fn the_shortest_intervals_are_known_after_three_heartbeats() {
        let mut limit = SilenceLimit::default();
        let shortest = [Some(0), Some(5), Some(10)];
        assert_eq!(limit_after(&mut limit, &shortest), seconds(20));
    }

    #[test]
    fn heartbeats_out_of_turn_on_a_fresh_stream_make_no_short_interval() {
        for fresh in [
            &[0, 1][..],
            &[0, 1, 30],
            &[29, 30],
            &[0, 1, 2, 3, 4],
            &[0, 5, 12, 30],
            &[0, 10, 30],
        ] {
            let mut limit = SilenceLimit::default();
            let fresh: Vec<_> = fresh.iter().copied().map(Some).collect();
            assert_eq!(limit_after(&mut limit, &fresh), seconds(310), "{fresh:?}");
            limit.restart();
            let in_turn = [Some(0), Some(30), Some(60)];
            assert_eq!(limit_after(&mut limit, &in_turn), seconds(90), "{fresh:?}");
        }
    }

    #[test]
    fn the_longest_interval_counts_also_after_a_heartbeat_out_of_turn_and_a_reconnect() {
        let mut limit = SilenceLimit::default();
        let out_of_turn = [Some(0), Some(30), Some(31), Some(60)];
        assert_eq!(limit_after(&mut limit, &out_of_turn), seconds(90));
        limit.restart();
        assert_eq!(limit_after(&mut limit, &[Some(0), Some(5)]), seconds(90));
    }

    #[test]
    fn a_connection_that_was_given_up_makes_the_next_one_start_anew() {
        let mut limit = SilenceLimit::default();
        let misleading = [Some(0), Some(5), Some(10)];
        assert_eq!(limit_after(&mut limit, &misleading), seconds(20));
        limit.gave_up();
        assert_eq!(limit.limit(), seconds(310));
        let mut fixed = SilenceLimit::new(Some(seconds(7)));
        fixed.gave_up();
        assert_eq!(fixed.limit(), seconds(7));
    }

    #[test]
    fn heartbeats_that_were_read_late_tell_no_interval() {
        let mut limit = SilenceLimit::default();
        let late = [None, Some(10), None, Some(20), None, Some(30)];
        assert_eq!(limit_after(&mut limit, &late), seconds(310));
        limit.restart();
        let on_time = [Some(3), Some(11), Some(19)];
        assert_eq!(limit_after(&mut limit, &on_time), seconds(24));
    }

    #[test]
    fn a_gap_that_was_too_long_counts_after_four_in_a_row_that_were_shorter() {
        for start in [&[0, 45][..], &[0, 10, 55], &[0, 5, 15, 20, 65]] {
            for n in 0..=4 {
                let last = start[start.len() - 1];
                let shorter = (1..=n).map(|n| last + 30 * n);
                let arrivals = start.iter().copied().chain(shorter).map(Some);
                let arrivals: Vec<_> = arrivals.collect();
                let expected = seconds(if n < 4 { 310 } else { 135 });
                let mut limit = SilenceLimit::default();
                let found = limit_after(&mut limit, &arrivals);
                assert_eq!(found, expected, "{arrivals:?}");
            }
        }
    }

    #[test]
    fn gaps_that_no_interval_makes_tell_nothing() {
        let mut limit = SilenceLimit::default();
        let stopped = [Some(0), Some(3600), Some(7200), Some(10_800)];
        assert_eq!(limit_after(&mut limit, &stopped), seconds(310));
        limit.restart();
        let stopped = [Some(0), Some(30), Some(60), Some(3660), Some(3690)];
        assert_eq!(limit_after(&mut limit, &stopped), seconds(90));
    }

    #[test]
    fn no_interval_is_longer_than_a_subscription_may_ask_for() {
        let mut limit = SilenceLimit::default();
        let long = [Some(0), Some(301), Some(602)];
        assert_eq!(limit_after(&mut limit, &long), seconds(900));
    }

    #[test]
    fn a_limit_that_was_asked_for_stays() {
        let mut limit = SilenceLimit::new(Some(seconds(7)));
        assert_eq!(limit.limit(), seconds(7));
        assert_eq!(limit_after(&mut limit, &[Some(0), Some(30)]), seconds(7));
    }
}

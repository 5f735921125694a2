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

/// Silence after which the connections of a stream count as dead: three of the longest interval of heartbeats that was measured on
/// any of them. What has been measured goes from one connection to the next by [`Connection::silence`](crate::Connection::silence).
#[derive(Clone, Copy, Debug, Default)]
pub struct SilenceLimit {
    fixed: Option<Duration>,
    longest: Duration,
    /// Arrival of the last heartbeat, where it is known.
    previous: Option<Instant>,
}

impl SilenceLimit {
    /// Starts with what is endured before any heartbeat. With `fixed`, it stays at that.
    pub const fn new(fixed: Option<Duration>) -> Self {
        Self {
            fixed,
            longest: Duration::ZERO,
            previous: None,
        }
    }

    /// The silence that is endured now.
    pub(crate) fn limit(&self) -> Duration {
        if let Some(fixed) = self.fixed {
            return fixed;
        }
        if self.longest.is_zero() {
            return FIRST_LIMIT;
        }
        let limit = self.longest.saturating_mul(INTERVALS);
        limit.clamp(SHORTEST_LIMIT, LONGEST_LIMIT)
    }

    /// Notes a heartbeat that came at this time; `None` if it had come some time before it was read. Only between two known times
    /// there is an interval.
    pub(crate) fn heartbeat(&mut self, arrived: Option<Instant>) {
        if let (Some(arrived), Some(previous)) = (arrived, self.previous) {
            self.longest = self.longest.max(arrived - previous);
        }
        self.previous = arrived;
    }

    /// Notes a new connection, which has an interval of its own.
    pub(crate) const fn restart(&mut self) {
        self.previous = None;
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
        assert_eq!(limit_after(&mut limit, &[Some(0)]), seconds(310));
        limit.restart();
        assert_eq!(limit_after(&mut limit, &[Some(0), Some(30)]), seconds(90));
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
    fn heartbeats_that_were_read_late_tell_no_interval() {
        let mut limit = SilenceLimit::default();
        let late = [None, Some(1), None, Some(2)];
        assert_eq!(limit_after(&mut limit, &late), seconds(310));
        limit.restart();
        assert_eq!(limit_after(&mut limit, &[Some(3)]), seconds(310));
        assert_eq!(limit_after(&mut limit, &[None, Some(3)]), seconds(310));
        limit.restart();
        assert_eq!(limit_after(&mut limit, &[Some(3), Some(8)]), seconds(20));
    }

    #[test]
    fn no_interval_is_longer_than_a_subscription_may_ask_for() {
        let mut limit = SilenceLimit::default();
        assert_eq!(limit_after(&mut limit, &[Some(0), Some(301)]), seconds(900));
    }

    #[test]
    fn a_limit_that_was_asked_for_stays() {
        let mut limit = SilenceLimit::new(Some(seconds(7)));
        assert_eq!(limit.limit(), seconds(7));
        assert_eq!(limit_after(&mut limit, &[Some(0), Some(30)]), seconds(7));
    }
}

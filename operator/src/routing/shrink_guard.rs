//! Holds back a sudden mass shrink: it is more often a mistake (a definition deleted, a wrong selector) than meant.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Fewer routes than this shrink without being asked twice.
const SMALL: usize = 20;

/// Holds a shrink to less than half of what was published within the last `period`, until `period` has passed.
#[derive(Debug)]
pub(super) struct ShrinkGuard {
    period: Duration,
    /// Times, and numbers of routes that were published then; the numbers never rise from front to back.
    peaks: VecDeque<(Instant, usize)>,
    since: Option<Instant>,
}

impl ShrinkGuard {
    /// Holds for this long; zero never holds.
    pub(super) fn new(period: Duration) -> Self {
        Self {
            period,
            peaks: VecDeque::new(),
            since: None,
        }
    }

    /// Time until which removals must wait, if they must: `published` routes are to become `wanted`.
    pub(super) fn until(
        &mut self,
        published: usize,
        wanted: usize,
        now: Instant,
    ) -> Option<Instant> {
        while self.peaks.back().is_some_and(|p| p.1 <= published) {
            self.peaks.pop_back();
        }
        self.peaks.push_back((now, published));
        while self.peaks.front().is_some_and(|p| p.0 + self.period < now) {
            self.peaks.pop_front();
        }
        let peak = self.peaks.front().map_or(published, |p| p.1);
        if peak < SMALL || wanted * 2 >= peak {
            self.since = None;
            return None;
        }
        let until = *self.since.get_or_insert(now) + self.period;
        (now < until).then_some(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_mins(1);

    #[test]
    fn a_mass_shrink_is_delayed_and_then_applied() {
        let mut hold = ShrinkGuard::new(PERIOD);
        let start = Instant::now();
        assert_eq!(
            hold.until(100, 60, start),
            None,
            "more than half: goes through"
        );
        let mut hold = ShrinkGuard::new(PERIOD);
        let until = start + PERIOD;
        assert_eq!(hold.until(100, 10, start), Some(until));
        assert_eq!(
            hold.until(100, 5, start + PERIOD / 2),
            Some(until),
            "no longer for more of it"
        );
        assert_eq!(hold.until(100, 5, until), None);
        assert_eq!(
            hold.until(5, 0, until),
            None,
            "what was decided is not asked again"
        );
    }

    #[test]
    fn a_gradual_mass_shrink_is_delayed_too() {
        let mut hold = ShrinkGuard::new(PERIOD);
        let mut now = Instant::now();
        let mut published = 100;
        while published > 0 {
            now += Duration::from_millis(50);
            if hold.until(published, published - 5, now).is_some() {
                break;
            }
            published -= 5;
        }
        assert_eq!(published, 50);
    }

    #[test]
    fn a_small_shrink_and_returning_routes_are_not_delayed() {
        let now = Instant::now();
        assert_eq!(ShrinkGuard::new(PERIOD).until(19, 0, now), None);
        assert_eq!(ShrinkGuard::new(Duration::ZERO).until(100, 0, now), None);
        let mut hold = ShrinkGuard::new(PERIOD);
        assert!(hold.until(100, 0, now).is_some());
        assert_eq!(hold.until(100, 100, now + PERIOD / 4), None);
        assert_eq!(
            hold.until(100, 0, now + PERIOD / 2),
            Some(now + PERIOD / 2 + PERIOD)
        );
    }
}

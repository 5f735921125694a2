//! A bounded number of log lines in a time, however much there is to log.

use std::time::{Duration, Instant};

/// Lets some lines through in each period and counts the rest.
#[derive(Debug)]
pub struct LogLimit {
    lines: u32,
    every: Duration,
    /// Start of the current period, and the lines that it had.
    period: Option<(Instant, u32)>,
    held_back: u64,
}

/// One line a second.
impl Default for LogLimit {
    fn default() -> Self {
        Self::new(1, Duration::from_secs(1))
    }
}

impl LogLimit {
    /// Lets `lines` through in each period.
    pub const fn new(lines: u32, every: Duration) -> Self {
        Self {
            lines,
            every,
            period: None,
            held_back: 0,
        }
    }

    /// Returns whether to log now and, if so, how many lines were held back since the last one.
    pub fn admit(&mut self, now: Instant) -> Option<u64> {
        let began = self
            .period
            .filter(|(since, _)| now.duration_since(*since) < self.every);
        let (since, lines) = began.unwrap_or((now, 0));
        if lines >= self.lines {
            self.held_back += 1;
            return None;
        }
        self.period = Some((since, lines + 1));
        Some(std::mem::take(&mut self.held_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_second_reports_the_suppressed_lines() {
        let mut limit = LogLimit::default();
        let start = Instant::now();
        assert_eq!(limit.admit(start), Some(0));
        assert_eq!(limit.admit(start + Duration::from_millis(1)), None);
        assert_eq!(limit.admit(start + Duration::from_millis(999)), None);
        assert_eq!(limit.admit(start + Duration::from_secs(1)), Some(2));
    }

    #[test]
    fn the_configured_lines_a_period_are_logged_and_no_more() {
        let mut limit = LogLimit::new(3, Duration::from_mins(1));
        let start = Instant::now();
        let admitted = (0..100).filter_map(|ms| limit.admit(start + Duration::from_millis(ms)));
        assert_eq!(admitted.count(), 3);
        assert_eq!(limit.admit(start + Duration::from_mins(1)), Some(97));
    }
}

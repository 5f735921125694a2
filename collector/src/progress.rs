//! Progress on a terminal: one live line per stream. Elsewhere, a log line now and then.

use std::sync::Arc;
use std::time::Duration;

use datastream_service::live_lines::live_lines;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use tokio::time::{Instant, interval};

use super::metrics::{Detail, Status};

/// Interval at which the live lines change.
const LIVE: Duration = Duration::from_millis(500);
/// Interval at which a line is logged.
const LOG: Duration = Duration::from_mins(1);

/// Shows what the streams do, until dropped.
pub(super) async fn show(streams: &[Arc<Status>]) {
    let lines = live_lines();
    if lines.is_hidden() {
        log(streams).await;
        return;
    }
    let width = streams.iter().map(|s| s.name.len()).max().unwrap_or(0);
    let line = |status: Arc<Status>| Line {
        bar: lines.add(ProgressBar::new_spinner().with_style(plain())),
        rate: Rate::new(status.stored.get(), Instant::now()),
        status,
    };
    let mut shown: Vec<_> = streams.iter().cloned().map(line).collect();
    let mut ticks = interval(LIVE);
    loop {
        ticks.tick().await;
        for line in &mut shown {
            line.renew(width);
        }
    }
}

/// A line that is cut to the width of the terminal.
fn plain() -> ProgressStyle {
    ProgressStyle::with_template("{wide_msg}").unwrap_or_else(|_| ProgressStyle::default_spinner())
}

struct Line {
    status: Arc<Status>,
    bar: ProgressBar,
    rate: Rate,
}

impl Line {
    fn renew(&mut self, width: usize) {
        let status = &self.status;
        let rate = self.rate.at(status.stored.get(), Instant::now());
        let detail = status.detail();
        let connected = status.connected.get() == 1;
        let text = text(
            connected,
            status.stored.get(),
            rate,
            &detail,
            Timestamp::now(),
        );
        self.bar
            .set_message(format!("{:<width$}  {text}", status.name));
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn text(connected: bool, stored: u64, rate: f64, detail: &Detail, now: Timestamp) -> String {
    let state = match (&detail.error, connected) {
        (Some(error), _) => return format!("{stored} stored  {error}"),
        (None, true) => "connected ",
        (None, false) => "connecting",
    };
    let last = match (&detail.last_seq, detail.last_stored) {
        (Some(seq), Some(at)) => {
            let seconds = now.duration_since(at).as_secs().max(0);
            format!("last #{seq}, {seconds} s ago")
        }
        _ => String::new(),
    };
    format!("{state}  {stored} stored  {rate:.0}/s  {last}")
}

/// Events a second, smoothed.
struct Rate {
    count: u64,
    at: Instant,
    smooth: f64,
}

impl Rate {
    const fn new(count: u64, at: Instant) -> Self {
        let smooth = 0.0;
        Self { count, at, smooth }
    }

    fn at(&mut self, count: u64, now: Instant) -> f64 {
        let seconds = (now - self.at).as_secs_f64();
        if seconds > 0.0 {
            let rate = (count - self.count) as f64 / seconds;
            self.smooth += (rate - self.smooth) / 3.0;
            self.count = count;
            self.at = now;
        }
        self.smooth
    }
}

async fn log(streams: &[Arc<Status>]) {
    let mut ticks = interval(LOG);
    let mut before: Vec<_> = streams.iter().map(|s| s.stored.get()).collect();
    ticks.tick().await;
    loop {
        ticks.tick().await;
        for (status, before) in streams.iter().zip(&mut before) {
            let stored = status.stored.get();
            if stored > *before {
                let last_seq = status.detail().last_seq.unwrap_or_default();
                let stream = status.name.as_str();
                tracing::info!(stream, stored, more = stored - *before, last_seq, "stored");
            }
            *before = stored;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_progress_line_shows_the_rate_or_the_error() {
        let now = Timestamp::UNIX_EPOCH;
        let mut detail = Detail::default();
        assert_eq!(
            text(false, 0, 0.0, &detail, now),
            "connecting  0 stored  0/s  "
        );
        detail.last_seq = Some("12".into());
        detail.last_stored = Some(now);
        let later = now + jiff::SignedDuration::from_secs(2);
        assert_eq!(
            text(true, 7, 2.6, &detail, later),
            "connected   7 stored  3/s  last #12, 2 s ago"
        );
        detail.error = Some("401 Unauthorized".to_owned());
        assert_eq!(
            text(false, 7, 0.0, &detail, now),
            "7 stored  401 Unauthorized"
        );
    }

    #[test]
    fn the_displayed_rate_is_smoothed() {
        let start = Instant::now();
        let mut rate = Rate::new(0, start);
        let mut shown = 0.0;
        for second in 1..=20 {
            shown = rate.at(second * 10, start + Duration::from_secs(second));
        }
        assert!((9.0..=10.0).contains(&shown), "{shown}");
        assert!((shown - rate.at(200, start + Duration::from_secs(20))).abs() < 0.001);
    }
}

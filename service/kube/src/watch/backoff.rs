//! Pauses between attempts to list or watch.

use std::time::Duration;

use datastream_service::backoff::{Backoff, jittered};
use kube::runtime::watcher;
use tokio::time::Instant;

/// Pauses between attempts: from 0.2 s, doubled each time, and shortened at random by up to a half, so that many watchers do not
/// ask in step.
///
/// An API server that cannot be reached is tried at least every 5 s, which costs it nothing and ends an outage soon. One that
/// answers with an error has done work for it, such as a list of everything: it is asked again after up to 30 s, or half the
/// pulse of objects that have one, because what is known of them expires.
///
/// That a watch is too old to resume is no failure: it is what an API server says after an outage, and lists at once. Twice in a
/// row, it is one.
///
/// No single success resets it, because a list that succeeds may be followed by a watch that fails each time: only a minute
/// without errors does.
#[derive(Debug)]
pub(super) struct WatchBackoff {
    errors: Backoff,
    /// The end of the last pause.
    resumed: Option<Instant>,
    /// The longest pause after an error that the API server answered with.
    last_answered: Duration,
    /// The last error was that the watch is too old.
    is_too_old: bool,
}

const FIRST: Duration = Duration::from_millis(200);
const LAST_UNREACHABLE: Duration = Duration::from_secs(5);
/// The longest pause after an error that the API server answered with.
pub(super) const LAST_ANSWERED: Duration = Duration::from_secs(30);
/// The status code of what the API server no longer has.
const GONE: u16 = 410;
const STEADY: Duration = Duration::from_mins(1);

impl WatchBackoff {
    /// The pauses of a watch of objects that have this pulse, if any.
    pub(super) fn new(pulse: Option<Duration>) -> Self {
        Self {
            errors: Backoff::new(FIRST, LAST_ANSWERED),
            resumed: None,
            last_answered: pulse.map_or(LAST_ANSWERED, |pulse| (pulse / 2).min(LAST_ANSWERED)),
            is_too_old: false,
        }
    }

    /// The pause after this error.
    pub(super) fn after(&mut self, error: &watcher::Error, now: Instant) -> Duration {
        if self.resumed.is_some_and(|resumed| resumed + STEADY <= now) {
            self.errors.reset();
        }
        let was_too_old = std::mem::replace(&mut self.is_too_old, is_too_old(error));
        let pause = if self.is_too_old && !was_too_old {
            jittered(FIRST)
        } else if was_answered(error) {
            self.errors.next_delay_within(self.last_answered)
        } else {
            self.errors.next_delay_within(LAST_UNREACHABLE)
        };
        self.resumed = Some(now + pause);
        pause
    }
}

/// Returns whether the API server no longer has what has happened since the watch ended.
fn is_too_old(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::WatchError(status)
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status.code == GONE,
        _ => false,
    }
}

/// Returns whether the API server answered, though not with what was asked for.
fn was_answered(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => !matches!(
            error,
            kube::Error::HyperError(_) | kube::Error::Service(_) | kube::Error::ReadEvents(_)
        ),
        watcher::Error::WatchError(_) | watcher::Error::NoResourceVersion => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::PULSE;

    fn unreachable() -> watcher::Error {
        watcher::Error::WatchStartFailed(kube::Error::Service("connection refused".into()))
    }

    fn too_old() -> watcher::Error {
        let status = kube::core::Status::failure("too old resource version", "Expired");
        watcher::Error::WatchError(Box::new(status.with_code(410)))
    }

    fn pauses(error: &watcher::Error, count: usize) -> Vec<Duration> {
        let mut backoff = WatchBackoff::new(None);
        let mut now = Instant::now();
        let pause = |_| {
            let pause = backoff.after(error, now);
            now += pause;
            pause
        };
        (0..count).map(pause).collect()
    }

    #[test]
    fn an_unreachable_api_server_is_retried_at_least_every_five_seconds() {
        let pauses = pauses(&unreachable(), 20);
        assert!(pauses[0] <= FIRST, "{pauses:?}");
        assert!(pauses[19] >= LAST_UNREACHABLE / 2, "{pauses:?}");
        assert!(pauses.iter().all(|p| *p <= LAST_UNREACHABLE), "{pauses:?}");
    }

    #[test]
    fn an_api_server_that_returns_errors_is_retried_at_most_every_thirty_seconds() {
        let pauses = pauses(&watcher::Error::NoResourceVersion, 20);
        assert!(pauses[19] >= LAST_ANSWERED / 2, "{pauses:?}");
        assert!(pauses.iter().all(|p| *p <= LAST_ANSWERED), "{pauses:?}");
    }

    #[test]
    fn expiring_objects_are_listed_before_they_expire() {
        let mut backoff = WatchBackoff::new(Some(PULSE));
        for _ in 0..100 {
            let pause = backoff.after(&watcher::Error::NoResourceVersion, Instant::now());
            assert!(pause <= PULSE / 2, "{pause:?}");
        }
    }

    #[test]
    fn an_expired_watch_lists_at_once_and_backs_off_when_repeated() {
        let mut backoff = WatchBackoff::new(None);
        let mut now = Instant::now();
        for _ in 0..2 {
            for _ in 0..10 {
                now += backoff.after(&unreachable(), now);
            }
            assert!(backoff.after(&too_old(), now) <= FIRST);
        }
        assert!(backoff.after(&too_old(), now) > FIRST);
    }

    #[test]
    fn the_backoff_resets_after_a_minute_without_errors() {
        let mut backoff = WatchBackoff::new(None);
        let mut now = Instant::now();
        for _ in 0..10 {
            now += backoff.after(&unreachable(), now);
        }
        assert!(backoff.after(&unreachable(), now) > FIRST);
        now += LAST_UNREACHABLE + STEADY;
        assert!(backoff.after(&unreachable(), now) <= FIRST);
    }
}

//! The one timer of a stream.

use std::future::pending;
use std::pin::Pin;

use tokio::time::{Instant, Sleep, sleep_until};

/// A timer that is set to the next of whatever has a time. It is out of line, because it is large, and streams are many.
#[derive(Debug, Default)]
pub(super) struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Waits until this time, or for ever. Cancel-safe.
    pub(super) async fn at(&mut self, time: Option<Instant>) {
        let Some(time) = time else {
            return pending().await;
        };
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(time)));
        if sleep.deadline() != time {
            sleep.as_mut().reset(time);
        }
        sleep.as_mut().await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_rings_at_the_time_that_it_was_set_to_last() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut alarm = Alarm::default();
        assert!(timeout(second, alarm.at(None)).await.is_err());
        assert!(
            timeout(second, alarm.at(Some(start + 60 * second)))
                .await
                .is_err()
        );
        alarm.at(Some(start + 5 * second)).await;
        assert_eq!(start.elapsed(), 5 * second);
        // What has passed is past.
        alarm.at(Some(start)).await;
        alarm.at(Some(start + 7 * second)).await;
        assert_eq!(start.elapsed(), 7 * second);
    }
}

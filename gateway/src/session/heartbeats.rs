//! Heartbeats of one stream: when the next one is due, and how many the client left unanswered.

use std::time::Duration;

use datastream_protocol::close::CloseCause;
use datastream_routing::Heartbeat;
use tokio::time::Instant;

/// The heartbeats of a stream.
pub(super) struct Heartbeats {
    settings: Heartbeat,
    /// Time of the next tick.
    next: Instant,
    /// Ticks since the last answer.
    unanswered: u32,
    /// Bytes that the client had taken at the last tick.
    taken: u64,
    queued: u64,
    answered: u64,
}

impl Heartbeats {
    /// At the interval of these settings.
    pub(super) fn new(settings: Heartbeat) -> Self {
        Self {
            settings,
            next: next(settings),
            unanswered: 0,
            taken: 0,
            queued: 0,
            answered: 0,
        }
    }

    /// Takes over the settings. Returns whether they are others.
    pub(super) fn set(&mut self, settings: Heartbeat) -> bool {
        let are_others = settings != self.settings;
        if are_others {
            self.settings = settings;
            self.next = next(settings);
        }
        are_others
    }

    /// The time in which a client must answer one.
    pub(super) fn patience(&self) -> Duration {
        interval(self.settings) * (self.settings.missed_limit + 1)
    }

    /// The time of the next tick.
    pub(super) const fn next(&self) -> Instant {
        self.next
    }

    /// Sets the time of the tick after this one.
    pub(super) fn tick(&mut self) {
        self.next = next(self.settings);
    }

    /// Decides at a tick whether to send a heartbeat: `written` bytes have gone to the client, and so many heartbeats are on their way.
    ///
    /// # Errors
    /// The client has left too many unanswered.
    pub(super) fn is_due(&mut self, written: u64, on_their_way: u64) -> Result<bool, CloseCause> {
        // One that is still on its way cannot have been answered; but the client takes what comes before it, be it a part of one event.
        let before = std::mem::replace(&mut self.taken, written);
        if on_their_way > 0 && written > before {
            return Ok(false);
        }
        if self.unanswered >= self.settings.missed_limit {
            return Err(CloseCause::HeartbeatsMissed {
                missed: self.unanswered,
            });
        }
        self.unanswered += 1;
        Ok(true)
    }

    /// Counts a heartbeat that was queued.
    pub(super) const fn queued(&mut self) {
        self.queued += 1;
    }

    /// Counts an answer. Returns whether it is one: a client cannot answer a heartbeat that it has not been sent.
    pub(super) const fn answer(&mut self, on_their_way: u64) -> bool {
        let is_one = self.answered < self.queued - on_their_way;
        if is_one {
            self.answered += 1;
            self.unanswered = 0;
        }
        is_one
    }
}

fn interval(settings: Heartbeat) -> Duration {
    Duration::from_secs(u64::from(settings.interval_seconds.max(1)))
}

fn next(settings: Heartbeat) -> Instant {
    Instant::now() + interval(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heartbeats() -> Heartbeats {
        Heartbeats::new(Heartbeat {
            interval_seconds: 30,
            missed_limit: 2,
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_answers_nothing_is_given_up_after_the_limit() {
        let mut heartbeats = heartbeats();
        for _ in 0..2 {
            assert_eq!(heartbeats.is_due(0, 0), Ok(true));
            heartbeats.queued();
        }
        let missed = Err(CloseCause::HeartbeatsMissed { missed: 2 });
        assert_eq!(heartbeats.is_due(0, 0), missed);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_counts_only_for_a_heartbeat_that_reached_the_socket() {
        let mut heartbeats = heartbeats();
        assert!(!heartbeats.answer(0));
        assert_eq!(heartbeats.is_due(0, 0), Ok(true));
        heartbeats.queued();
        assert!(!heartbeats.answer(1));
        assert!(heartbeats.answer(0));
        assert!(!heartbeats.answer(0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_what_comes_before_a_heartbeat_is_not_given_up() {
        let mut heartbeats = heartbeats();
        assert_eq!(heartbeats.is_due(100, 0), Ok(true));
        heartbeats.queued();
        for written in 101..200 {
            assert_eq!(heartbeats.is_due(written, 1), Ok(false));
        }
        // Until it takes nothing more.
        assert_eq!(heartbeats.is_due(199, 1), Ok(true));
        assert!(heartbeats.is_due(199, 2).is_err());
    }
}

//! The loop of a stream: one connection after the other, until the end.

use std::convert::Infallible;
use std::time::Duration;

use datastream_protocol::StreamUrl;
use datastream_protocol::close::code;
use datastream_protocol::event::View;
use datastream_protocol::position::after;
use tokio::time::sleep;

use super::acknowledgement::{Acknowledge, Unanswered};
use super::error::Error;
use super::event::Event;
use super::handover::Handover;
use super::seen::Seen;
use super::update::Update;
use crate::connection::{Body, Connection, Failure, Incoming};
use crate::credentials::Credentials;
use crate::reconnect::{Next, ReconnectPolicy};
use crate::silence::SilenceLimit;
use crate::unreadable::Unreadable;

/// Parameters beside `seq_start` that say where a stream starts.
const OTHER_STARTS: [&str; 2] = ["time_start", "ack"];
/// Parameters that make a server end a stream normally.
const ENDS: [&str; 2] = ["seq_end", "wait"];

/// A stream that is followed.
pub(super) struct Follow {
    /// The URL of the next connection.
    pub url: StreamUrl,
    pub credentials: Credentials,
    pub silence: SilenceLimit,
    pub retries: Option<u32>,
    pub acknowledge: Acknowledge,
    pub skips_unreadable: bool,
    pub handover: Handover,
    pub seen: Seen,
    /// Events so far.
    pub ordinal: u64,
}

/// The reason for which a connection ended.
enum End {
    Closing,
    Failed(Failure),
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Follow {
    /// Follows the stream until its end, or until it is closed.
    pub(super) async fn run(mut self) -> Result<(), Error> {
        let mut policy = ReconnectPolicy::new();
        let mut unreadable = Unreadable::default();
        let mut failures = 0_u32;
        loop {
            let mut arrived = false;
            let Err(end) = self.connection(&mut policy, &mut arrived).await;
            let End::Failed(failure) = end else {
                return Ok(());
            };
            if self.is_done(&failure) {
                return Ok(());
            }
            failures = if arrived {
                1
            } else {
                failures.saturating_add(1)
            };
            let (Next::Retry(delay) | Next::Complain(delay)) = match &failure {
                Failure::Refused(refusal) if !refusal.passes() => {
                    return Err(refusal.clone().into());
                }
                Failure::BadUrl(reason) => return Err(Error::Invalid(reason.clone())),
                Failure::Unreadable(reason) => {
                    let place = self.seen.seq_start().map(str::to_owned);
                    if unreadable.again(place) {
                        return Err(Error::Unreadable(self.behind(reason)));
                    }
                    policy.after_loss()
                }
                failure => policy.after(failure, arrived),
            };
            if self.retries.is_some_and(|retries| failures > retries) {
                return Err(Error::GivenUp {
                    attempts: failures,
                    last: failure,
                });
            }
            let reconnecting = Update::Reconnecting { failure, delay };
            let paused = self.pause(reconnecting, delay).await;
            if matches!(paused, Err(End::Closing)) {
                return Ok(());
            }
        }
    }

    /// Returns whether the server has ended the stream where it was asked to.
    fn is_done(&self, failure: &Failure) -> bool {
        let is_normal = matches!(failure, Failure::Closed { code, .. } if *code == code::NORMAL);
        is_normal && ENDS.iter().any(|end| self.url.get(end).is_some())
    }

    /// Says what cannot be received, and where it stands.
    fn behind(&self, reason: &str) -> String {
        let what = match self.seen.seq_start() {
            Some(seq_start) => format!("what follows seq_start {seq_start}"),
            None => "the first event".to_owned(),
        };
        format!("cannot receive {what}, and it came again: {reason}")
    }

    async fn pause(&self, reconnecting: Update, delay: Duration) -> Result<(), End> {
        self.give(reconnecting).await?;
        tokio::select! {
            biased;
            () = self.handover.closing() => Err(End::Closing),
            () = sleep(delay) => Ok(()),
        }
    }

    /// Hands over an update. Returns when it has been handled.
    async fn give(&self, update: Update) -> Result<(), End> {
        tokio::select! {
            biased;
            () = self.handover.closing() => Err(End::Closing),
            () = self.handover.give(update) => Ok(()),
        }
    }

    /// One connection, from the handshake to its end.
    async fn connection(
        &mut self,
        policy: &mut ReconnectPolicy,
        arrived: &mut bool,
    ) -> Result<Infallible, End> {
        if let Some(seq_start) = self.seen.seq_start() {
            for start in OTHER_STARTS {
                self.url.unset(start);
            }
            self.url.set("seq_start", seq_start);
        }
        let mut connection = tokio::select! {
            biased;
            () = self.handover.closing() => return Err(End::Closing),
            opened = Connection::open(&self.url, &self.credentials, self.silence) => opened?,
        };
        let mut unanswered = Unanswered::default();
        let Err(end) = self
            .receive(&mut connection, &mut unanswered, policy, arrived)
            .await;
        self.silence = connection.silence();
        if let End::Closing | End::Failed(Failure::Unreadable(_)) = end {
            let acknowledged = self.handover.acknowledged();
            while unanswered.take_due(acknowledged) && connection.answer().await.is_ok() {}
            connection.close().await;
        }
        Err(end)
    }

    /// Takes what a connection brings, until it ends.
    async fn receive(
        &mut self,
        connection: &mut Connection,
        unanswered: &mut Unanswered,
        policy: &mut ReconnectPolicy,
        arrived: &mut bool,
    ) -> Result<Infallible, End> {
        self.give(Update::Connected).await?;
        loop {
            let incoming = tokio::select! {
                biased;
                () = self.handover.closing() => return Err(End::Closing),
                () = self.handover.acknowledgement(unanswered.oldest()) => {
                    while unanswered.take_due(self.handover.acknowledged()) {
                        connection.answer().await?;
                    }
                    continue;
                }
                incoming = connection.next() => incoming?,
            };
            if !matches!(incoming, Incoming::Junk(_)) {
                // A connection that only opens is no success, or a server that accepts and drops would be flooded.
                *arrived = true;
                policy.progress();
            }
            match incoming {
                Incoming::Json(body) => self.json(body).await?,
                Incoming::Heartbeat => {
                    match self.acknowledge {
                        // Whoever asks for what comes now has handled everything before.
                        Acknowledge::Handled => connection.answer().await?,
                        Acknowledge::Explicitly => unanswered.push(self.ordinal),
                    }
                    self.give(Update::Heartbeat).await?;
                }
                Incoming::KeepAlive => self.give(Update::Heartbeat).await?,
                Incoming::Junk(reason) => self.junk(reason).await?,
            }
        }
    }

    async fn json(&mut self, body: Body) -> Result<(), End> {
        match content(body) {
            Ok(Content::Event(event)) => self.event(event).await,
            Ok(Content::Live(seq_start)) => {
                let update = Update::Live {
                    seq_start: seq_start.clone(),
                };
                self.mark(&seq_start, update).await
            }
            Ok(Content::Gap(seq_start)) => {
                let update = Update::Gap {
                    seq_start: seq_start.clone(),
                };
                self.mark(&seq_start, update).await
            }
            Ok(Content::Other) => Ok(()),
            Err(reason) => self.junk(reason).await,
        }
    }

    async fn event(&mut self, mut event: Event) -> Result<(), End> {
        if !self.seen.add(event.seq()) {
            return Ok(());
        }
        self.ordinal += 1;
        event.ordinal = self.ordinal;
        self.give(Update::Event(event.clone())).await?;
        if self.acknowledge == Acknowledge::Handled {
            self.handover.acknowledge(&event);
        }
        Ok(())
    }

    async fn mark(&mut self, seq_start: &str, update: Update) -> Result<(), End> {
        self.seen.mark(seq_start);
        self.give(update).await?;
        if self.handover.acknowledged() == self.ordinal {
            self.handover.set_position(seq_start);
        }
        Ok(())
    }

    async fn junk(&self, reason: String) -> Result<(), End> {
        if self.skips_unreadable {
            self.give(Update::Skipped(reason)).await
        } else {
            Err(Failure::Unreadable(reason).into())
        }
    }
}

/// The content of a JSON text.
enum Content {
    Event(Event),
    Live(String),
    Gap(String),
    /// A control frame that clients need not know.
    Other,
}

fn content(body: Body) -> Result<Content, String> {
    let view = View::parse(body.as_str());
    let view = view.map_err(|error| format!("an event that is no JSON object: {error}"))?;
    let (seq, control) = (view.text("seq"), view.text("control"));
    let Some(control) = control.filter(|_| seq.is_none()) else {
        let event = Event::new(body.clone(), &view);
        return event.map(Content::Event).map_err(|error| error.to_string());
    };
    let next = view.text("seq_start").filter(|next| after(next).is_some());
    Ok(match (&*control, next) {
        ("live", Some(next)) => Content::Live(next.into_owned()),
        ("gap", Some(next)) => Content::Gap(next.into_owned()),
        _ => Content::Other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str) -> Result<Content, String> {
        content(Body::from(json))
    }

    #[test]
    fn control_frames_are_no_events() {
        let live = of(r#"{"control":"live","seq_start":"8"}"#);
        assert!(matches!(live, Ok(Content::Live(next)) if next == "8"));
        let gap = of(r#"{"control":"gap","seq_start":"8"}"#);
        assert!(matches!(gap, Ok(Content::Gap(next)) if next == "8"));
        for other in [
            r#"{"control":"new"}"#,
            r#"{"control":"live","seq_start":"x"}"#,
        ] {
            assert!(matches!(of(other), Ok(Content::Other)), "{other}");
        }
        let event = of(r#"{"control":"x","seq":"1","x":1e400,"y":"\ud800"}"#);
        assert!(matches!(event, Ok(Content::Event(_))));
        for junk in ["[]", "{}", r#"{"seq":"x"}"#] {
            assert!(of(junk).is_err(), "{junk}");
        }
    }
}

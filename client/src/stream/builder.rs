//! Description of a stream that is to be opened.

use std::time::Duration;

use datastream_protocol::position::after;
use datastream_protocol::{StreamUrl, StreamUrlError};

use super::EventStream;
use super::acknowledgement::Acknowledge;
use super::error::Error;
use super::follow::Follow;
use super::handover::Handover;
use super::seen::Seen;
use crate::credentials::{CredentialFiles, Credentials};
use crate::silence::SilenceLimit;

/// The choice when the first of the events that are asked for have expired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnGap {
    /// The stream fails with [`Error::Gone`].
    #[default]
    Fail,
    /// The stream starts at the earliest event that is left, after a [`Gap`](crate::Update::Gap).
    Earliest,
}

/// A stream that is to be opened: [`EventStream::builder`].
///
/// ```no_run
/// use datastream_client::{EventStream, OnGap};
///
/// # fn run(position: &str) -> Result<(), datastream_client::Error> {
/// let stream = EventStream::builder("wss://streams.example.com")
///     .key("KEY")
///     .seq_start(position)
///     .on_gap(OnGap::Earliest)
///     .open()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a stream has to be opened"]
pub struct EventStreamBuilder {
    url: Result<StreamUrl, StreamUrlError>,
    has_two_keys: bool,
    credentials: Option<Credentials>,
    start: Option<(&'static str, String)>,
    seq_end: Option<String>,
    on_gap: OnGap,
    acknowledge: Acknowledge,
    retries: Option<u32>,
    silence: Option<Duration>,
    skips_unreadable: bool,
}

impl From<StreamUrl> for EventStreamBuilder {
    fn from(url: StreamUrl) -> Self {
        Self::of(Ok(url))
    }
}

impl EventStreamBuilder {
    pub(super) fn new(url: &str) -> Self {
        Self::of(StreamUrl::locate(url))
    }

    const fn of(url: Result<StreamUrl, StreamUrlError>) -> Self {
        Self {
            url,
            has_two_keys: false,
            credentials: None,
            start: None,
            seq_end: None,
            on_gap: OnGap::Fail,
            acknowledge: Acknowledge::Handled,
            retries: None,
            silence: None,
            skips_unreadable: false,
        }
    }

    /// The stream key, instead of `stream_key` in the URL, where proxies log it: it is sent as `Authorization: Bearer KEY`.
    pub fn key(mut self, key: &str) -> Self {
        if let Ok(url) = &mut self.url {
            self.has_two_keys |= url.key().is_some();
            url.set_key(key);
            url.move_key_to_header();
        }
        self
    }

    /// A token or a client certificate that opens the stream, and the authorities that are trusted. Unset: those of the web.
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// The subscription whose stream a token or a certificate is to open, `NAMESPACE/NAME`.
    pub fn subscription(mut self, subscription: &str) -> Self {
        if let Ok(url) = &mut self.url {
            url.set_subscription(subscription);
        }
        self
    }

    /// Starts with the event of this number, or the first one after it; `0` is the earliest event that is left. Unset: with the next
    /// event, or where a subscription with `resume: Committed` is.
    pub fn seq_start(mut self, seq: impl Into<String>) -> Self {
        self.start = Some(("seq_start", seq.into()));
        self
    }

    /// Starts with the first event that the broker took at this time (RFC 3339) or later.
    pub fn time_start(mut self, time: &str) -> Self {
        // A plus sign of a query is a space.
        self.start = Some(("time_start", time.replace('+', "%2B")));
        self
    }

    /// Ends the stream after the event of this number, also if it is yet to come. Counts only beside a start.
    pub fn seq_end(mut self, seq: impl Into<String>) -> Self {
        self.seq_end = Some(seq.into());
        self
    }

    /// The choice when the first of the events that are asked for have expired.
    pub const fn on_gap(mut self, on_gap: OnGap) -> Self {
        self.on_gap = on_gap;
        self
    }

    /// The time at which heartbeats are answered, which acknowledges what came before them.
    pub const fn acknowledge(mut self, acknowledge: Acknowledge) -> Self {
        self.acknowledge = acknowledge;
        self
    }

    /// Ends the stream with [`Error::GivenUp`] once it has failed more often than this in a row, without an event or a heartbeat
    /// between. Unset: what passes by itself is tried again for ever.
    pub const fn retries(mut self, retries: u32) -> Self {
        self.retries = Some(retries);
        self
    }

    /// Silence after which a connection counts as dead. Unset: three times the longest interval of the stream's heartbeats, 20 s to
    /// 900 s.
    pub const fn silence(mut self, silence: Duration) -> Self {
        self.silence = Some(silence);
        self
    }

    /// Leaves out messages that are not part of the protocol, and tells so by [`Skipped`](crate::Update::Skipped). Unset: the stream
    /// is opened again, and fails with [`Error::Unreadable`] if they come again.
    pub const fn skip_unreadable(mut self) -> Self {
        self.skips_unreadable = true;
        self
    }

    /// Makes the stream. It connects when it is asked for the first event.
    ///
    /// # Errors
    /// [`Error::Invalid`]: the URL or an option cannot be used, or they contradict each other.
    pub fn open(self) -> Result<EventStream, Error> {
        let mut url = self.url.map_err(|error| invalid(&error.to_string()))?;
        if self.has_two_keys {
            return Err(invalid(
                "there is a stream key in the URL and another one: give one",
            ));
        }
        let credentials = match self.credentials {
            Some(credentials) => credentials,
            None => Credentials::new(CredentialFiles::default()).map_err(Error::Invalid)?,
        };
        if url.key().is_none() && url.subscription().is_none() && !credentials.has_token() {
            return Err(invalid(&StreamUrlError::NoKey.to_string()));
        }
        if let Some((name, value)) = &self.start {
            url.unset("seq_start");
            url.unset("time_start");
            url.set(name, value);
        }
        if let Some(seq) = &self.seq_end {
            url.set("seq_end", seq);
        }
        check(&url)?;
        if self.on_gap == OnGap::Earliest {
            url.set("on_gap", "earliest");
        }
        // They tell of gaps, and where a stream stands that has not got any event yet.
        url.set("markers", "1");
        let handover = Handover::default();
        let seq_start = url.get("seq_start").map(str::to_owned);
        if let Some(seq_start) = &seq_start {
            handover.set_position(seq_start);
        }
        Ok(EventStream::new(Follow {
            seen: Seen::starting(seq_start.as_deref()),
            url,
            credentials,
            silence: SilenceLimit::new(self.silence),
            retries: self.retries,
            acknowledge: self.acknowledge,
            skips_unreadable: self.skips_unreadable,
            handover,
            ordinal: 0,
        }))
    }
}

fn invalid(reason: &str) -> Error {
    Error::Invalid(reason.to_owned())
}

/// Checks the parameters of a URL that would change their meaning when the stream is opened again.
fn check(url: &StreamUrl) -> Result<(), Error> {
    for name in ["seq_start", "seq_end"] {
        if url.get(name).is_some_and(|seq| after(seq).is_none()) {
            let reason = format!("{name} is a sequence number, which has the digits 0 to 9 only");
            return Err(Error::Invalid(reason));
        }
    }
    let has_start = url.get("seq_start").is_some() || url.get("time_start").is_some();
    // It would begin to count when the stream resumes.
    if url.get("seq_end").is_some() && !has_start {
        return Err(invalid(
            "an end counts only beside a start: give seq_start or time_start, too",
        ));
    }
    // The server counts anew on each connection.
    if url.get("limit").is_some() {
        return Err(invalid(
            "leave limit out of the URL, and stop asking after so many events",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "ws://h/stream?stream_key=0123456789abcdef";

    fn refused(builder: EventStreamBuilder) -> String {
        match builder.open() {
            Err(Error::Invalid(reason)) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused_before_anything_is_connected() {
        let at = |query: &str| EventStream::builder(&format!("{URL}{query}"));
        for (builder, reason) in [
            (
                EventStream::builder("localhost:8080"),
                "a stream's URL starts with",
            ),
            (EventStream::builder("ws://h"), "the URL has no stream_key"),
            (
                at("").key("k"),
                "there is a stream key in the URL and another one",
            ),
            (at("&seq_start=1e3"), "seq_start is a sequence number"),
            (
                at("").seq_start("1").seq_end("x"),
                "seq_end is a sequence number",
            ),
            (at("&seq_end=9"), "an end counts only beside a start"),
            (at("&limit=9"), "leave limit out"),
        ] {
            let found = refused(builder);
            assert!(found.starts_with(reason), "{found}");
            assert!(!found.contains("0123456789abcdef"), "{found}");
        }
    }

    #[test]
    fn the_position_is_known_from_the_start_if_it_was_given() {
        let position = |builder: EventStreamBuilder| builder.open().unwrap().position();
        assert_eq!(position(EventStream::builder(URL)), None);
        assert_eq!(
            position(EventStream::builder(URL).seq_start("007")).as_deref(),
            Some("007")
        );
        let time = EventStream::builder(&format!("{URL}&seq_start=7"));
        assert_eq!(position(time.time_start("2026-11-27T08:00:00+01:00")), None);
    }
}

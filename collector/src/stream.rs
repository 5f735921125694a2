//! Collects one stream: connects where the stores stand, stores what arrives, and only then answers heartbeats.

use std::sync::Arc;
use std::time::Duration;

use datastream_client::{
    Body, Connection, Failure, Incoming, Next, ReconnectPolicy, SilenceLimit, Unreadable,
};
use datastream_protocol::StreamUrl;
use datastream_protocol::position::{Position, Seq};
use jiff::Timestamp;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::config::{OnGap, Start, StorePlan};
use super::event::{Content, Event};
use super::metrics::Status;
use super::sink_set::{SinkSet, WentBack};
use super::source::{Source, SourceError};
use super::store::Gap;

/// A batch ends at this many events …
const BATCH_EVENTS: usize = 1000;
/// … or, with the event that comes last, at this many bytes.
const BATCH_BYTES: usize = 4 << 20;
/// Longest time between two looks at the stores when nothing is stored.
const STORE_CHECK: Duration = Duration::from_secs(15);
/// Number of times that a database session is used, at least, in the time after which it counts as one whose process is gone.
const CHECKS_UNTIL_ABANDONED: u32 = 4;
/// The status of a refusal because events have expired.
const GONE: u16 = 410;
/// Time that a store may take for what has arrived when the collector is stopped.
const GRACE: Duration = Duration::from_secs(10);

/// One stream and its stores.
pub(super) struct Collector {
    /// Its URL and its key.
    pub source: Source,
    /// The point from which it starts when nothing is stored.
    pub start: Start,
    /// The reaction when events have expired.
    pub on_gap: OnGap,
    /// Its stores; open.
    pub sinks: SinkSet,
    /// The time between two looks at the stores when nothing is stored.
    pub check_interval: Duration,
    /// Its state.
    pub status: Arc<Status>,
    /// Token that is cancelled when the collector is to stop.
    pub stop: CancellationToken,
}

/// The longest time between two looks at these stores when nothing is stored.
pub(super) fn check_interval(stores: &[StorePlan]) -> Duration {
    let wanted = stores.iter().map(|store| match store {
        StorePlan::Jsonl(_) | StorePlan::Sqlite(_) => STORE_CHECK,
        StorePlan::Postgres(plan) => plan.abandoned_after / CHECKS_UNTIL_ABANDONED,
    });
    wanted.fold(STORE_CHECK, Duration::min)
}

/// The way in which a stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was stopped.
    Stopped,
    /// Events had expired, and it was to stop then.
    Gap,
    /// A store did not take what had arrived before the stop; it will be sent again.
    NotStored,
}

/// The reason why a connection ended.
enum End {
    Stopped,
    NotStored,
    Failed(Failure),
    NoUrl(SourceError),
    /// A malformed frame arrived, which was neither stored nor acknowledged.
    Nonsense(String),
    /// A store lost what it had.
    WentBack,
}

impl From<WentBack> for End {
    fn from(_: WentBack) -> Self {
        Self::WentBack
    }
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Everything that arrived at once.
#[derive(Default)]
struct ReceivedBatch {
    events: Vec<Event>,
    bytes: usize,
    /// The next step: it came behind the events and has to wait for them.
    then: Then,
}

#[derive(Default)]
enum Then {
    #[default]
    Continue,
    Answer,
    Control(Content),
    End(End),
}

impl Collector {
    /// Collects until it is stopped, or until a gap if that ends the stream.
    pub(super) async fn run(mut self) -> Outcome {
        let mut silence = SilenceLimit::default();
        let mut reconnect = ReconnectPolicy::new();
        let mut unreadable = Unreadable::default();
        loop {
            let mut arrived = false;
            let Err(end) = self
                .connection(&mut silence, &mut reconnect, &mut arrived)
                .await;
            self.status.connected.set(0);
            let (next, reason) = match end {
                End::Stopped => return Outcome::Stopped,
                End::NotStored => return Outcome::NotStored,
                End::Failed(Failure::Unreadable(reason)) | End::Nonsense(reason) => {
                    self.note_unreadable(&mut unreadable);
                    (reconnect.after_nonsense(), self.behind(&reason))
                }
                End::Failed(failure) => {
                    if self.ends_with(&failure) {
                        self.note(&failure.to_string());
                        tracing::error!(
                            stream = self.status.name,
                            "stopped, as onGap says: {failure}"
                        );
                        self.status.update(|detail| detail.stopped = true);
                        return Outcome::Gap;
                    }
                    (reconnect.after(&failure, arrived), failure.to_string())
                }
                End::NoUrl(error) => (reconnect.after_nonsense(), error.to_string()),
                End::WentBack => {
                    let reason = "a store lost what it had".to_owned();
                    (reconnect.after_loss(), reason)
                }
            };
            let is_new = self.note(&reason);
            let stream = self.status.name.as_str();
            let delay = match next {
                Next::Retry(delay) => {
                    if arrived || is_new {
                        tracing::info!(stream, "{reason}; connecting again in {delay:.1?}");
                    }
                    delay
                }
                Next::Complain(delay) => {
                    if is_new {
                        tracing::error!(stream, "{reason}; trying again until it works");
                    }
                    delay
                }
            };
            match self.pause(delay).await {
                Ok(()) | Err(End::WentBack) => {}
                Err(_) => return Outcome::Stopped,
            }
            self.status.reconnects.inc();
        }
    }

    /// Returns whether events have expired without which the stream must not continue.
    fn ends_with(&self, failure: &Failure) -> bool {
        self.on_gap == OnGap::Stop
            && matches!(failure, Failure::Refused(refusal) if refusal.status == GONE)
    }

    /// Waits, with a look at the stores now and then.
    async fn pause(&mut self, mut delay: Duration) -> Result<(), End> {
        loop {
            let part = delay.min(self.check_interval);
            let waited = self.stop.run_until_cancelled(tokio::time::sleep(part));
            waited.await.ok_or(End::Stopped)?;
            delay -= part;
            if delay.is_zero() {
                return Ok(());
            }
            self.check_stores().await?;
        }
    }

    /// Makes sure that what was stored is where it was stored.
    async fn check_stores(&mut self) -> Result<(), End> {
        let verified = self.stop.run_until_cancelled(self.sinks.verify()).await;
        Ok(verified.ok_or(End::Stopped)??)
    }

    /// The message for a frame that cannot be read, with its position.
    fn behind(&self, reason: &str) -> String {
        match self.sinks.position() {
            Some(position) => format!(
                "cannot receive what follows seq_start {}: {reason}",
                Seq::starting_at(&position)
            ),
            None => format!("cannot receive the first event: {reason}"),
        }
    }

    fn note_unreadable(&self, unreadable: &mut Unreadable<Option<Position>>) {
        self.status.unreadable.inc();
        let stuck = unreadable.again(self.sinks.position());
        self.status.update(|detail| detail.stuck = stuck);
    }

    /// Notes the error. Returns whether it differs from the last one.
    fn note(&self, reason: &str) -> bool {
        let mut is_new = false;
        self.status.update(|detail| {
            is_new = detail.error.as_deref() != Some(reason);
            detail.error = Some(reason.to_owned());
        });
        is_new
    }

    /// One connection, from the handshake to its end.
    async fn connection(
        &mut self,
        silence: &mut SilenceLimit,
        reconnect: &mut ReconnectPolicy,
        arrived: &mut bool,
    ) -> Result<std::convert::Infallible, End> {
        let url = self.url().map_err(End::NoUrl)?;
        let credentials = self.source.credentials().map_err(End::NoUrl)?;
        let asked_for = url.get("seq_start").or(url.get("time_start"));
        let asked_for = asked_for.unwrap_or_default().to_owned();
        let stop = self.stop.clone();
        let connecting = stop.run_until_cancelled(Connection::open(&url, &credentials, *silence));
        let mut connection = connecting.await.ok_or(End::Stopped)??;
        let from = if asked_for.is_empty() {
            "latest"
        } else {
            &asked_for
        };
        tracing::info!(stream = self.status.name, from, "connected");
        self.status.connected.set(1);
        self.status.update(|detail| detail.error = None);
        let Err(end) = self
            .follow(&mut connection, &asked_for, reconnect, arrived)
            .await;
        *silence = connection.silence();
        if matches!(end, End::Stopped | End::WentBack | End::Nonsense(_)) {
            connection.close().await;
        }
        Err(end)
    }

    /// Takes what a connection brings, until it ends.
    async fn follow(
        &mut self,
        connection: &mut Connection,
        asked_for: &str,
        reconnect: &mut ReconnectPolicy,
        arrived: &mut bool,
    ) -> Result<std::convert::Infallible, End> {
        let stop = self.stop.clone();
        let stream = self.status.name.clone();
        loop {
            let next = timeout(self.check_interval, connection.next());
            let Ok(first) = stop.run_until_cancelled(next).await.ok_or(End::Stopped)? else {
                self.check_stores().await?;
                continue;
            };
            let batch = ReceivedBatch::of(first, connection);
            if !batch.events.is_empty() {
                self.unless_stopped(async |sinks| sinks.append(&batch.events).await)
                    .await?;
            }
            if !matches!(batch.then, Then::End(_)) {
                *arrived = true;
                reconnect.progress();
                self.status.update(|detail| detail.stuck = false);
            }
            match batch.then {
                Then::Continue => {}
                Then::Answer => {
                    // An answer acknowledges: what was stored is there, now.
                    self.check_stores().await?;
                    connection.answer().await?;
                }
                Then::Control(Content::Gap(position)) => {
                    let to = Seq::starting_at(&position);
                    tracing::error!(stream, asked_for, went_on_at = %to, "events have expired before they were stored");
                    let gap = Gap {
                        from: asked_for.to_owned(),
                        to: position.clone(),
                    };
                    self.unless_stopped(async |sinks| sinks.record_gap(&position, gap).await)
                        .await?;
                }
                Then::Control(Content::Live(position)) => {
                    self.unless_stopped(async |sinks| sinks.mark(&position).await)
                        .await?;
                    tracing::debug!(stream, "live");
                }
                Then::Control(_) => {}
                Then::End(end) => return Err(end),
            }
        }
    }

    /// Works on the stores. After a stop it has a grace period; then what has arrived is left to the next start.
    async fn unless_stopped(
        &mut self,
        work: impl AsyncFnOnce(&mut SinkSet) -> Result<(), WentBack>,
    ) -> Result<(), End> {
        let stop = self.stop.clone();
        let given_up = async {
            stop.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            done = work(&mut self.sinks) => Ok(done?),
            () = given_up => Err(End::NotStored),
        }
    }

    /// The URL for what comes next.
    fn url(&self) -> Result<StreamUrl, SourceError> {
        let mut url = self.source.url()?;
        match (self.sinks.position(), &self.start) {
            (Some(position), _) => {
                url.set("seq_start", Seq::starting_at(&position).as_str());
            }
            (None, Start::Latest | Start::Committed) => {}
            (None, Start::Earliest) => url.set("seq_start", "0"),
            (None, Start::Seq(number)) => url.set("seq_start", number),
            (None, Start::Time(time)) => url.set("time_start", &time.replace('+', "%2B")),
        }
        if self.on_gap == OnGap::Earliest {
            url.set("on_gap", "earliest");
        }
        // The live marker says where a stream begins that was asked for from now on.
        url.set("markers", "1");
        Ok(url)
    }
}

impl ReceivedBatch {
    /// Takes a frame and what is at hand behind it, up to the size of a batch or to something that has to wait until
    /// what came before it is stored.
    fn of(first: Result<Incoming, Failure>, connection: &mut Connection) -> Self {
        let received = Timestamp::now();
        let mut batch = Self::default();
        let mut incoming = Some(first);
        while let Some(next) = incoming {
            match next {
                Ok(Incoming::Json(body)) => batch.take(body, received),
                Ok(Incoming::Heartbeat) => batch.then = Then::Answer,
                Ok(Incoming::KeepAlive) => {}
                Ok(Incoming::Junk(reason)) => batch.then = Then::End(End::Nonsense(reason)),
                Err(failure) => batch.then = Then::End(failure.into()),
            }
            let full = batch.events.len() >= BATCH_EVENTS || batch.bytes >= BATCH_BYTES;
            if full || !matches!(batch.then, Then::Continue) {
                break;
            }
            incoming = connection.at_hand();
        }
        batch
    }

    fn take(&mut self, body: Body, received: Timestamp) {
        self.bytes += body.as_str().len();
        match Content::of(body, received) {
            Ok(Content::Event(event)) => self.events.push(event),
            Ok(control) => self.then = Then::Control(control),
            Err(reason) => self.then = Then::End(End::Nonsense(reason)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{PostgresPlan, PostgresUrl};

    #[test]
    fn sessions_of_live_collectors_are_used_before_they_count_as_abandoned() {
        let stores = |seconds: &[u64]| -> Vec<_> {
            let store = |seconds: &u64| {
                StorePlan::Postgres(PostgresPlan {
                    url: PostgresUrl::Fixed("postgres://h/d".into()),
                    ca_file: None,
                    table: "events".to_owned(),
                    abandoned_after: Duration::from_secs(*seconds),
                })
            };
            seconds.iter().map(store).collect()
        };
        for (seconds, expected) in [
            (&[][..], 15_000),
            (&[60], 15_000),
            (&[600], 15_000),
            (&[60, 20], 5_000),
            (&[1], 250),
        ] {
            let every = check_interval(&stores(seconds));
            assert_eq!(every, Duration::from_millis(expected));
        }
    }
}

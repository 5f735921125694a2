//! Reads the cursors topic, and writes to it what was acknowledged: batched, one write at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant as Clock};

use datastream_protocol::position::Position;
use datastream_service::backoff::Backoff;
use datastream_service::log_limit::LogLimit;
use datastream_source::{CursorLog, SourceError};
use jiff::Timestamp;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::record::{CursorRecord, fitting};
use super::table::{MaxAge, Table};
use super::{Cursor, CursorKey};
use crate::config::ConfigStore;
use crate::ingest::{Batch, SourceStatus, Tail, first_bounds, monitor};
use crate::metrics::Metrics;

/// Time within which cursors that move are written together.
const SETTLE: Duration = Duration::from_millis(100);
/// Time that a client that connects waits for the cursors at most.
const PATIENCE: Duration = Duration::from_secs(5);
/// Interval between two looks for old cursors.
const LOOK: Duration = Duration::from_mins(1);
/// Cursors are written again after this time even if no others displace them, in case the topic is bounded by time.
const MAX_AGE_MS: i64 = 24 * 3600 * 1000;
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// Batches that may wait to be taken in.
const BATCHES: usize = 8;

/// The topic did not say in time where the stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the committed position cannot be read from the cursors topic: try again shortly")]
pub(crate) struct CursorsUnavailable;

/// Handle of streams to the cursors.
#[derive(Debug)]
pub(crate) struct Cursors {
    /// State; locked for look-ups and merges, never across an await.
    state: Mutex<State>,
    /// Notified when there is something to write.
    wanted: Notify,
    /// The last barrier of this process that came back from the topic.
    seen: watch::Sender<u64>,
    /// Reason why the topic could not be made or written last, until it can again.
    error: Mutex<Option<String>>,
}

#[derive(Debug)]
struct State {
    table: Table,
    /// Cursors that are not yet written. At most one per subscription.
    moved: HashMap<CursorKey, Cursor>,
    /// The number that the next barrier will have, and whether somebody waits for it.
    next_barrier: u64,
    barrier_wanted: bool,
    used: bool,
}

impl State {
    /// Lets a cursor be written.
    fn put(&mut self, key: CursorKey, cursor: Cursor) {
        match self.moved.get_mut(&key) {
            Some(moved) => moved.take_in(cursor),
            None => {
                self.moved.insert(key, cursor);
            }
        }
    }
}

impl Cursors {
    /// Position from which the stream of a subscription resumes: what was committed on any gateway before this call. `None` if
    /// nothing was committed yet.
    pub(crate) async fn resume(
        &self,
        key: &CursorKey,
    ) -> Result<Option<Cursor>, CursorsUnavailable> {
        self.barrier().await?;
        Ok(self.lock().table.get(key).cloned())
    }

    /// Puts a cursor where a stream starts, for as long as nothing is acknowledged, and waits until it is stored, if it is not yet.
    pub(crate) async fn start(
        &self,
        key: &CursorKey,
        position: &Position,
    ) -> Result<(), CursorsUnavailable> {
        if self.put(key, Cursor::started_at(position)) {
            self.barrier().await?;
        }
        Ok(())
    }

    /// Moves a cursor on; it is written within a moment.
    pub(crate) fn acknowledge(&self, key: &CursorKey, position: &Position) {
        self.put(key, Cursor::acknowledged(position));
    }

    /// Returns whether there is something to be written.
    fn put(&self, key: &CursorKey, cursor: Cursor) -> bool {
        let mut state = self.lock();
        state.used = true;
        let stored = state.table.get(key);
        if stored.is_some_and(|stored| stored.has(&cursor)) {
            return false;
        }
        state.put(key.clone(), cursor);
        drop(state);
        self.wanted.notify_one();
        true
    }

    /// Reason why the topic could not be made or written last, until it can again.
    pub(crate) fn error(&self) -> Option<String> {
        let error = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        error.clone()
    }

    fn set_error(&self, error: Option<&SourceError>) {
        let mut last = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        *last = error.map(ToString::to_string);
    }

    /// Number of subscriptions with a committed position.
    pub(crate) fn count(&self) -> usize {
        self.lock().table.len()
    }

    /// Returns whether anything was ever acknowledged here: if not, there is nothing to wait for in the end.
    pub(crate) fn is_used(&self) -> bool {
        self.lock().used
    }

    /// Waits until everything that was acknowledged here, or stored by anybody, before this call is in the table.
    pub(crate) async fn barrier(&self) -> Result<(), CursorsUnavailable> {
        let number = {
            let mut state = self.lock();
            state.barrier_wanted = true;
            state.next_barrier
        };
        self.wanted.notify_one();
        let mut seen = self.seen.subscribe();
        let reached = seen.wait_for(|seen| *seen >= number);
        match timeout(PATIENCE, reached).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(CursorsUnavailable),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Owns the reading and the writing.
pub(crate) struct CursorWriter {
    log: Arc<dyn CursorLog>,
    config: Arc<ConfigStore>,
    metrics: Arc<Metrics>,
    cursors: Arc<Cursors>,
    /// Name of the writer in records: another one with every start of a gateway.
    writer: String,
}

impl CursorWriter {
    /// A writer, and the handle that streams use.
    pub(crate) fn new(
        log: Arc<dyn CursorLog>,
        config: Arc<ConfigStore>,
        metrics: Arc<Metrics>,
    ) -> (Self, Arc<Cursors>) {
        let cursors = Arc::new(Cursors {
            state: Mutex::new(State {
                table: Table::default(),
                moved: HashMap::new(),
                next_barrier: 1,
                barrier_wanted: false,
                used: false,
            }),
            wanted: Notify::new(),
            seen: watch::Sender::new(0),
            error: Mutex::default(),
        });
        let writer = Self {
            log,
            config,
            metrics,
            cursors: cursors.clone(),
            writer: format!("{:016x}", rand::random::<u64>()),
        };
        (writer, cursors)
    }

    /// Runs for as long as the gateway does. Only streams with `resume: Committed` need what it does, so an outage of
    /// the topic is waited out.
    ///
    /// # Errors
    /// A part of it that ended.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        self.ensure().await;
        let source = self.log.source();
        let status = Arc::new(SourceStatus::default());
        let bounds = first_bounds(&source, &status).await;
        anyhow::ensure!(
            bounds.len() == 1,
            "{} has {} partitions, but cursors need exactly one: delete it, or name another with --cursors-topic",
            source.describe(),
            bounds.len()
        );
        let (out, batches) = mpsc::channel(BATCHES);
        let tail = Tail {
            source: source.clone(),
            status: status.clone(),
            partition: 0,
            next: bounds[0].start,
            out,
        };
        tokio::select! {
            result = tail.run() => {
                result?;
                anyhow::bail!("the reader of the cursors topic ended")
            }
            result = monitor(source, status) => result,
            () = self.read(batches) => anyhow::bail!("the cursors topic ended"),
            () = self.write() => Ok(()),
            () = self.look() => Ok(()),
        }
    }

    async fn ensure(&self) {
        let mut backoff = Backoff::new(BACKOFF_MIN, BACKOFF_MAX);
        while let Err(error) = self.log.ensure().await {
            tracing::warn!(%error, "cannot make the cursors topic; trying again");
            self.cursors.set_error(Some(&error));
            sleep(backoff.next_delay()).await;
        }
    }

    async fn read(&self, mut batches: mpsc::Receiver<Batch>) {
        let mut limit = LogLimit::default();
        while let Some(batch) = batches.recv().await {
            let mut seen = None;
            if let Some(place) = &batch.unreadable {
                self.metrics.cursor_errors.inc();
                if let Some(held_back) = limit.admit(Clock::now()) {
                    tracing::error!(%place, held_back, "batch of the cursors topic skipped: it cannot be read");
                }
            }
            let mut state = self.cursors.lock();
            for record in batch.records {
                let decoded = CursorRecord::decode(&record.value).inspect_err(|error| {
                    self.metrics.cursor_errors.inc();
                    if let Some(held_back) = limit.admit(Clock::now()) {
                        tracing::warn!(offset = record.offset, %error, held_back, "record of the cursors topic skipped");
                    }
                });
                let decoded = decoded.unwrap_or_default();
                let bytes = record.value.len() as u64;
                state
                    .table
                    .apply(decoded.cursors, bytes, record.timestamp_ms);
                if decoded.writer == self.writer {
                    seen = seen.max(decoded.barrier);
                }
            }
            state.table.forget(self.log.kept_bytes());
            self.metrics.cursors.set(state.table.len() as i64);
            drop(state);
            if let Some(number) = seen {
                self.cursors.seen.send_replace(number);
            }
        }
    }

    async fn write(&self) {
        let mut backoff = Backoff::new(BACKOFF_MIN, BACKOFF_MAX);
        loop {
            self.cursors.wanted.notified().await;
            if !self.cursors.lock().barrier_wanted {
                // Unless somebody waits, more may come.
                tokio::select! {
                    () = sleep(SETTLE) => (),
                    () = self.barrier_wanted() => (),
                }
            }
            let (moved, barrier) = self.take();
            if let Err((error, moved)) = self.append(moved, barrier).await {
                tracing::warn!(%error, "cannot write cursors; trying again");
                self.cursors.set_error(Some(&error));
                self.metrics.cursor_errors.inc();
                self.put_back(moved, barrier.is_some());
                sleep(backoff.next_delay()).await;
            } else {
                self.cursors.set_error(None);
                backoff.reset();
            }
        }
    }

    async fn barrier_wanted(&self) {
        while !self.cursors.lock().barrier_wanted {
            self.cursors.wanted.notified().await;
        }
    }

    /// Takes out what is to be written now: cursors, and perhaps a barrier.
    fn take(&self) -> (Vec<(CursorKey, Cursor)>, Option<u64>) {
        let mut state = self.cursors.lock();
        let moved = std::mem::take(&mut state.moved).into_iter().collect();
        let barrier = state.barrier_wanted.then_some(state.next_barrier);
        if barrier.is_some() {
            state.barrier_wanted = false;
            state.next_barrier += 1;
        }
        (moved, barrier)
    }

    /// Writes in records of bounded size, the barrier in the last one. What was not written comes back.
    async fn append(
        &self,
        mut moved: Vec<(CursorKey, Cursor)>,
        barrier: Option<u64>,
    ) -> Result<(), (SourceError, Vec<(CursorKey, Cursor)>)> {
        while !moved.is_empty() || barrier.is_some() {
            let rest = moved.split_off(fitting(&moved).min(moved.len()));
            let last = rest.is_empty();
            let record = CursorRecord {
                writer: self.writer.clone(),
                barrier: barrier.filter(|_| last),
                cursors: moved.clone(),
            };
            if let Err(error) = self.log.append(record.encode()).await {
                moved.extend(rest);
                return Err((error, moved));
            }
            self.metrics.cursors_written.inc_by(moved.len() as u64);
            if last {
                break;
            }
            moved = rest;
        }
        Ok(())
    }

    fn put_back(&self, moved: Vec<(CursorKey, Cursor)>, barrier: bool) {
        let mut state = self.cursors.lock();
        for (key, cursor) in moved {
            state.put(key, cursor);
        }
        // Those who wait for the number that was lost are content with a later one.
        state.barrier_wanted |= barrier;
        drop(state);
        self.cursors.wanted.notify_one();
    }

    /// Writes old cursors again before the topic drops them. Every gateway would: a random bound makes it most often one.
    async fn look(&self) {
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if !self.config.state().synced {
                continue;
            }
            let jitter = rand::random_range(1.0..1.5);
            let age = MaxAge {
                bytes: (self.log.kept_bytes() as f64 / 4.0 * jitter) as u64,
                ms: (MAX_AGE_MS as f64 * jitter) as i64,
            };
            let table = self.config.table();
            let lives = |key: &CursorKey| table.by_id(&key.id).is_some_and(|r| r.uid == key.uid);
            let now = Timestamp::now().as_millisecond();
            let due = self.cursors.lock().table.due(age, now, lives);
            if !due.is_empty() {
                tracing::info!(cursors = due.len(), "writing old cursors again");
                self.put_back(due, false);
            }
        }
    }
}

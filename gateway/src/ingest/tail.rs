//! The live reader of one partition: every record once and in order, whatever the stream below does.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use datastream_service::backoff::Backoff;
use datastream_source::{EventSource, Record, RecordStream, SILENCE, SourceError, Unreadable};
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::SourceStatus;

/// Records of one partition with consecutive offsets, or a place where there are none to be read.
#[derive(Debug)]
pub(crate) struct Batch {
    pub partition: u32,
    /// Offset of the first record. Larger than the end of the batch before if records expired unread.
    pub first: u64,
    /// The offset after the last one.
    pub next: u64,
    pub records: Vec<Record>,
    /// Place that cannot be read, if that is why there are no records.
    pub unreadable: Option<Unreadable>,
}

/// Bytes that one answer of the server may hold.
const FETCH_BYTES: u32 = 1 << 20;
/// Silence after which a stream with records waiting at the broker has left them out or is dead. Doubled up to
/// [`STALL_MAX`] while that brings nothing: the broker may just be slow.
pub(crate) const STALL: Duration = SILENCE;
pub(crate) const STALL_MAX: Duration = STALL.saturating_mul(16);
/// Time for which the partition's own server may say that it has less than was read of it, before that is believed.
const SHORTER: Duration = Duration::from_secs(10);
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// The taker of batches.
pub(crate) trait BatchSink: Send + Sync {
    /// Waits until there is room for a batch, and hands it over; false if nobody takes it any more.
    fn send(&self, batch: Batch) -> impl Future<Output = bool> + Send;

    /// Waits until nobody takes batches any more.
    fn closed(&self) -> impl Future<Output = ()> + Send;
}

impl BatchSink for mpsc::Sender<Batch> {
    async fn send(&self, batch: Batch) -> bool {
        Self::send(self, batch).await.is_ok()
    }

    async fn closed(&self) {
        Self::closed(self).await;
    }
}

/// The reader of one partition.
pub(crate) struct Tail<S> {
    pub source: Arc<dyn EventSource>,
    pub status: Arc<SourceStatus>,
    pub partition: u32,
    pub next: u64,
    pub out: S,
}

/// Reason why an opened stream ended.
enum End {
    /// Nobody takes the records any more.
    Closed,
    Failed(SourceError),
}

impl<S: BatchSink> Tail<S> {
    /// Reads until nobody takes the records any more. Every failure is answered by opening again at the next offset.
    ///
    /// # Errors
    /// The log is shorter than what was read of it. Going on once it has grown would pass over what has come meanwhile.
    pub(crate) async fn run(mut self) -> anyhow::Result<()> {
        let mut backoff = Backoff::new(BACKOFF_MIN, BACKOFF_MAX);
        let mut stall = STALL;
        let mut shorter_since = None;
        loop {
            let before = self.next;
            let error = match self
                .source
                .tail(self.partition, self.next, FETCH_BYTES)
                .await
            {
                Ok(stream) => match self.read(stream, stall).await {
                    End::Closed => return Ok(()),
                    End::Failed(error) => error,
                },
                Err(error) => error,
            };
            let progress = self.next > before;
            stall = if progress {
                STALL
            } else {
                (stall * 2).min(STALL_MAX)
            };
            if let SourceError::Expired { available, .. } = &error
                && *available > self.next
            {
                tracing::error!(
                    partition = self.partition,
                    from = self.next,
                    to = available,
                    "records expired before they could be read: retention is shorter than the outage was"
                );
                self.next = *available;
                // Streams that were to get what has expired learn of it now, and not when the next record comes.
                if !self.hand_on(self.next, vec![], None).await {
                    return Ok(());
                }
                continue;
            }
            let is_shorter = matches!(error, SourceError::Beyond { .. });
            let since = shorter_since.filter(|_| is_shorter && !progress);
            anyhow::ensure!(
                since.is_none_or(|since: Instant| since.elapsed() < SHORTER),
                "partition {} of the topic ends before offset {}, up to which it was read: it was deleted and made again, or has lost records. \
                 Starting again at its end",
                self.partition,
                self.next
            );
            shorter_since = is_shorter.then(|| since.unwrap_or_else(Instant::now));
            let cut = progress && matches!(error, SourceError::Broken { .. });
            self.status.update(self.partition, |s| {
                s.reopened += 1;
                if !cut {
                    s.connected = false;
                    s.last_error = Some(error.to_string());
                }
            });
            if cut {
                // With progress, a source that leaves records out just has to be asked again.
                tracing::trace!(partition = self.partition, at = self.next, %error, "reopened");
                continue;
            }
            tracing::warn!(partition = self.partition, at = self.next, %error, "source interrupted; trying again");
            if progress {
                backoff.reset();
            }
            tokio::select! {
                () = sleep(backoff.next_delay()) => (),
                () = self.out.closed() => return Ok(()),
            }
        }
    }

    async fn read(&mut self, mut stream: RecordStream, stall: Duration) -> End {
        self.status.update(self.partition, |s| {
            s.connected = true;
            s.last_error = None;
        });
        let mut waiting_since = None;
        loop {
            let next = tokio::select! {
                next = timeout(STALL / 4, stream.next()) => next,
                () = self.out.closed() => return End::Closed,
            };
            let records = match next {
                Ok(Some(Ok(records))) => records,
                Ok(Some(Err(SourceError::Unreadable(place)))) if place.first <= self.next => {
                    waiting_since = None;
                    if place.next > self.next
                        && !self.hand_on(place.next, vec![], Some(place)).await
                    {
                        return End::Closed;
                    }
                    continue;
                }
                Ok(Some(Err(error))) => return End::Failed(error),
                Ok(None) => return End::Failed(self.broken("the stream ended")),
                Err(_) => {
                    let behind = self
                        .status
                        .update(self.partition, |s| s.lag() > 0)
                        .unwrap_or(false);
                    match waiting_since.filter(|_| behind) {
                        Some(since) if Instant::now() - since > stall => {
                            let reason =
                                format!("no record for {stall:?} although the broker has some");
                            return End::Failed(self.broken(&reason));
                        }
                        Some(_) => (),
                        None => waiting_since = behind.then(Instant::now),
                    }
                    continue;
                }
            };
            waiting_since = None;
            let (records, hole) = contiguous(self.next, records);
            if let Some(last) = records.last() {
                let next = last.offset + 1;
                if !self.hand_on(next, records, None).await {
                    return End::Closed;
                }
            }
            if let Some(offset) = hole {
                return End::Failed(self.broken(&format!("got offset {offset} next")));
            }
        }
    }

    /// Hands on what is between the last time and `next`; false if nobody takes it any more.
    async fn hand_on(
        &mut self,
        next: u64,
        records: Vec<Record>,
        unreadable: Option<Unreadable>,
    ) -> bool {
        let batch = Batch {
            partition: self.partition,
            first: std::mem::replace(&mut self.next, next),
            next,
            records,
            unreadable,
        };
        if !self.out.send(batch).await {
            return false;
        }
        self.status.update(self.partition, |s| s.next = next);
        true
    }

    fn broken(&self, reason: &str) -> SourceError {
        SourceError::Broken {
            at: self.next,
            reason: reason.to_owned(),
        }
    }
}

/// The records from `next` on up to the first hole, and the offset behind that hole. Earlier ones are dropped:
/// a server answers with whole batches.
pub(crate) fn contiguous(mut next: u64, records: Vec<Record>) -> (Vec<Record>, Option<u64>) {
    let mut kept = records;
    let skip = kept.iter().take_while(|r| r.offset < next).count();
    kept.drain(..skip);
    for (index, record) in kept.iter().enumerate() {
        if record.offset != next {
            let hole = record.offset;
            kept.truncate(index);
            return (kept, Some(hole));
        }
        next += 1;
    }
    (kept, None)
}

#[cfg(test)]
mod tests {
    use datastream_source::Bounds;
    use futures_util::FutureExt as _;
    use futures_util::future::{BoxFuture, ready};

    use super::*;

    /// A log that ends before it is asked for.
    struct Shorter;

    impl EventSource for Shorter {
        fn describe(&self) -> String {
            "a log that is shorter".to_owned()
        }

        fn bounds(&self) -> BoxFuture<'_, Result<Vec<Bounds>, SourceError>> {
            unreachable!()
        }

        fn tail(
            &self,
            _: u32,
            wanted: u64,
            _: u32,
        ) -> BoxFuture<'_, Result<RecordStream, SourceError>> {
            ready(Err(SourceError::Beyond { wanted })).boxed()
        }

        fn replay(
            &self,
            _: u32,
            _: u64,
            _: u32,
        ) -> BoxFuture<'_, Result<RecordStream, SourceError>> {
            unreachable!()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_log_that_stays_shorter_than_what_was_read_of_it_ends_the_reading() {
        let (out, _batches) = mpsc::channel(1);
        let tail = Tail {
            source: Arc::new(Shorter),
            status: Arc::default(),
            partition: 0,
            next: 7,
            out,
        };
        let begun = Instant::now();
        let error = tail.run().await.unwrap_err().to_string();
        assert!(error.contains("ends before offset 7"), "{error}");
        assert!(begun.elapsed() >= SHORTER);
    }

    fn records(offsets: &[u64]) -> Vec<Record> {
        let record = |o: &u64| Record {
            offset: *o,
            timestamp_ms: 0,
            value: bytes::Bytes::new(),
        };
        offsets.iter().map(record).collect()
    }

    #[test]
    fn only_consecutive_records_are_taken() {
        let offsets = |next, given: &[u64]| {
            let (kept, hole) = contiguous(next, records(given));
            (kept.iter().map(|r| r.offset).collect::<Vec<_>>(), hole)
        };
        assert_eq!(offsets(3, &[1, 2, 3, 4]), (vec![3, 4], None));
        assert_eq!(offsets(3, &[3, 4, 7, 8]), (vec![3, 4], Some(7)));
        assert_eq!(offsets(3, &[9]), (vec![], Some(9)));
        assert_eq!(offsets(3, &[3, 3]), (vec![3], Some(3)));
    }
}

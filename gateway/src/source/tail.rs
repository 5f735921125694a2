//! The live reader of one partition: every record once and in order, whatever the stream below does.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::{EventSource, Record, RecordStream, SourceError, SourceStatus};

/// Records of one partition with consecutive offsets.
#[derive(Debug)]
pub(crate) struct Batch {
    pub partition: u32,
    /// Offset of the first record. Larger than the end of the batch before if records expired unread.
    pub first: u64,
    pub records: Vec<Record>,
}

/// How much one answer of the server may hold at first. Doubled up to [`MAX_FETCH_BYTES`] when that is too small.
const FETCH_BYTES: u32 = 1 << 20;
const MAX_FETCH_BYTES: u32 = 64 << 20;
/// With records waiting at the broker, a stream that is silent for this long has left them out (an answer that was cut
/// in its last batch) or is dead. Doubled up to [`STALL_MAX`] while that brings nothing: the broker may just be slow.
pub(crate) const STALL: Duration = Duration::from_secs(1);
pub(crate) const STALL_MAX: Duration = Duration::from_secs(16);
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// The reader of one partition.
pub(crate) struct Tail {
    pub source: Arc<dyn EventSource>,
    pub status: Arc<SourceStatus>,
    pub partition: u32,
    pub next: u64,
    pub out: mpsc::Sender<Batch>,
}

/// How one opened stream ended.
enum End {
    /// Nobody takes the records any more.
    Closed,
    Failed(SourceError),
}

impl Tail {
    /// Reads until nobody takes the records any more. Every failure is answered by opening again at the next offset.
    pub(crate) async fn run(mut self) {
        let mut backoff = BACKOFF_MIN;
        let mut max_bytes = FETCH_BYTES;
        let mut stall = STALL;
        loop {
            let before = self.next;
            let error = match self.source.tail(self.partition, self.next, max_bytes).await {
                Ok(stream) => match self.read(stream, stall).await {
                    End::Closed => return,
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
            match &error {
                SourceError::Expired { available, .. } if *available > self.next => {
                    tracing::error!(
                        partition = self.partition,
                        from = self.next,
                        to = available,
                        "records expired before they could be read: retention is shorter than the outage was"
                    );
                    self.next = *available;
                    continue;
                }
                // An answer that is cut before its first record ends makes no progress: ask for a larger one.
                SourceError::Broken { .. } if !progress && max_bytes < MAX_FETCH_BYTES => {
                    max_bytes *= 2
                }
                SourceError::Broken { .. } if progress => max_bytes = FETCH_BYTES,
                _ => (),
            }
            let cut = progress && matches!(error, SourceError::Broken { .. });
            self.status.update(self.partition, |s| {
                s.reopened += 1;
                if !cut {
                    s.connected = false;
                    s.last_error = Some(error.to_string());
                }
            });
            if cut {
                // The server cuts its answers in mid-batch: with progress, this is the normal course.
                tracing::trace!(partition = self.partition, at = self.next, %error, "reopened");
                continue;
            }
            tracing::warn!(partition = self.partition, at = self.next, %error, "source interrupted; trying again");
            backoff = if progress {
                BACKOFF_MIN
            } else {
                (backoff * 2).min(BACKOFF_MAX)
            };
            tokio::select! {
                () = sleep(backoff) => (),
                () = self.out.closed() => return,
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
                let first = self.next;
                self.next = last.offset + 1;
                let batch = Batch {
                    partition: self.partition,
                    first,
                    records,
                };
                if self.out.send(batch).await.is_err() {
                    return End::Closed;
                }
                self.status.update(self.partition, |s| s.next = self.next);
            }
            if let Some(offset) = hole {
                return End::Failed(self.broken(&format!("got offset {offset} next")));
            }
        }
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
    use super::*;

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

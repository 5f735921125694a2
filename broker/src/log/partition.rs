//! One partition: batches as producers sent them, and where they are cut for readers.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::{BufMut, Bytes, BytesMut};
use fluvio_protocol::link::ErrorCode;
use fluvio_spu_schema::Isolation;
use tokio::sync::watch;

use super::batch::Stored;

#[derive(Default)]
struct Log {
    batches: VecDeque<Stored>,
    ends: Ends,
    deleted: bool,
    /// A header does not say where its batch ends.
    is_misnumbered: bool,
}

/// The bounds of a log.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub(crate) struct Ends {
    /// The first offset that is still there.
    pub start: i64,
    /// The offset after the last record.
    pub end: i64,
    /// The offset after the last committed record.
    pub high_watermark: i64,
    /// Bytes stored.
    pub size: i64,
}

/// The result of a fetch.
#[derive(Debug)]
pub(crate) struct Slice {
    /// Batches; the last one may be cut.
    pub bytes: Bytes,
    pub ends: Ends,
    /// The offset after the last record that this reader may see.
    pub visible: i64,
}

/// One partition of a topic.
pub(crate) struct Partition {
    log: RwLock<Log>,
    moved: watch::Sender<(i64, i64)>,
    retention_bytes: Option<u64>,
}

impl Partition {
    pub(crate) fn new(retention_bytes: Option<u64>) -> Arc<Self> {
        Arc::new(Self {
            log: RwLock::default(),
            moved: watch::Sender::new((0, 0)),
            retention_bytes,
        })
    }

    /// Wakes when an end moves.
    pub(crate) fn watch(&self) -> watch::Receiver<(i64, i64)> {
        self.moved.subscribe()
    }

    pub(crate) fn ends(&self) -> Ends {
        self.read_log().ends
    }

    /// Appends batches as they came; only their base offset is set. Returns the first offset. `keep` gets the bytes of each.
    pub(crate) fn append(
        &self,
        batches: &[Bytes],
        hold_high_watermark: bool,
        mut keep: impl FnMut(&Bytes) -> io::Result<()>,
    ) -> io::Result<i64> {
        let mut log = self.write_log();
        let first = log.ends.end;
        for batch in batches {
            let stored = Stored::at(batch, log.ends.end)?;
            keep(&stored.bytes)?;
            log.push(stored);
        }
        if !hold_high_watermark {
            log.ends.high_watermark = log.ends.end;
        }
        self.retain(&mut log);
        self.publish(&log);
        Ok(first)
    }

    /// Puts a batch back where it was. What was there is older.
    pub(crate) fn restore(&self, batch: Stored) {
        let mut log = self.write_log();
        while let Some(last) = log.batches.pop_back_if(|last| last.next > batch.base) {
            log.ends.size -= last.bytes.len() as i64;
        }
        log.push(batch);
        log.ends.high_watermark = log.ends.end;
        self.retain(&mut log);
        self.publish(&log);
    }

    fn retain(&self, log: &mut Log) {
        if let Some(limit) = self.retention_bytes {
            while log.ends.size > limit as i64 && log.batches.len() > 1 {
                log.drop_oldest();
            }
        }
    }

    /// The bytes from the batch that holds `from` on, cut at `max_bytes` as the real server does, or at the last
    /// border before it.
    pub(crate) fn read(
        &self,
        from: i64,
        max_bytes: usize,
        isolation: Isolation,
        whole_batches: bool,
    ) -> Result<Slice, ErrorCode> {
        let log = self.read_log();
        let ends = log.ends;
        if log.deleted {
            return Err(ErrorCode::TopicDeleted);
        }
        if from < ends.start {
            return Err(ErrorCode::OffsetEvicted {
                offset: from,
                next_available: ends.start,
            });
        }
        if from > ends.end {
            // The message of the real server.
            let reason = format!("start offset: {from} is greater than leo: {}", ends.end);
            return Err(ErrorCode::Other(reason));
        }
        let visible = match isolation {
            Isolation::ReadCommitted => ends.high_watermark,
            Isolation::ReadUncommitted => ends.end,
        };
        let mut bytes = BytesMut::new();
        let first = log.first_with(from, visible);
        for batch in log.batches.range(first..).take_while(|b| b.next <= visible) {
            let room = max_bytes.saturating_sub(bytes.len());
            if batch.bytes.len() <= room || (whole_batches && bytes.is_empty()) {
                bytes.put_slice(&batch.bytes);
                continue;
            }
            if !whole_batches {
                bytes.put_slice(&batch.bytes[..room]);
            }
            break;
        }
        Ok(Slice {
            bytes: bytes.freeze(),
            ends,
            visible,
        })
    }

    /// Lets readers of committed records see everything.
    pub(crate) fn commit(&self) {
        let mut log = self.write_log();
        if log.ends.high_watermark < log.ends.end {
            log.ends.high_watermark = log.ends.end;
            self.publish(&log);
        }
    }

    /// Has the header of the batch that begins at an offset say another last one, as a damaged disk does. Returns whether there is
    /// such a batch.
    pub(crate) fn misnumber(&self, base: i64, last_delta: i32) -> bool {
        let mut log = self.write_log();
        let batch = log.batches.iter_mut().find(|batch| batch.base == base);
        let is_there = batch.map(|batch| batch.misnumber(last_delta)).is_some();
        log.is_misnumbered |= is_there;
        is_there
    }

    /// Drops whole batches below `offset`, as retention does. Returns the first offset that is left.
    pub(crate) fn evict(&self, offset: i64) -> i64 {
        let mut log = self.write_log();
        while log.batches.front().is_some_and(|b| b.next <= offset) {
            log.drop_oldest();
        }
        log.ends.start
    }

    /// Ends every reader with 'topic deleted'.
    pub(crate) fn delete(&self) {
        let mut log = self.write_log();
        *log = Log {
            deleted: true,
            ..Log::default()
        };
        self.publish(&log);
    }

    fn publish(&self, log: &Log) {
        self.moved
            .send_replace((log.ends.end, log.ends.high_watermark));
    }

    fn read_log(&self) -> RwLockReadGuard<'_, Log> {
        self.log.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_log(&self) -> RwLockWriteGuard<'_, Log> {
        self.log.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    fn push(&mut self, batch: Stored) {
        self.ends.size += batch.bytes.len() as i64;
        self.ends.end = batch.next;
        self.batches.push_back(batch);
    }

    /// The number of the first batch to send to who asks for `from`. The real server looks through the headers for one that ends
    /// behind it, whatever is true, and sends nothing to who has had everything.
    fn first_with(&self, from: i64, visible: i64) -> usize {
        if !self.is_misnumbered {
            return self.batches.partition_point(|b| b.next <= from);
        }
        let mut found = self.batches.iter();
        let found = found.position(|b| from < visible && b.said_next() > from);
        found.unwrap_or(self.batches.len())
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.batches.pop_front() {
            self.ends.size -= oldest.bytes.len() as i64;
            self.ends.start = self.batches.front().map_or(self.ends.end, |b| b.base);
        }
    }
}

//! Reads one partition: whole batches in sequence, and what cannot be read named and stepped over.
//!
//! The server cuts its answers at `max_bytes`, often inside a batch. What is cut is asked for again, with as many bytes as its
//! header says that it needs if it is the first of its answer. Damage is only what is whole and cannot be read, or what comes the
//! same on two connections.

use std::io;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use fluvio::dataplane::link::ErrorCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::batch::{self, Chunk, Framing, Header, MAX_BATCH_BYTES, Records};
use super::directory::Directory;
use super::inflate::{self, InflateError};
use super::unit::{Answer, Fetch, NORMAL_BYTES, Unit};
use crate::{Damage, Record, SourceError, Unreadable};

/// Bytes that decompressed records may take without a permit for large batches.
const NORMAL_RECORDS_BYTES: usize = 2 * NORMAL_BYTES;

/// The reader of a partition from one offset on.
pub(super) struct Reader {
    directory: Arc<Directory>,
    fetch: Fetch,
    /// One permit for everything larger than usual: an answer and what it is decompressed to.
    permits: Arc<Semaphore>,
    permit: Option<OwnedSemaphorePermit>,
    unit: Option<Unit>,
    /// The most bytes that an answer may hold.
    max_bytes: usize,
    /// The offset of the next batch.
    next: u64,
    /// Batches that have come and have not been opened.
    batches: Bytes,
    /// Records of the batch before `next` that have not been handed on.
    records: Option<Records>,
    /// The batch before `next`, if it cannot be read: what came before it is handed on first.
    found: Option<SourceError>,
    /// The batch at `next` looked damaged on the connection before this one.
    suspected: bool,
    failed: bool,
}

impl Reader {
    /// A reader that is connected and has asked.
    pub(super) async fn open(
        directory: Arc<Directory>,
        permits: Arc<Semaphore>,
        fetch: Fetch,
        from: u64,
        max_bytes: usize,
    ) -> Result<Self, SourceError> {
        let mut reader = Self {
            directory,
            fetch,
            permits,
            permit: None,
            unit: None,
            max_bytes,
            next: from,
            batches: Bytes::new(),
            records: None,
            found: None,
            suspected: false,
            failed: false,
        };
        reader.unit = Some(reader.connect().await?);
        Ok(reader)
    }

    /// The next records, or what is the matter. After any error but [`SourceError::Unreadable`] there is nothing.
    pub(super) async fn next(&mut self) -> Option<Result<Vec<Record>, SourceError>> {
        if self.failed {
            return None;
        }
        let next = self.read().await;
        self.failed = !matches!(next, Ok(_) | Err(SourceError::Unreadable(_)));
        Some(next)
    }

    /// Small batches that have come together are handed on together: each time costs all who read the stream.
    async fn read(&mut self) -> Result<Vec<Record>, SourceError> {
        if let Some(found) = self.found.take() {
            return Err(found);
        }
        let mut chunk = Chunk::default();
        loop {
            if let Some(records) = &mut self.records {
                records.move_to(&mut chunk);
                if chunk.is_full() {
                    return Ok(chunk.into_records());
                }
                self.records = None;
            }
            // All that is kept of an answer is whole and in sequence.
            let Framing::Whole(header) = batch::frame(&self.batches) else {
                if !chunk.is_empty() {
                    return Ok(chunk.into_records());
                }
                self.read_answer().await?;
                continue;
            };
            // What is there does not wait for others who have large batches.
            let may_wait = chunk.is_empty();
            match self.open_batch(&header, may_wait).await {
                Ok(true) => (),
                Ok(false) => return Ok(chunk.into_records()),
                Err(error) if may_wait => return Err(error),
                Err(error) => {
                    self.found = Some(error);
                    return Ok(chunk.into_records());
                }
            }
        }
    }

    /// Makes the records of the next batch the next to be handed on. Returns false, and leaves it for the next time, if it has to wait
    /// and may not.
    async fn open_batch(&mut self, header: &Header, may_wait: bool) -> Result<bool, SourceError> {
        let from = self.next;
        if header.next <= from {
            self.batches.advance(header.size);
            return Ok(true);
        }
        let records = self.batches.slice(header.records_at()..header.size);
        let Some(inflated) = self.inflate(header, records, may_wait).await else {
            return Ok(false);
        };
        self.batches.advance(header.size);
        self.next = header.next;
        let records = inflated.and_then(|bytes| {
            Records::new(header, bytes, from).map_err(|detail| (Damage::Malformed, detail))
        });
        match records {
            Ok(records) => {
                self.records = Some(records);
                Ok(true)
            }
            Err((damage, detail)) => Err(unreadable(from, header.next, damage, detail)),
        }
    }

    /// Decompresses records; none if they are so many that this has to wait for others, and it may not.
    async fn inflate(
        &mut self,
        header: &Header,
        records: Bytes,
        may_wait: bool,
    ) -> Option<Result<Bytes, (Damage, String)>> {
        let codec = header.codec();
        if codec == inflate::NONE {
            return Some(Ok(records));
        }
        let mut inflated = inflate::inflate(codec, &records, NORMAL_RECORDS_BYTES);
        if matches!(inflated, Err(InflateError::TooLarge)) {
            if !may_wait {
                return None;
            }
            if self.permit.is_none() {
                self.permit = self.permits.clone().acquire_owned().await.ok();
            }
            let large = move || inflate::inflate(codec, &records, MAX_BATCH_BYTES);
            inflated = tokio::task::spawn_blocking(large)
                .await
                .unwrap_or_else(|error| Err(InflateError::Broken(io::Error::other(error))));
        }
        Some(inflated.map(Bytes::from).map_err(|error| match error {
            InflateError::TooLarge => (
                Damage::TooLarge,
                format!("more than {MAX_BATCH_BYTES} bytes when decompressed"),
            ),
            InflateError::UnknownCodec => {
                (Damage::UnknownCodec, format!("compression {}", codec.0))
            }
            InflateError::Broken(error) => (Damage::NotDecompressed, error.to_string()),
        }))
    }

    /// Takes the next answer, keeps of it what is whole and in sequence, and asks for what comes behind that.
    async fn read_answer(&mut self) -> Result<(), SourceError> {
        if !self.is_oversized() {
            self.permit = None;
        }
        let mut unit = match self.unit.take() {
            Some(unit) => unit,
            None => self.connect().await?,
        };
        let answer = unit.answer(&self.permits, &mut self.permit).await;
        let answer = answer.map_err(|error| self.lost(&error))?;
        let answer = answer.map_err(|error| self.refused(error))?;
        if answer.batches.is_empty() {
            self.unit = Some(unit);
            return Ok(());
        }
        let (whole, next) = in_sequence(&answer, self.next);
        if next == self.next {
            return self.look_into(&answer.batches[whole..], answer.end).await;
        }
        self.suspected = false;
        self.batches = answer.batches.slice(..whole);
        if self.is_oversized() {
            self.max_bytes = NORMAL_BYTES;
        } else if unit.acknowledge(next).await.is_ok() {
            self.unit = Some(unit);
        }
        Ok(())
    }

    /// Finds out what is at `next`, of which the answer has nothing whole.
    async fn look_into(&mut self, found: &[u8], end: u64) -> Result<(), SourceError> {
        let confirmed = std::mem::replace(&mut self.suspected, true);
        match batch::frame(found) {
            Framing::Whole(header) | Framing::Cut(header) | Framing::Endless(header)
                if header.next > end || header.next <= self.next =>
            {
                Err(self.malformed())
            }
            Framing::Whole(header) | Framing::Cut(header) if header.first > self.next => {
                let detail = || format!("the broker continues at offset {}", header.first);
                self.step_over(confirmed, header.first, Damage::Missing, detail)
            }
            Framing::Cut(header) if header.size > MAX_BATCH_BYTES => {
                let detail = || format!("{} bytes, the limit is {MAX_BATCH_BYTES}", header.size);
                self.step_over(confirmed, header.next, Damage::TooLarge, detail)
            }
            Framing::Cut(header) if header.size > self.max_bytes => {
                self.suspected = false;
                self.max_bytes = header.size;
                if self.is_oversized() && self.permit.is_none() {
                    self.permit = self.permits.clone().acquire_owned().await.ok();
                }
                Ok(())
            }
            Framing::Cut(header) => {
                let detail = || format!("less than its {} bytes", header.size);
                self.step_over(confirmed, header.next, Damage::Cut, detail)
            }
            Framing::Endless(header) => {
                let detail = || format!("a batch of {} bytes", header.size);
                self.step_over(confirmed, header.next, Damage::Malformed, detail)
            }
            Framing::Whole(_) | Framing::Short | Framing::Malformed => Err(self.malformed()),
        }
    }

    fn malformed(&self) -> SourceError {
        SourceError::Broken {
            at: self.next,
            reason: "what the broker has there is no batch, or one of other offsets".to_owned(),
        }
    }

    /// Reports what cannot be read and continues behind it, on a new connection; or, if it has not been seen twice, looks again.
    fn step_over(
        &mut self,
        confirmed: bool,
        next: u64,
        damage: Damage,
        detail: impl FnOnce() -> String,
    ) -> Result<(), SourceError> {
        if !confirmed {
            return Ok(());
        }
        self.suspected = false;
        self.max_bytes = self.max_bytes.min(NORMAL_BYTES);
        let first = std::mem::replace(&mut self.next, next);
        Err(unreadable(first, next, damage, detail()))
    }

    /// Returns whether more is asked for than is allowed without a permit.
    const fn is_oversized(&self) -> bool {
        self.max_bytes > NORMAL_BYTES
    }

    async fn connect(&self) -> Result<Unit, SourceError> {
        let Directory { cluster, .. } = &*self.directory;
        let leader = self.directory.leader(self.fetch.partition).await?;
        let unit = Unit::open(cluster, &leader, &self.fetch, self.next, self.max_bytes).await;
        unit.inspect_err(|_| self.directory.doubt())
    }

    fn lost(&self, error: &io::Error) -> SourceError {
        if error.kind() == io::ErrorKind::InvalidData {
            return SourceError::Broken {
                at: self.next,
                reason: error.to_string(),
            };
        }
        SourceError::Unreachable {
            what: "reading the topic",
            reason: error.to_string(),
        }
    }

    fn refused(&self, error: ErrorCode) -> SourceError {
        match error {
            ErrorCode::OffsetEvicted {
                next_available,
                offset,
            } => SourceError::Expired {
                wanted: offset.max(0) as u64,
                available: next_available.max(0) as u64,
            },
            ErrorCode::OffsetOutOfRange => SourceError::Beyond { wanted: self.next },
            // What a server of version 0.18 says instead.
            ErrorCode::Other(reason) if reason.contains("is greater than leo") => {
                SourceError::Beyond { wanted: self.next }
            }
            error @ (ErrorCode::NotLeaderForPartition | ErrorCode::PartitionNotLeader) => {
                self.directory.doubt();
                SourceError::Unreachable {
                    what: "opening a stream of the topic",
                    reason: error.to_string(),
                }
            }
            error => SourceError::Broken {
                at: self.next,
                reason: error.to_string(),
            },
        }
    }
}

fn unreadable(first: u64, next: u64, damage: Damage, detail: String) -> SourceError {
    SourceError::Unreadable(Unreadable {
        first,
        next,
        damage,
        detail,
    })
}

/// Number of bytes of an answer that are whole batches, each of which begins where the one before ends, and the offset at which
/// the last one ends. The first may begin before `next`: a server answers with whole batches.
fn in_sequence(answer: &Answer, next: u64) -> (usize, u64) {
    let (mut rest, mut reached) = (&answer.batches[..], next);
    while let Framing::Whole(header) = batch::frame(rest) {
        let follows = header.first == reached || (header.first < next && reached == next);
        if !follows || header.next > answer.end {
            break;
        }
        reached = reached.max(header.next);
        rest.advance(header.size);
    }
    (answer.batches.len() - rest.len(), reached)
}

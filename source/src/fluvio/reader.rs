//! Reads one partition: whole batches in sequence, and what cannot be read named and stepped over.
//!
//! The server cuts its answers at `max_bytes`, often inside a batch. What is cut is asked for again, with as many bytes as its
//! header says that it needs if it is the first of its answer. Damage is only what is whole and cannot be read, or what comes the
//! same on two connections. Where a batch that cannot be read ends, its header does not say alone.

use std::io;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use fluvio::dataplane::link::ErrorCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::batch::{self, Chunk, Framing, Header, MAX_BATCH_BYTES, Records};
use super::directory::Directory;
use super::inflate::{self, InflateError};
use super::sequence::{self, Start};
use super::unit::{Fetch, NORMAL_BYTES, Unit};
use crate::{Damage, Record, SourceError, Unreadable};

/// Bytes that decompressed records may take without a permit for large batches.
const NORMAL_RECORDS_BYTES: usize = 2 * NORMAL_BYTES;

/// The find of a connection at an offset, for the next one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Earlier {
    /// Nothing that matters.
    Nothing,
    /// Something that looked damaged, and is if it comes the same again.
    Damaged,
    /// A batch that could not be read. Nothing else said where it ends, so that it is looked at again, with what is behind it.
    Unreadable,
}

/// A batch that cannot be read.
#[derive(Debug)]
struct Closed {
    damage: Damage,
    detail: String,
    /// The number of its records, if that can be told without its header.
    count: Option<u64>,
}

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
    /// The last of them is not the only one to say where it ends.
    agreed: bool,
    /// Bytes of its answer up to the end of the last of them.
    reach: usize,
    /// Records of the batch before `next` that have not been handed on.
    records: Option<Records>,
    /// The batch before `next`, if it cannot be read: what came before it is handed on first.
    found: Option<SourceError>,
    /// The find of the connection before this one at `next`.
    earlier: Earlier,
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
            agreed: false,
            reach: 0,
            records: None,
            found: None,
            earlier: Earlier::Nothing,
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
        let records = self.batches.slice(header.records_at()..header.size);
        let Some(opened) = self.open_records(header, records, may_wait).await else {
            return Ok(false);
        };
        self.batches.advance(header.size);
        match opened {
            Ok(records) => {
                self.next = header.next;
                self.records = Some(records);
                Ok(true)
            }
            Err(_) if self.batches.is_empty() && !self.agreed => {
                // What was asked for behind it may be too far.
                self.unit = None;
                self.look_behind();
                Ok(true)
            }
            Err(closed) => Err(self.go_on_at(header.next, closed)),
        }
    }

    /// Has the batch that was looked at last looked at once more, with the beginning of the one behind it.
    fn look_behind(&mut self) {
        self.earlier = Earlier::Unreadable;
        self.make_room_for(self.reach + batch::BASE_BYTES);
    }

    /// Opens a whole batch that may be wrong about its end. Returns false if it lies before `next`.
    async fn settle(
        &mut self,
        header: &Header,
        records: Bytes,
        successor: Option<u64>,
        end: u64,
        may_look: bool,
    ) -> Result<bool, SourceError> {
        let Some(opened) = self.open_records(header, records, true).await else {
            // Not reached: it may wait.
            return Err(self.malformed());
        };
        let closed = match opened {
            // A batch that is good says that the broker is wrong about the end.
            Ok(_) if header.next > end => return Err(self.malformed()),
            // Its records may have other offsets than it says.
            Ok(_) if header.first < self.next && successor.is_some_and(|s| s != header.next) => {
                Closed {
                    damage: Damage::Malformed,
                    detail: format!("a batch that says to begin at offset {}", header.first),
                    count: None,
                }
            }
            Ok(records) => {
                self.next = header.next;
                self.records = Some(records);
                self.max_bytes = self.max_bytes.min(NORMAL_BYTES);
                return Ok(true);
            }
            Err(closed) if closed.count.is_none() && successor.is_none() && may_look => {
                self.look_behind();
                return Ok(true);
            }
            Err(closed) => closed,
        };
        let next = sequence::behind(header, closed.count, successor, end);
        if next <= self.next {
            return Ok(false);
        }
        self.max_bytes = self.max_bytes.min(NORMAL_BYTES);
        Err(self.go_on_at(next, closed))
    }

    /// Leaves out what is before `next`.
    fn go_on_at(&mut self, next: u64, closed: Closed) -> SourceError {
        let first = std::mem::replace(&mut self.next, next);
        unreadable(first, next, closed.damage, closed.detail)
    }

    /// The records of a batch from `next` on; none if they are so many that this has to wait for others, and it may not.
    async fn open_records(
        &mut self,
        header: &Header,
        records: Bytes,
        may_wait: bool,
    ) -> Option<Result<Records, Closed>> {
        let inflated = self.inflate(header, records, may_wait).await?;
        let bytes = match inflated {
            Ok(bytes) => bytes,
            Err((damage, detail)) => {
                return Some(Err(Closed {
                    damage,
                    detail,
                    count: None,
                }));
            }
        };
        let opened = Records::new(header, bytes.clone(), self.next);
        Some(opened.map_err(|detail| Closed {
            damage: Damage::Malformed,
            detail,
            count: batch::count(&bytes),
        }))
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
        // Nothing is left in it, and the memory of the answer before goes with it.
        self.batches = Bytes::new();
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
        let mut batches = answer.batches;
        let length = batches.len();
        let cut = length >= self.max_bytes;
        // Until something at `next` has been judged: batches before that may be doubtful, too.
        let doubted = self.earlier == Earlier::Unreadable;
        if doubted {
            self.earlier = Earlier::Nothing;
        }
        loop {
            match sequence::start(&batches, answer.end, cut, self.next, doubted) {
                Start::Sequence {
                    bytes,
                    next,
                    agreed,
                } => {
                    self.earlier = Earlier::Nothing;
                    self.agreed = agreed;
                    self.reach = length - batches.len() + bytes.end;
                    self.batches = batches.slice(bytes);
                    if self.is_oversized() {
                        self.max_bytes = NORMAL_BYTES;
                    } else if unit.acknowledge(next).await.is_ok() {
                        self.unit = Some(unit);
                    }
                    return Ok(());
                }
                Start::Doubtful {
                    bytes,
                    header,
                    successor,
                } => {
                    self.earlier = Earlier::Nothing;
                    let behind = bytes.end;
                    let records = batches.slice(bytes.start + header.records_at()..behind);
                    self.reach = length - batches.len() + behind;
                    let may_look = cut && !doubted && self.max_bytes < MAX_BATCH_BYTES;
                    let end = answer.end;
                    if self
                        .settle(&header, records, successor, end, may_look)
                        .await?
                    {
                        return Ok(());
                    }
                    batches.advance(behind);
                }
                Start::Other { at } => {
                    batches.advance(at);
                    let before = length - batches.len();
                    return self.look_into(&batches, before, answer.end).await;
                }
            }
        }
    }

    /// Finds out what is at `next`, of which the answer has nothing whole. So many bytes of it lie before that.
    async fn look_into(
        &mut self,
        found: &[u8],
        before: usize,
        end: u64,
    ) -> Result<(), SourceError> {
        let confirmed = std::mem::replace(&mut self.earlier, Earlier::Damaged) == Earlier::Damaged;
        let framing = batch::frame(found);
        let successor = match &framing {
            Framing::Whole(header) => batch::base(&found[header.size..]),
            _ => None,
        };
        let successor = successor.filter(|base| (self.next + 1..=end).contains(base));
        match framing {
            Framing::Cut(header)
                if header.size <= MAX_BATCH_BYTES
                    && self.max_bytes < MAX_BATCH_BYTES.min(before + header.size) =>
            {
                self.earlier = Earlier::Nothing;
                self.make_room_for(before + header.size + batch::BASE_BYTES);
                if self.is_oversized() && self.permit.is_none() {
                    self.permit = self.permits.clone().acquire_owned().await.ok();
                }
                Ok(())
            }
            Framing::Short if before > 0 && self.max_bytes < MAX_BATCH_BYTES => {
                self.earlier = Earlier::Nothing;
                self.make_room_for(2 * self.max_bytes);
                Ok(())
            }
            Framing::Whole(header)
                if successor
                    .is_some_and(|base| self.next < header.first && base <= header.first) =>
            {
                let next = successor.unwrap_or(header.first);
                let detail = || format!("a batch that says to begin at offset {}", header.first);
                self.step_over(confirmed, next, Damage::Malformed, detail)
            }
            Framing::Whole(header) | Framing::Cut(header)
                if header.first > self.next
                    && (header.next <= end || (successor.is_some() && header.first <= end)) =>
            {
                if header.size <= found.len() {
                    // Where it begins is held against what is behind it.
                    self.make_room_for(before + header.size + batch::BASE_BYTES);
                }
                let detail = || format!("the broker continues at offset {}", header.first);
                self.step_over(confirmed, header.first, Damage::Missing, detail)
            }
            Framing::Whole(header) | Framing::Cut(header) | Framing::Endless(header)
                if header.next > end || header.next <= self.next =>
            {
                Err(self.malformed())
            }
            Framing::Cut(header) if header.size > MAX_BATCH_BYTES => {
                let detail = || format!("{} bytes, the limit is {MAX_BATCH_BYTES}", header.size);
                self.step_over(confirmed, header.next, Damage::TooLarge, detail)
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

    /// Has the next connection ask for so much, as far as a batch may be as large.
    fn make_room_for(&mut self, bytes: usize) {
        self.max_bytes = self.max_bytes.max(bytes.min(MAX_BATCH_BYTES));
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
        self.earlier = Earlier::Nothing;
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

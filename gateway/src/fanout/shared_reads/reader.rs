//! An open stream of the topic that is handed from one catching-up stream to another.

use std::time::Duration;
use std::vec;

use datastream_source::{Record, RecordStream, SourceError};
use futures_util::StreamExt as _;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout};

use super::Place;
use super::piece::Piece;
use crate::ingest::contiguous;

/// Bytes that one answer of the server may hold.
pub(super) const FETCH_BYTES: u32 = 256 << 10;
/// Time for which one stream of the topic may be open before others that wait get their turn.
const TURN: Duration = Duration::from_secs(2);

/// An open stream of one partition, and what is read but not decoded yet.
pub(super) struct Reader {
    /// Number of this reader among all.
    pub id: u64,
    partition: u32,
    next: u64,
    records: RecordStream,
    rest: vec::IntoIter<Record>,
    /// Offset that came instead of the one behind `rest`.
    hole: Option<u64>,
    opened: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Reader {
    /// A reader at this place, where `records` begins.
    pub(super) fn new(
        id: u64,
        (partition, next): Place,
        records: RecordStream,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            id,
            partition,
            next,
            records,
            rest: vec![].into_iter(),
            hole: None,
            opened: Instant::now(),
            _permit: permit,
        }
    }

    /// The place of the next record.
    pub(super) const fn place(&self) -> Place {
        (self.partition, self.next)
    }

    /// Returns whether its turn is not over yet.
    pub(super) fn has_time(&self) -> bool {
        self.opened.elapsed() < TURN
    }

    /// Reads on. The piece begins at [`Reader::place`], and has at least one record or a place that cannot be read.
    ///
    /// # Errors
    /// Nothing came for `stall`, the stream ended or failed, or records are missing. Not to be read on then.
    pub(super) async fn next_piece(
        &mut self,
        stall: Duration,
        largest_content: usize,
    ) -> Result<Piece, SourceError> {
        let first = self.next;
        while self.rest.as_slice().is_empty() {
            if let Some(offset) = self.hole {
                return Err(self.broken(format!("got offset {offset} next")));
            }
            let records = match timeout(stall, self.records.next()).await {
                Ok(Some(Ok(records))) => records,
                Ok(Some(Err(SourceError::Unreadable(place)))) if place.first <= first => {
                    if place.next <= first {
                        continue;
                    }
                    self.next = place.next;
                    return Ok(Piece::unreadable(self.partition, first, place));
                }
                Ok(Some(Err(error))) => return Err(error),
                Ok(None) => return Err(self.broken("the stream ended".to_owned())),
                Err(_) => return Err(self.broken(format!("no record for {stall:?}"))),
            };
            let (records, hole) = contiguous(first, records);
            self.rest = records.into_iter();
            self.hole = hole;
        }
        let piece = Piece::decode(self.partition, first, &mut self.rest, largest_content);
        self.next = piece.next;
        Ok(piece)
    }

    fn broken(&self, reason: String) -> SourceError {
        SourceError::Broken {
            at: self.next,
            reason,
        }
    }
}

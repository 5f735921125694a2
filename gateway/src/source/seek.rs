//! Where in a partition a point in time is, and whether there is a certain record. The log has no index by time, so the former
//! is a binary search.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::timeout;

use super::{Bounds, EventSource, Record, RecordStream, STALL, SourceError, contiguous};

const FETCH_BYTES: u32 = 64 << 10;
const MAX_FETCH_BYTES: u32 = 64 << 20;
const PATIENCE: Duration = STALL;

/// The first offset whose record the broker took at `time_ms` (milliseconds since 1970) or later; the end of the
/// partition if there is none. Time stamps that go back, as producers' clocks can, make it as inexact as they are.
///
/// # Errors
/// The log cannot be read.
pub(crate) async fn seek(
    source: &dyn EventSource,
    partition: u32,
    bounds: Bounds,
    time_ms: i64,
) -> Result<u64, SourceError> {
    // Everything before `low` is earlier; what is at `high` is not, if there is anything.
    let (mut low, mut high) = (bounds.start, bounds.end);
    while low < high {
        let middle = low + (high - low) / 2;
        let records = match read(source, partition, middle).await {
            Err(SourceError::Expired { available, .. }) if available > middle => {
                low = available;
                continue;
            }
            records => records?,
        };
        match records.iter().position(|r| r.timestamp_ms >= time_ms) {
            Some(0) => high = middle,
            Some(later) => return Ok(high.min(middle + later as u64)),
            None => low = middle + records.len() as u64,
        }
    }
    Ok(low)
}

/// Whether there is, or was, a record at this offset, by the word of whoever keeps the partition: what is known elsewhere of its
/// end is old for a moment, and for as long as a server is away that ended without a word.
///
/// # Errors
/// Nobody who keeps the partition answers.
pub(crate) async fn exists(
    source: &dyn EventSource,
    partition: u32,
    offset: u64,
) -> Result<bool, SourceError> {
    let mut answer = Ok(false);
    // An answer that is cut before its first record ends is an error, or looks like none.
    for max_bytes in [FETCH_BYTES, MAX_FETCH_BYTES] {
        answer = match first(source.peek(partition, offset, max_bytes).await).await {
            // Whoever opened the stream is there, and has nothing to send.
            Ok(records) if records.is_empty() => Ok(false),
            Ok(_) | Err(SourceError::Expired { .. }) => return Ok(true),
            Err(SourceError::Beyond { .. }) => return Ok(false),
            Err(error @ SourceError::Broken { .. }) => Err(error),
            Err(error) => return Err(error),
        };
    }
    answer
}

/// Some records from `offset` on, at least one.
async fn read(
    source: &dyn EventSource,
    partition: u32,
    offset: u64,
) -> Result<Vec<Record>, SourceError> {
    let mut max_bytes = FETCH_BYTES;
    loop {
        let records = first(source.replay(partition, offset, max_bytes).await).await?;
        let records = contiguous(offset, records).0;
        if !records.is_empty() {
            return Ok(records);
        }
        if max_bytes >= MAX_FETCH_BYTES {
            return Err(SourceError::Broken {
                at: offset,
                reason: "no record".to_owned(),
            });
        }
        // An answer that is cut before its first record ends looks like none.
        max_bytes *= 4;
    }
}

/// The first records of a stream; none if it ends or does not send any in time.
async fn first(stream: Result<RecordStream, SourceError>) -> Result<Vec<Record>, SourceError> {
    match timeout(PATIENCE, stream?.next()).await {
        Ok(Some(records)) => records,
        Ok(None) | Err(_) => Ok(vec![]),
    }
}

//! Where in a partition a point in time is, and whether there is a certain record. The log has no index by time, so the former
//! is a binary search.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::timeout;

use super::{Bounds, EventSource, Record, RecordStream, STALL, SourceError, contiguous};

const FETCH_BYTES: u32 = 64 << 10;
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
        let (first, records) = match read(source, partition, middle, high).await {
            Err(SourceError::Expired { available, .. }) if available > middle => {
                low = available;
                continue;
            }
            found => found?,
        };
        match records.iter().position(|r| r.timestamp_ms >= time_ms) {
            // What cannot be read has no time: it goes with what comes behind it.
            Some(0) => high = middle,
            None if records.is_empty() => high = middle,
            Some(later) => return Ok(high.min(first + later as u64)),
            None => low = first + records.len() as u64,
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
    let mut stream = match source.peek(partition, offset, FETCH_BYTES).await {
        Err(SourceError::Expired { .. }) => return Ok(true),
        Err(SourceError::Beyond { .. }) => return Ok(false),
        stream => stream?,
    };
    match first(&mut stream).await {
        // Whoever opened the stream is there, and has nothing to send.
        Ok(records) if records.is_empty() => Ok(false),
        // What cannot be read was there, too.
        Ok(_) | Err(SourceError::Expired { .. } | SourceError::Unreadable(_)) => Ok(true),
        Err(SourceError::Beyond { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Some records from `offset` on and the offset of the first; none if there are none that can be read before `until`.
async fn read(
    source: &dyn EventSource,
    partition: u32,
    mut offset: u64,
    until: u64,
) -> Result<(u64, Vec<Record>), SourceError> {
    let mut stream = source.replay(partition, offset, FETCH_BYTES).await?;
    while offset < until {
        match first(&mut stream).await {
            Err(SourceError::Unreadable(place)) if place.first <= offset => {
                offset = offset.max(place.next);
            }
            records => {
                let records = contiguous(offset, records?).0;
                if records.is_empty() {
                    return Err(SourceError::Broken {
                        at: offset,
                        reason: "no record".to_owned(),
                    });
                }
                return Ok((offset, records));
            }
        }
    }
    Ok((offset, vec![]))
}

/// The first records of a stream; none if it ends or does not send any in time.
async fn first(stream: &mut RecordStream) -> Result<Vec<Record>, SourceError> {
    match timeout(PATIENCE, stream.next()).await {
        Ok(Some(records)) => records,
        Ok(None) | Err(_) => Ok(vec![]),
    }
}

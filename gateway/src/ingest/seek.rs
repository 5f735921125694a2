//! The place of a point in time in a partition. The log has no index by time, so this is a binary search.

use datastream_source::{
    Bounds, EventSource, LOOK_BYTES, Record, RecordStream, SILENCE, SourceError,
};
use futures_util::StreamExt;
use tokio::time::timeout;

use super::contiguous;

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

/// Some records from `offset` on and the offset of the first; none if there are none that can be read before `until`.
async fn read(
    source: &dyn EventSource,
    partition: u32,
    mut offset: u64,
    until: u64,
) -> Result<(u64, Vec<Record>), SourceError> {
    let mut stream = source.replay(partition, offset, LOOK_BYTES).await?;
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
    match timeout(SILENCE, stream.next()).await {
        Ok(Some(records)) => records,
        Ok(None) | Err(_) => Ok(vec![]),
    }
}

//! The answer to whether a partition has a certain record, from a stream that was opened there.

use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::time::timeout;

use crate::{RecordStream, SourceError};

/// A stream that has something to send does so within this time. One that is silent for longer has nothing, has left it out, or is
/// dead.
pub const SILENCE: Duration = Duration::from_secs(1);

/// Bytes to ask for where one record is enough.
pub const LOOK_BYTES: u32 = 64 << 10;

/// Returns whether there is, or was, a record at the offset at which this stream was opened.
///
/// # Errors
/// Nobody who keeps the partition answers.
pub async fn has_record(opened: Result<RecordStream, SourceError>) -> Result<bool, SourceError> {
    let first = match opened {
        Ok(mut stream) => timeout(SILENCE, stream.next()).await,
        Err(error) => Ok(Some(Err(error))),
    };
    match first {
        Ok(Some(Ok(records))) => Ok(!records.is_empty()),
        // What cannot be read was there, too.
        Ok(Some(Err(SourceError::Expired { .. } | SourceError::Unreadable(_)))) => Ok(true),
        Ok(Some(Err(SourceError::Beyond { .. }))) => Ok(false),
        Ok(Some(Err(error))) => Err(error),
        // Whoever opened the stream is there, and has nothing to send.
        Ok(None) | Err(_) => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::stream;

    use super::*;
    use crate::{Damage, Record, Unreadable};

    fn unreachable() -> SourceError {
        SourceError::Unreachable {
            what: "opening",
            reason: "refused".to_owned(),
        }
    }

    async fn of(first: Option<Result<Vec<Record>, SourceError>>) -> Result<bool, SourceError> {
        let stream = stream::iter(first).chain(stream::pending()).boxed();
        has_record(Ok(stream)).await
    }

    #[tokio::test(start_paused = true)]
    async fn readable_damaged_and_expired_offsets_have_a_record() {
        let record = Record {
            offset: 7,
            timestamp_ms: 0,
            value: Bytes::new(),
        };
        let damaged = SourceError::Unreadable(Unreadable {
            first: 7,
            next: 8,
            damage: Damage::Cut,
            detail: String::new(),
        });
        let expired = SourceError::Expired {
            wanted: 7,
            available: 9,
        };
        for first in [Ok(vec![record]), Err(damaged), Err(expired.clone())] {
            assert_eq!(of(Some(first)).await, Ok(true));
        }
        assert_eq!(has_record(Err(expired)).await, Ok(true));
    }

    #[tokio::test(start_paused = true)]
    async fn no_answer_from_the_leader_means_no_record_and_from_others_an_error() {
        let beyond = SourceError::Beyond { wanted: 7 };
        assert_eq!(of(None).await, Ok(false));
        assert_eq!(of(Some(Ok(vec![]))).await, Ok(false));
        assert_eq!(of(Some(Err(beyond.clone()))).await, Ok(false));
        assert_eq!(has_record(Err(beyond)).await, Ok(false));
        assert_eq!(has_record(Err(unreachable())).await, Err(unreachable()));
    }
}

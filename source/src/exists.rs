//! The answer to whether a partition has a certain record, from streams that are opened there and behind it.

use std::future::Future;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::timeout;

use crate::{RecordStream, SourceError};

/// A stream that has something to send does so within this time. One that is silent for longer has nothing, has left it out, or is
/// dead.
pub const SILENCE: Duration = Duration::from_secs(1);

/// Bytes to ask for where one record is enough.
pub const LOOK_BYTES: u32 = 64 << 10;

/// Returns whether there is, or was, a record at this offset, by streams that `open` opens.
///
/// A server says nothing at the very end of its log, as one that is stuck says nothing anywhere. So it is asked for the offset
/// behind the record, too: of a log with the record it sends that, and of one without it says that the offset behind is beyond it.
///
/// # Errors
/// Nobody who keeps the partition answers, or not in time.
pub async fn has_record<O>(open: impl Fn(u64) -> O, offset: u64) -> Result<bool, SourceError>
where
    O: Future<Output = Result<RecordStream, SourceError>>,
{
    let asked = [offset, offset.saturating_add(1)];
    let mut answers: FuturesUnordered<_> =
        asked.into_iter().map(|asked| answer(open(asked))).collect();
    let mut failed = None;
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) => (),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    Err(failed.unwrap_or_else(|| SourceError::Unreachable {
        what: "asking for a record of the topic",
        reason: format!("no answer within {SILENCE:?}"),
    }))
}

/// Returns whether a stream begins with a record, or `None` if it says nothing.
async fn answer(
    opening: impl Future<Output = Result<RecordStream, SourceError>>,
) -> Result<Option<bool>, SourceError> {
    let first = match opening.await {
        Ok(mut stream) => timeout(SILENCE, stream.next()).await.ok().flatten(),
        Err(error) => Some(Err(error)),
    };
    match first {
        Some(Ok(records)) => Ok((!records.is_empty()).then_some(true)),
        // What cannot be read was there, too.
        Some(Err(SourceError::Expired { .. } | SourceError::Unreadable(_))) => Ok(Some(true)),
        Some(Err(SourceError::Beyond { .. })) => Ok(Some(false)),
        Some(Err(error)) => Err(error),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use bytes::Bytes;
    use futures_util::stream;
    use tokio::time::Instant;

    use super::*;
    use crate::{Damage, Record, Unreadable};

    fn unreachable() -> SourceError {
        SourceError::Unreachable {
            what: "opening",
            reason: "refused".to_owned(),
        }
    }

    fn record(offset: u64) -> Vec<Record> {
        vec![Record {
            offset,
            timestamp_ms: 0,
            value: Bytes::new(),
        }]
    }

    /// The answer about offset 7 of a server whose streams begin with these, there and behind it.
    async fn of(
        there: Option<Result<Vec<Record>, SourceError>>,
        behind: Option<Result<Vec<Record>, SourceError>>,
    ) -> Result<bool, SourceError> {
        let open = |offset| {
            let first = match offset {
                7 => there.clone(),
                8 => behind.clone(),
                _ => panic!("asked for {offset}"),
            };
            ready(Ok(stream::iter(first).chain(stream::pending()).boxed()))
        };
        has_record(open, 7).await
    }

    async fn of_a_refusal(error: SourceError) -> Result<bool, SourceError> {
        has_record(|_| ready(Err(error.clone())), 7).await
    }

    #[tokio::test(start_paused = true)]
    async fn readable_damaged_and_expired_offsets_have_a_record() {
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
        for first in [Ok(record(7)), Err(damaged), Err(expired.clone())] {
            assert_eq!(of(Some(first), None).await, Ok(true));
        }
        assert_eq!(of(None, Some(Ok(record(8)))).await, Ok(true));
        assert_eq!(of_a_refusal(expired).await, Ok(true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_log_that_ends_before_the_record_has_none() {
        let beyond = SourceError::Beyond { wanted: 8 };
        assert_eq!(of(None, Some(Err(beyond.clone()))).await, Ok(false));
        assert_eq!(
            of(Some(Ok(vec![])), Some(Err(beyond.clone()))).await,
            Ok(false)
        );
        assert_eq!(of_a_refusal(beyond).await, Ok(false));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_no_answer_and_lasts_a_second() {
        let asked = Instant::now();
        let silent = of(None, None).await;
        assert!(
            matches!(silent, Err(SourceError::Unreachable { .. })),
            "{silent:?}"
        );
        assert_eq!(asked.elapsed(), SILENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_of_nobody_who_keeps_the_partition_is_an_error() {
        assert_eq!(of_a_refusal(unreachable()).await, Err(unreachable()));
        assert_eq!(of(None, Some(Err(unreachable()))).await, Err(unreachable()));
        // One that answers is enough.
        let found = of(Some(Ok(record(7))), Some(Err(unreachable()))).await;
        assert_eq!(found, Ok(true));
        let beyond = Some(Err(SourceError::Beyond { wanted: 8 }));
        assert_eq!(of(Some(Err(unreachable())), beyond).await, Ok(false));
    }
}

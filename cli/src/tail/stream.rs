//! Follows one stream, and reports what happens on it.

use datastream_client::{Error, EventStream, Update};
use tokio::sync::mpsc;

/// A report of what happens on a stream.
#[derive(Debug)]
pub(super) enum Report {
    /// The stream goes on.
    Update(Update),
    /// The stream is over: its `seq_end` was reached.
    Ended,
    /// The stream is over: trying again would not help.
    Failed(Error),
}

/// Follows the stream until it is over, or nobody takes its reports, which carry `number`.
pub(super) async fn follow(
    mut stream: EventStream,
    number: usize,
    reports: mpsc::Sender<(usize, Report)>,
) {
    loop {
        let next = tokio::select! {
            biased;
            () = reports.closed() => break,
            next = stream.next_update() => next,
        };
        let report = match next {
            Some(Ok(update)) => Report::Update(update),
            Some(Err(error)) => Report::Failed(error),
            None => Report::Ended,
        };
        let is_last = !matches!(report, Report::Update(_));
        if reports.send((number, report)).await.is_err() || is_last {
            break;
        }
    }
    stream.close().await;
}

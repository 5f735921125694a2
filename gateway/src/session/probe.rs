//! Finding out whether the client of a stream is still there, when another one wants the stream.

use std::time::Duration;

use datastream_protocol::close::CloseCause;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::fanout::SendQueue;

/// Time within which a client must answer the heartbeat that it is asked with.
const PATIENCE: Duration = Duration::from_secs(5);

/// Result of probing the client of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Probed {
    /// It answers.
    Answers,
    /// It did not answer in time: its stream was closed.
    Silent,
    /// There is no such stream there.
    NotHeld,
}

/// Asks the client with a heartbeat. One that gives no sign of life in time is closed.
pub(super) async fn probe(queue: &SendQueue) -> Probed {
    let Some(answer) = queue.probe() else {
        // So many ask that somebody will know soon: for now it counts as being there.
        return Probed::Answers;
    };
    match timeout(PATIENCE, answer).await {
        Ok(Ok(())) => Probed::Answers,
        Ok(Err(_)) => Probed::NotHeld,
        Err(_) => {
            queue.abort(CloseCause::TakenOver);
            Probed::Silent
        }
    }
}

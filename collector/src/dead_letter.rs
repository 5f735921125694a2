//! The file for events that a store does not take: set aside with the reason, so that those behind them are stored.

use std::fs::{self, File};
use std::path::PathBuf;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::task::spawn_blocking;

use super::event::Event;
use super::store::{StoreError, add_line, one_line};

/// The file, JSON lines.
#[derive(Clone, Debug)]
pub(super) struct DeadLetters(PathBuf);

/// One of its lines.
#[derive(Serialize)]
struct Letter<'a> {
    stream: &'a str,
    seq: &'a str,
    /// The store that does not take it.
    store: &'a str,
    /// The store's error message.
    reason: &'a str,
    received_at: Timestamp,
    event: &'a RawValue,
}

impl DeadLetters {
    /// The file with this path; made when there is a first event for it.
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Makes sure that the file can be made and written.
    ///
    /// # Errors
    /// It cannot.
    pub(super) fn check(&self) -> Result<(), String> {
        let path = &self.0;
        let is_new = !path.exists();
        let opened = File::options().create(true).append(true).open(path);
        opened.map_err(|e| format!("deadLetter {}: {e}", path.display()))?;
        if is_new {
            // It is made when there is something for it.
            let _ = fs::remove_file(path);
        }
        Ok(())
    }

    /// Sets an event aside, for good.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) async fn add(
        &self,
        stream: &str,
        store: &str,
        event: &Event,
        reason: &str,
    ) -> Result<(), StoreError> {
        let path = &self.0;
        let at = |e: String| StoreError::lasting(format!("deadLetter {}: {e}", path.display()));
        let json = one_line(event.body.as_str());
        let raw: &RawValue = serde_json::from_str(&json).map_err(|e| at(e.to_string()))?;
        let line = serde_json::to_string(&Letter {
            stream,
            seq: &event.seq,
            store,
            reason,
            received_at: event.received,
            event: raw,
        });
        let line = line.map_err(|e| at(e.to_string()))?;
        let file = path.clone();
        match spawn_blocking(move || add_line(&file, &line)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(at(error.to_string())),
            Err(error) => Err(at(error.to_string())),
        }
    }
}

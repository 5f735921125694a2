//! The log that holds committed positions.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::{EventSource, SourceError};

/// The topic that holds the cursors of streams of `topic`, unless somebody names another.
pub fn cursors_topic(topic: &str) -> String {
    format!("{topic}-cursors")
}

/// The topic that holds the cursors: a log of one partition that can be appended to.
pub trait CursorLog: Send + Sync + 'static {
    /// Reads it.
    fn source(&self) -> Arc<dyn EventSource>;

    /// Makes the topic if it is missing. Done if somebody else was faster.
    fn ensure(&self) -> BoxFuture<'_, Result<(), SourceError>>;

    /// Appends one record; done once it is stored. After an error it may be stored all the same.
    fn append(&self, record: Bytes) -> BoxFuture<'_, Result<(), SourceError>>;

    /// Bytes that the topic keeps at least before it drops the oldest records.
    fn kept_bytes(&self) -> u64;
}

//! The source of events: a partitioned log that can be read from any offset ([`EventSource`]), and one that can be appended to
//! ([`CursorLog`]). [`fluvio`] has both.

mod cursor_log;
mod damage;
mod exists;
pub mod fluvio;

pub use cursor_log::{CursorLog, cursors_topic};
pub use damage::{Damage, Unreadable};
pub use exists::{LOOK_BYTES, SILENCE, has_record};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

/// The largest record that is read whole, in bytes. Of a larger one so many bytes are read, and one more, which marks it.
pub const MAX_RECORD_BYTES: usize = 1 << 20;

/// One record of the log.
#[derive(Clone, Debug)]
pub struct Record {
    /// Offset in its partition; a partition's offsets have no holes.
    pub offset: u64,
    /// Time at which the broker took it, in milliseconds since 1970 (0 or less: unknown).
    pub timestamp_ms: i64,
    /// Value that the producer wrote.
    pub value: Bytes,
}

/// Bounds of the records that a partition holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// The first offset that is still there.
    pub start: u64,
    /// The offset after the last record that readers may see.
    pub end: u64,
}

/// Reason why the log could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// No server answers there in time, or the connection broke.
    #[error("{what}: {reason}")]
    Unreachable {
        /// The attempt that failed.
        what: &'static str,
        /// Description of the cause.
        reason: String,
    },
    /// The topic does not exist.
    #[error("topic {0:?} does not exist")]
    NoTopic(String),
    /// The offset has been removed by retention.
    #[error("offset {wanted} is no longer in the log, which starts at {available}")]
    Expired {
        /// The offset asked for.
        wanted: u64,
        /// The first one that is there.
        available: u64,
    },
    /// The log does not reach that far.
    #[error("offset {wanted} is beyond the end of the log")]
    Beyond {
        /// The offset asked for.
        wanted: u64,
    },
    /// The answer broke off, was out of order or could not be read.
    #[error("reading at offset {at}: {reason}")]
    Broken {
        /// The offset that was expected next.
        at: u64,
        /// Description of the fault.
        reason: String,
    },
    /// A part of the log cannot be read. This is the one error after which a stream continues, behind that part.
    #[error("{0}")]
    Unreadable(Unreadable),
}

/// Records as they are read, several at a time.
pub type RecordStream = BoxStream<'static, Result<Vec<Record>, SourceError>>;

/// Ends of the certificates that connections to a source are made with, in seconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CertificateEnds {
    /// End of the certificate that the source is shown.
    pub client: Option<i64>,
    /// End of the one that the source has shown last.
    pub server: Option<i64>,
}

/// A partitioned log. What it returns is not trusted to be complete: readers count offsets.
pub trait EventSource: Send + Sync + 'static {
    /// Names the source and its place, for logs and `/readyz`.
    fn describe(&self) -> String;

    /// Bounds of every partition, partition 0 first. One element per partition. The ends may be old: a log may reach further.
    fn bounds(&self) -> BoxFuture<'_, Result<Vec<Bounds>, SourceError>>;

    /// Opens a stream for the live path that starts at `from` and never ends by itself. Must be polled all the time.
    /// `max_bytes` is how much one answer of the server may hold; where a batch needs more, the stream asks for more.
    fn tail(
        &self,
        partition: u32,
        from: u64,
        max_bytes: u32,
    ) -> BoxFuture<'_, Result<RecordStream, SourceError>>;

    /// Opens a stream for catching up: as [`EventSource::tail`], but on a connection of its own, so that a reader
    /// that stops polling cannot hold up the live path. To be dropped when enough has been read.
    fn replay(
        &self,
        partition: u32,
        from: u64,
        max_bytes: u32,
    ) -> BoxFuture<'_, Result<RecordStream, SourceError>>;

    /// Returns whether there is, or was, a record at this offset, according to the leader of the partition: the ends that
    /// [`EventSource::bounds`] returns are stale for a moment, and for as long as a server is away that vanished. Records that
    /// readers may not see yet count, too: a server that was killed holds back its last ones when it is there again, although readers
    /// have seen them, until it gets the next one. A source that never holds anything back need not do more than look. An error if
    /// nobody who keeps the partition answers, or not in time.
    fn exists(&self, partition: u32, offset: u64) -> BoxFuture<'_, Result<bool, SourceError>> {
        let open = move |offset| self.replay(partition, offset, LOOK_BYTES);
        Box::pin(has_record(open, offset))
    }

    /// Ends of the certificates in use, if there are any.
    fn certificate_ends(&self) -> CertificateEnds {
        CertificateEnds::default()
    }
}

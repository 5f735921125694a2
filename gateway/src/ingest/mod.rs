//! The reading of the log: the live tail of each partition, what is known of its state, and the search for a time.

mod monitor;
mod seek;
mod status;
mod tail;

pub(crate) use monitor::{first_bounds, monitor};
pub(crate) use seek::seek;
pub(crate) use status::{PartitionStatus, SourceStatus};
pub(crate) use tail::{Batch, BatchSink, STALL, STALL_MAX, Tail, contiguous};

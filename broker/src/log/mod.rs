//! Topics, partitions, record batches and consumer offsets.

mod batch;
mod journal;
mod partition;
mod store;

pub(crate) use store::{Store, UNIT_ID};

//! The data plane of datastream: consumes a Fluvio topic, filters, and pushes matching events over WebSockets.
//!
//! One event, one direction: `ingest` (a task per partition) → decode ([`event`]) → route and fan out
//! (`pipeline`) → a bounded queue per stream → socket writer (`stream`). Control moves sideways: [`config`] swaps
//! a whole route table in, and streams are notified of what has changed for them.

pub mod config;
mod cursor;
mod descriptors;
pub mod event;
mod gateway;
mod http;
mod ingest;
mod metrics;
pub mod ownership;
mod pipeline;
mod settings;
mod stream;

pub use gateway::{Dependencies, Gateway};
pub use http::AdminExtension;
pub use settings::{LagLimit, Settings};
pub use stream::StreamCount;

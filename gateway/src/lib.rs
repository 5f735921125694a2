//! The data plane of datastream: consumes a Fluvio topic, filters, and pushes matching events over WebSockets.
//!
//! One event, one direction: [`source`] (a task per partition) → decode ([`event`]) → route and fan out
//! (`pipeline`) → a bounded mailbox per stream → socket writer (`stream`). Control moves sideways: [`config`] swaps
//! a whole route table in, and streams are told what has changed for them.

pub mod config;
mod cursor;
pub mod event;
pub mod fleet;
mod gateway;
mod http;
mod metrics;
mod pipeline;
pub mod position;
mod settings;
pub mod source;
mod stream;

pub use cursor::{CursorLog, cursors_topic};
pub use gateway::{Gateway, Parts};
pub use http::AdminExtension;
pub use settings::{LagLimit, Settings};
pub use stream::Load;

/// The largest frame that any gateway sends, in bytes of the whole text message `LEN|BODY`: the most that the limit of a
/// gateway can be set to, and what every client of this project takes.
pub const LARGEST_FRAME: usize = 16 << 20;

//! The data plane of datastream: consumes a Fluvio topic, filters, and pushes matching events over WebSockets and HTTP.
//!
//! One event, one direction: `ingest` (a task per partition) → decode ([`event`]) → route and fan out
//! (`fanout`) → a bounded queue per stream → `session` → `transport` → socket. Control moves sideways: [`config`] swaps
//! a whole route table in, and sessions learn what has changed for them.

mod access;
mod admin;
mod audit;
pub mod config;
mod counted_read;
mod cursor;
mod descriptors;
pub mod event;
mod fanout;
mod gateway;
mod guarded_bytes;
mod header_list;
mod http;
mod ingest;
mod limits;
mod memory;
mod metrics;
pub mod ownership;
mod proxies;
mod session;
mod settings;
mod tcp;
mod transport;

pub use access::{Credential, QueryKeys, Refusal, StreamRequest, TokenArgs, TokenSettings};
pub use admin::AdminExtension;
pub use audit::AuditTarget;
pub use descriptors::descriptors_for;
pub use fanout::{GATHERING, WRITE_BYTES};
pub use gateway::{Dependencies, Gateway};
pub use limits::{Limits, PerScope};
pub use memory::{MemoryBudget, TlsMemory};
pub use proxies::ProxySettings;
pub use session::StreamCount;
pub use settings::{LagLimit, Settings};
#[cfg(feature = "test-util")]
pub use transport::websocket::echo;

//! One WebSocket: who may have it, what flows over it, and why it ends.

mod drain;
mod flood;
mod outgoing;
mod probe;
mod registry;
mod request;
mod session;

pub(crate) use drain::drain;
pub(crate) use outgoing::Shared;
pub(crate) use probe::Probed;
pub use registry::StreamCount;
pub(crate) use registry::{Guard, Progress, Registration, Registry};
pub(crate) use request::{Refusal, StreamRequest};
pub(crate) use session::{Session, websocket_config};

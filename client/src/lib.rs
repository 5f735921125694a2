//! A client of datastream's event streams: one [`Connection`] with its heartbeats, why there is none or no more ([`Failure`]),
//! and when to connect again ([`ReconnectPolicy`]). The protocol is `docs/protocol.md`.

mod connection;
mod dial;
mod reconnect;
mod refusal;
mod trust;
mod unreadable;

pub use connection::{Body, Connection, Failure, Incoming, inquire};
pub use reconnect::{Next, ReconnectPolicy};
pub use refusal::Refusal;
pub use trust::Trust;
pub use unreadable::Unreadable;

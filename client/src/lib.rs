//! A client of datastream's event streams: one [`Connection`] with its heartbeats, why there is none or no more ([`Failure`]),
//! and when to connect again ([`ReconnectPolicy`]). The protocol is `docs/protocol.md`.

mod connection;
mod credentials;
mod dial;
mod reconnect;
mod refusal;
mod unreadable;

pub use connection::{Body, Connection, Failure, Incoming, inquire};
pub use credentials::{CredentialFiles, Credentials};
pub use reconnect::{Next, ReconnectPolicy};
pub use refusal::Refusal;
pub use unreadable::Unreadable;

//! TLS by the provider of the whole process ([decision 3](../../../docs/decisions/0003-one-tls-provider.md)): whom clients trust,
//! the certificates of servers and clients, and the files that these are read from.

#[cfg(any(test, feature = "test-util"))]
mod authority;
mod client;
mod fault;
mod peer_certificate;
mod pem;
mod server;
mod shared;
mod watched;

#[cfg(any(test, feature = "test-util"))]
pub use authority::{Authority, DISTANT_YEAR, shared_identity};
pub use client::{Client, client_config, client_of};
pub use fault::Fault;
pub use peer_certificate::PeerCertificate;
pub use pem::{Identity, IdentityFiles, Pem, end_of};
pub use server::{ClientCertificates, MaybeTls, ServerFiles, ServerTls, speaks_tls};
pub use shared::{SHARED_NAME, SharedTls};
pub use watched::{Source, Watched};

//! TLS by the provider of the whole process ([decision 3](../../../docs/decisions/0003-one-tls-provider.md)): whom clients trust,
//! and the certificates of servers.

mod client;
mod server;

pub use client::client_config;
pub use server::{ServerFiles, ServerTls};

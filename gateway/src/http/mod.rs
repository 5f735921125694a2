//! HTTP: connections, the listener for clients with `/stream` and the console, and answers.

mod bounded;
mod connection;
mod connections;
mod console;
mod range;
mod respond;
mod socket;
mod stream;
mod write_limit;

pub(crate) use connection::{Front, Handler, RemoteAddress, serve};
pub(crate) use connections::Connections;
pub(crate) use respond::{
    Answer, READ_ONLY, json, method_not_allowed, not_found, problem, reads, respond,
};
pub(crate) use socket::ListenerTls;
pub(crate) use stream::StreamServer;

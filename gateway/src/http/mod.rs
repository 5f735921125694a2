//! HTTP: connections, the listener for clients with `/stream` and the console, and answers.

mod bounded;
mod carrier;
mod connection;
mod connections;
mod console;
mod contracts;
mod events;
mod format;
mod frames;
mod http2_reads;
mod opening;
mod pending;
mod range;
mod respond;
mod response_tasks;
mod socket;
mod stream;
mod write_limit;

pub(crate) use connection::{Front, Handler, Http2Limits, RemoteAddress, serve};
pub(crate) use connections::Connections;
pub(crate) use respond::{
    Answer, READ_ONLY, json, method_not_allowed, not_found, problem, reads, respond, whole,
};
pub(crate) use socket::{HTTP1, HTTP2, ListenerTls};
pub(crate) use stream::StreamServer;

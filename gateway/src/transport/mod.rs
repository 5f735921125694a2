//! Ways to a client: each dialect's wire format, below the sessions that all of them share.

pub(crate) mod websocket;

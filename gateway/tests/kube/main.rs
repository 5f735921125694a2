//! Tests of what the gateway asks of the API server, and of what it makes of the answers, scenario by scenario.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod api;
#[path = "../common/mod.rs"]
mod common;
mod lease;
mod peers;
mod routes;

//! `datastream collect`, the real binary: against `datastream dev`, against scripted servers, and into a real PostgreSQL.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod collector;
mod database;
mod kills;
mod outages;
mod place;
mod protocol;
mod start;
mod streams;
#[path = "../support/mod.rs"]
mod support;
mod traffic;

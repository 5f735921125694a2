//! `datastream collect`, the real binary: against `datastream dev`, against scripted servers, and into a real PostgreSQL.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod collector;
mod database;
mod earlier;
mod half_open;
mod into_postgres;
mod kills;
mod misplaced;
mod outages;
mod place;
mod poison;
mod protocol;
mod queries;
mod start;
mod streams;
#[path = "../support/mod.rs"]
mod support;
mod traffic;

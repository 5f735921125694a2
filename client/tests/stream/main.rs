//! Streams against a server that misbehaves in every way.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod acknowledge;
mod gateway;
mod refusals;
mod resume;
mod silence;

//! The data plane of datastream.

pub mod config;

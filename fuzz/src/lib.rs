//! Fuzz targets: functions that take any bytes, and panic if the code under test breaks a promise on them.
//!
//! Each has a program of libFuzzer in `fuzz_targets`, which `make fuzz` runs, and a corpus of inputs in `corpus`, which the test
//! `replay` goes through. Bytes that are no input of the code under test (a text that is not UTF-8, say) are passed over.

// A target reports a finding by a panic.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc
)]

pub mod access;
pub mod bucket;
pub mod frame;
mod json;
pub mod manifest;
pub mod pattern;
pub mod proxy;
pub mod query;
pub mod record;
pub mod scan;
pub mod seq;

/// A target: takes an input, and panics where an invariant is broken.
pub type Target = fn(&[u8]);

/// Every target, by the name of its program and of its corpus.
pub const TARGETS: [(&str, Target); 10] = [
    ("access", access::run),
    ("bucket", bucket::run),
    ("frame", frame::run),
    ("manifest", manifest::run),
    ("pattern", pattern::run),
    ("proxy", proxy::run),
    ("query", query::run),
    ("record", record::run),
    ("scan", scan::run),
    ("seq", seq::run),
];

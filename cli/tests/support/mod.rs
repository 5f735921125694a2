//! Code that several test programs need.
#![allow(dead_code)] // each of them uses a part of it

pub(crate) mod dev;
pub(crate) mod group;
pub(crate) mod script;
pub(crate) mod topic;

use std::time::Duration;

/// Time for which a test waits for what should come at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

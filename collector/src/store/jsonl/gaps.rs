//! The list of gaps.

use std::io;
use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;

use crate::store::{Gap, lines};

/// A line of the list.
#[derive(Serialize)]
struct Missed<'a> {
    seen_at: Timestamp,
    /// The first number that was asked for.
    asked_for: &'a str,
    /// The first number that was left.
    went_on_at: &'a str,
}

/// Adds a gap to the list.
pub(super) fn record(path: &Path, gap: &Gap) -> io::Result<()> {
    let went_on_at = gap.went_on_at();
    let line = serde_json::to_string(&Missed {
        seen_at: Timestamp::now(),
        asked_for: &gap.from,
        went_on_at: went_on_at.as_str(),
    })?;
    lines::add(path, &line)
}

//! What is remembered beside the events: positions and gaps.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use datastream_gateway::position::{Position, Seq};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::sync_folder;
use crate::collect::store::Gap;

/// The file with a position.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Remembered {
    /// The number to go on with.
    seq_start: String,
}

/// A line of the file with gaps.
#[derive(Serialize)]
struct Missed<'a> {
    seen_at: Timestamp,
    /// The first number that was asked for.
    asked_for: &'a str,
    /// The first number that was left.
    went_on_at: &'a str,
}

/// The position that was remembered, if any was.
pub(super) fn load(path: &Path) -> io::Result<Option<Position>> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text?,
    };
    let remembered: Remembered = serde_json::from_str(&text)?;
    let position = Seq::start_of(&remembered.seq_start);
    position.map(Some).map_err(io::Error::other)
}

/// Remembers a position. The file is whole at any moment.
pub(super) fn save(path: &Path, position: &Position) -> io::Result<()> {
    let seq_start = Seq::starting_at(position).to_string();
    let text = serde_json::to_string(&Remembered { seq_start })?;
    let new = path.with_extension("new");
    let mut file = fs::File::create(&new)?;
    writeln!(file, "{text}")?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// Adds a gap to the list.
pub(super) fn record_gap(path: &Path, gap: &Gap, went_on_at: &Seq) -> io::Result<()> {
    let line = serde_json::to_string(&Missed {
        seen_at: Timestamp::now(),
        asked_for: &gap.from,
        went_on_at: went_on_at.as_str(),
    })?;
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(format!("{line}\n").as_bytes())?;
    file.sync_all()
}

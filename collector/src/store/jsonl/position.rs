//! The file with the position that no line says.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use datastream_protocol::position::{Position, Seq};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::store::lines::sync_folder;

/// A position, and what it rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Remembered {
    /// Everything before this is stored …
    pub position: Position,
    /// … if these lines are.
    pub lines: Option<Lines>,
}

/// The lines that were written when a position was remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lines {
    /// The name of their file.
    pub file: String,
    /// Position of a stream that has seen the last of them.
    pub last: Position,
    /// Everything before this is stored without them.
    pub before: Option<Position>,
}

impl Remembered {
    /// Returns the position that is stored for certain where the newest file has this name, and its events bring a stream there.
    pub(super) fn stored(&self, newest: Option<(&str, &Position)>) -> Option<&Position> {
        match &self.lines {
            Some(lines)
                if !newest.is_some_and(|n| n.0 == lines.file && n.1.covers(&lines.last)) =>
            {
                lines.before.as_ref()
            }
            _ => Some(&self.position),
        }
    }

    /// Returns the position that is stored without the lines.
    pub(super) fn before(&self) -> Option<&Position> {
        match &self.lines {
            Some(lines) => lines.before.as_ref(),
            None => Some(&self.position),
        }
    }
}

/// The file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    /// The number to resume with.
    seq_start: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    /// The number to resume with after the last line of the file.
    last: Option<String>,
    /// The number to resume with if the file does not have that line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<String>,
    /// The checksum of the rest: a wrong number would lose events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    checksum: Option<String>,
}

impl Content {
    fn of(remembered: &Remembered) -> Self {
        let seq = |position: &Position| Seq::starting_at(position).to_string();
        let lines = remembered.lines.as_ref();
        let mut content = Self {
            seq_start: seq(&remembered.position),
            file: lines.map(|l| l.file.clone()),
            last: lines.map(|l| seq(&l.last)),
            before: lines.and_then(|l| l.before.as_ref()).map(seq),
            checksum: None,
        };
        content.checksum = Some(content.checksum());
        content
    }

    fn checksum(&self) -> String {
        let fields = (&self.seq_start, &self.file, &self.last, &self.before);
        hex::encode(&Sha256::digest(format!("{fields:?}"))[..8])
    }

    fn remembered(self) -> Result<Remembered, String> {
        if let Some(checksum) = &self.checksum
            && *checksum != self.checksum()
        {
            return Err("its checksum is wrong".to_owned());
        }
        let position = |seq: &String| Seq::start_of(seq).map_err(|e| format!("{seq:?}: {e}"));
        let lines = match (self.file, &self.last) {
            (Some(file), Some(last)) => Some(Lines {
                file,
                last: position(last)?,
                before: self.before.as_ref().map(position).transpose()?,
            }),
            _ => None,
        };
        Ok(Remembered {
            position: position(&self.seq_start)?,
            lines,
        })
    }
}

/// The position that was remembered, if any was; or what is wrong with the file.
pub(super) fn load(path: &Path) -> io::Result<Result<Option<Remembered>, String>> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Ok(None)),
        bytes => bytes?,
    };
    let content: Result<Content, _> = serde_json::from_slice(&bytes);
    let remembered = content
        .map_err(|e| e.to_string())
        .and_then(Content::remembered);
    Ok(remembered.map(Some))
}

/// Remembers a position. The file is whole at any moment.
pub(super) fn save(path: &Path, remembered: &Remembered) -> io::Result<()> {
    let text = serde_json::to_string(&Content::of(remembered))?;
    let new = path.with_extension("new");
    let mut file = fs::File::create(&new)?;
    writeln!(file, "{text}")?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    path.parent().map_or(Ok(()), sync_folder)
}

//! The names of a stream's files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

const SUFFIX: &str = ".jsonl";

/// Names files of one stream. Those with events sort by the time when they were begun.
pub(super) struct Files {
    dir: PathBuf,
    stream: String,
}

impl Files {
    pub(super) fn new(dir: &Path, stream: &str) -> Self {
        Self {
            dir: dir.to_owned(),
            stream: stream.to_owned(),
        }
    }

    pub(super) fn describe(&self) -> String {
        format!("{}/{}-*{SUFFIX}", self.dir.display(), self.stream)
    }

    pub(super) fn lock(&self) -> PathBuf {
        self.beside("lock")
    }

    pub(super) fn position(&self) -> PathBuf {
        self.beside("position.json")
    }

    pub(super) fn gaps(&self) -> PathBuf {
        self.beside("gaps.jsonl")
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        self.dir.join(format!("{}.{suffix}", self.stream))
    }

    /// The files with events, newest first, and when they were begun.
    pub(super) fn list(&self) -> io::Result<Vec<(PathBuf, Timestamp)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let begun = entry.file_name().to_str().and_then(|name| {
                let time = name.strip_prefix(&self.stream)?.strip_prefix('-')?;
                parse(time.strip_suffix(SUFFIX)?)
            });
            if let Some(begun) = begun {
                files.push((entry.path(), begun));
            }
        }
        files.sort_by_key(|(_, begun)| std::cmp::Reverse(*begun));
        Ok(files)
    }

    /// The file to begin now: later than the newest, even if the clock went back.
    pub(super) fn next(&self, newest: Option<Timestamp>) -> (PathBuf, Timestamp) {
        let after = newest.map(|n| n.saturating_add(SignedDuration::from_millis(1)));
        let now = Timestamp::now();
        let begun = match after {
            Some(Ok(after)) => now.max(after),
            _ => now,
        };
        let name = format!("{}-{}{SUFFIX}", self.stream, format(begun));
        (self.dir.join(name), begun)
    }
}

/// The name of a file in its folder.
pub(super) fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// Formats a time like `20261124T204501.123Z`.
fn format(time: Timestamp) -> String {
    let time = time.to_zoned(TimeZone::UTC);
    format!(
        "{}.{:03}Z",
        time.strftime("%Y%m%dT%H%M%S"),
        time.millisecond()
    )
}

fn parse(text: &str) -> Option<Timestamp> {
    let (seconds, millis) = text.strip_suffix('Z')?.split_once('.')?;
    if millis.len() != 3 {
        return None;
    }
    let millis: i64 = millis.parse().ok()?;
    let time = strtime::parse("%Y%m%dT%H%M%S", seconds).ok()?;
    let time = time.to_datetime().ok()?.to_zoned(TimeZone::UTC).ok()?;
    let time = time.timestamp() + SignedDuration::from_millis(millis);
    (format(time) == text).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_sort_by_time_and_belong_to_one_stream() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::new(folder.path(), "a");
        let (first, begun) = files.next(None);
        let (second, later) = files.next(Some(begun));
        // Names have milliseconds, so that is what may be compared.
        assert!(second > first && later > begun);
        for path in [&first, &second] {
            fs::write(path, "").unwrap();
        }
        for foreign in [
            "a-b-20261124T204501.123Z.jsonl",
            "a-2026.jsonl",
            "a.gaps.jsonl",
            "b-20261124T204501.123Z.jsonl",
        ] {
            fs::write(folder.path().join(foreign), "").unwrap();
        }
        let listed: Vec<_> = files.list().unwrap().into_iter().map(|f| f.0).collect();
        assert_eq!(listed, [second, first]);
        let other = Files::new(folder.path(), "a-b").list().unwrap();
        assert_eq!(other.len(), 1);
    }

    #[test]
    fn a_clock_set_back_does_not_reorder_files() {
        let files = Files::new(Path::new("/d"), "a");
        let future = Timestamp::now() + SignedDuration::from_hours(1);
        assert!(files.next(Some(future)).1 > future);
    }
}

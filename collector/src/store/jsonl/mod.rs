//! Files of JSON lines: `DIR/STREAM-TIME.jsonl`, of which the newest is written.
//!
//! The events are the truth: what is stored is read from the last lines. Beside them, `STREAM.position.json` remembers
//! positions without events and those of finished files, `STREAM.gaps.jsonl` what was missed, and `STREAM.lock` is held by the
//! process that writes.

mod files;
mod gaps;
mod position;
mod recover;
mod scan;

use std::borrow::Cow;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use datastream_protocol::position::Position;
use jiff::Timestamp;
use tokio::time::Instant;

use super::lines::sync_folder;
use super::lock::{Lock, at};
use super::off_thread::BlockingStore;
use super::place::Placed;
use super::{Batch, Mark, Opened, StoreError, past};
use crate::config::JsonlPlan;
use files::{Files, name_of};
use position::{Lines, Remembered};
use recover::{Recovered, Synced};

/// The store of one stream.
pub(crate) struct JsonlStore {
    plan: JsonlPlan,
    files: Files,
    /// Lock of the stream, held as long as this lives.
    lock: Option<Lock>,
    /// The file that is written, once there is an event.
    current: Option<Current>,
    /// The file and the number of its bytes that are on the disk for certain, as far as this process knows.
    synced: Option<Synced>,
    /// The position that is stored without the lines of the current file.
    before: Option<Position>,
}

/// The file that is written.
struct Current {
    file: File,
    placed: Placed,
    name: String,
    len: u64,
    /// Position of a stream that has seen its last event.
    last: Option<Position>,
    begun: Timestamp,
    age: Age,
}

/// The age of a file, by a clock that nobody sets.
#[derive(Clone, Copy, Debug)]
struct Age {
    opened: Instant,
    /// Age according to its name at that time.
    before: Duration,
}

impl Age {
    /// The age of a file that this process begins.
    fn new() -> Self {
        Self {
            opened: Instant::now(),
            before: Duration::ZERO,
        }
    }

    /// The age of a file that was begun at this time. One that is named after the future has any age.
    fn since(begun: Timestamp, now: Timestamp) -> Self {
        let age = Duration::try_from(now.duration_since(begun));
        Self {
            opened: Instant::now(),
            before: age.unwrap_or(Duration::MAX),
        }
    }

    fn now(&self) -> Duration {
        self.before.saturating_add(self.opened.elapsed())
    }
}

impl JsonlStore {
    /// The store of this stream.
    pub(crate) fn new(plan: JsonlPlan, stream: &str) -> Self {
        Self {
            files: Files::new(&plan.dir, stream),
            plan,
            lock: None,
            current: None,
            synced: None,
            before: None,
        }
    }

    fn recover(&mut self) -> Result<Opened, StoreError> {
        let previous = self.current.take();
        let path = self.files.position();
        let loaded = position::load(&path).map_err(|e| at(&path, &e))?;
        let files = self.files.list().map_err(|e| at(&self.plan.dir, &e))?;
        let mut files = files.into_iter();
        let mut newest = None;
        let mut read = None;
        if let Some((path, begun)) = files.next() {
            let recovered = self
                .reopen(&path, begun, previous.as_ref())
                .map_err(|e| at(&path, &e))?;
            newest = recovered.reached.clone().map(|p| (name_of(&path), p));
            read = Some(recovered);
        }
        let mut damaged_lines = read.as_ref().map_or(0, |r| r.damaged);
        let mut lines = read.and_then(|r| r.position);
        for (path, _) in files {
            if lines.is_some() {
                break;
            }
            let recovered = recover::look(&path).map_err(|e| at(&path, &e))?;
            damaged_lines += recovered.damaged;
            lines = recovered.position;
        }
        let remembered = match loaded {
            Ok(remembered) => remembered,
            Err(damage) => without_position(&path, &damage, lines.is_some())?,
        };
        let newest = newest
            .as_ref()
            .map(|(name, reached)| (name.as_str(), reached));
        let stored = remembered.as_ref().and_then(|r| r.stored(newest)).cloned();
        if remembered
            .as_ref()
            .is_some_and(|r| stored.as_ref() != Some(&r.position))
        {
            tracing::error!(
                file = %path.display(),
                "lines that were stored are no longer there; their events will be fetched again"
            );
        }
        self.before = remembered.as_ref().and_then(Remembered::before).cloned();
        let position = match (stored, lines) {
            (Some(stored), Some(lines)) => Some(stored.union(&lines)),
            (stored, lines) => stored.or(lines),
        };
        Ok(Opened {
            position,
            damaged_lines,
        })
    }

    /// Opens the newest file.
    fn reopen(
        &mut self,
        path: &Path,
        begun: Timestamp,
        previous: Option<&Current>,
    ) -> io::Result<Recovered> {
        let (file, recovered) = recover::mend(path, self.synced.as_ref())?;
        let placed = Placed::new(path, &file)?;
        let now = Timestamp::now();
        if begun > now {
            tracing::warn!(
                file = %path.display(),
                "the newest file is named after a time in the future; the names of the next files continue from there"
            );
        }
        let age = match previous {
            Some(current) if current.placed.is(path, &file) => current.age,
            _ => Age::since(begun, now),
        };
        self.synced = Some(Synced {
            file: placed.clone(),
            len: recovered.len,
        });
        self.current = Some(Current {
            file,
            placed,
            name: name_of(path),
            len: recovered.len,
            last: recovered.position.clone(),
            begun,
            age,
        });
        Ok(recovered)
    }

    /// Returns whether a line belongs into another file than the lines before it, of which some are not written yet.
    fn is_full(&self, unwritten: usize, line: usize) -> bool {
        self.current.as_ref().is_none_or(|current| {
            let old = |every: Duration| current.age.now() >= every;
            let len = current.len + unwritten as u64;
            len > 0
                && (len + line as u64 > self.plan.rotate_bytes
                    || self.plan.rotate_every.is_some_and(old))
        })
    }

    /// Begins a file. What is before it is on the disk, and so is where it ends: finished files may be moved away.
    fn begin(&mut self, stored: Option<&Position>) -> io::Result<()> {
        self.remember(stored)?;
        let newest = self.current.take().map(|c| c.begun);
        let (path, begun) = self.files.next(newest);
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .open(&path)?;
        sync_folder(&self.plan.dir)?;
        tracing::debug!(file = %path.display(), "new file");
        let placed = Placed::new(&path, &file)?;
        self.synced = Some(Synced {
            file: placed.clone(),
            len: 0,
        });
        self.current = Some(Current {
            file,
            placed,
            name: name_of(&path),
            len: 0,
            last: None,
            begun,
            age: Age::new(),
        });
        Ok(())
    }

    /// The lines that are written.
    fn lines(&self) -> Option<Lines> {
        let current = self.current.as_ref()?;
        Some(Lines {
            file: current.name.clone(),
            last: current.last.clone()?,
            before: self.before.clone(),
        })
    }

    /// Remembers what is stored, whatever becomes of the current file.
    fn remember(&mut self, stored: Option<&Position>) -> io::Result<()> {
        if let Some(position) = stored {
            let remembered = Remembered {
                position: position.clone(),
                lines: None,
            };
            position::save(&self.files.position(), &remembered)?;
        }
        self.before = stored.cloned();
        Ok(())
    }

    /// Writes lines to the disk.
    fn write(&mut self, lines: &mut Vec<u8>) -> io::Result<()> {
        let Some(current) = &mut self.current else {
            return Ok(());
        };
        current.file.write_all(lines)?;
        current.file.sync_data()?;
        current.len += lines.len() as u64;
        self.synced = Some(Synced {
            file: current.placed.clone(),
            len: current.len,
        });
        lines.clear();
        Ok(())
    }

    fn write_batch(&mut self, batch: &Batch) -> io::Result<()> {
        let last = batch.events.last().map(|event| &event.position);
        if let (Some(last), Some(before)) = (last, &batch.before)
            && !last.covers(&batch.after)
        {
            // The last line will not say all that is stored: a stream that went back has another merge of the partitions.
            let remembered = Remembered {
                position: before.clone(),
                lines: self.lines(),
            };
            position::save(&self.files.position(), &remembered)?;
        }
        let mut stored = batch.before.clone();
        let mut lines = Vec::new();
        for event in &batch.events {
            let line = one_line(event.body.as_str());
            if self.is_full(lines.len(), line.len() + 1) {
                self.write(&mut lines)?;
                self.begin(stored.as_ref())?;
            }
            lines.extend_from_slice(line.as_bytes());
            lines.push(b'\n');
            stored = Some(past(stored.as_ref(), event));
        }
        self.write(&mut lines)?;
        if let (Some(current), Some(last)) = (&mut self.current, last) {
            current.last = Some(last.clone());
        }
        Ok(())
    }
}

/// Continues without the position file, if the lines suffice.
fn without_position(
    path: &Path,
    damage: &str,
    lines: bool,
) -> Result<Option<Remembered>, StoreError> {
    if !lines {
        return Err(StoreError::lasting(format!(
            "{}: damaged: {damage}; there is no event beside it to go on from: restore it, or remove it to begin as the configuration says",
            path.display()
        )));
    }
    let aside = recover::damaged_name(path);
    fs::rename(path, &aside).map_err(|e| at(path, &e))?;
    tracing::error!(
        file = %path.display(), moved_to = %aside.display(),
        "damaged: {damage}; moved away, and going on behind the last event"
    );
    Ok(None)
}

impl BlockingStore for JsonlStore {
    fn describe(&self) -> String {
        self.files.describe()
    }

    fn open(&mut self) -> Result<Opened, StoreError> {
        fs::create_dir_all(&self.plan.dir).map_err(|e| at(&self.plan.dir, &e))?;
        Lock::hold(&mut self.lock, &self.files.lock())?;
        let opened = self.recover();
        if opened.is_err() {
            self.current = None;
        }
        opened
    }

    fn append(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.verify()?;
        self.write_batch(batch)
            .map_err(|e| at(&self.plan.dir, &e))?;
        self.verify()
    }

    fn mark(&mut self, mark: &Mark) -> Result<(), StoreError> {
        self.verify()?;
        if let Some(gap) = &mark.gap {
            let path = self.files.gaps();
            gaps::record(&path, gap).map_err(|e| at(&path, &e))?;
        }
        let lines = self.lines();
        if lines.is_none() {
            self.before = Some(mark.position.clone());
        }
        let remembered = Remembered {
            position: mark.position.clone(),
            lines,
        };
        let path = self.files.position();
        position::save(&path, &remembered).map_err(|e| at(&path, &e))
    }

    fn verify(&mut self) -> Result<(), StoreError> {
        // What was stored is where it was said to be only as long as the path leads there.
        if let Some(lock) = &self.lock {
            lock.check()?;
        }
        if let Some(current) = &self.current {
            current.placed.check()?;
        }
        Ok(())
    }
}

/// The event on one line: between the members of an object, a line break means as much as a space.
pub(crate) fn one_line(json: &str) -> Cow<'_, str> {
    if json.contains(['\n', '\r']) {
        Cow::Owned(json.replace(['\n', '\r'], " "))
    } else {
        Cow::Borrowed(json)
    }
}

#[cfg(test)]
mod tests;

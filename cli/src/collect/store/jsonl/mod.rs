//! Files of JSON lines: `DIR/STREAM-TIME.jsonl`, of which the newest is written.
//!
//! The events are the truth: what is stored is read from the last lines. Beside them, `STREAM.position.json` remembers
//! positions without events and those of finished files, `STREAM.gaps.jsonl` what was missed, and `STREAM.lock` is held by the
//! process that writes.

mod files;
mod position;
mod recover;

use std::borrow::Cow;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use datastream_gateway::position::Position;
use jiff::Timestamp;

use super::lock::{self, at};
use super::off_thread::BlockingStore;
use super::{Batch, Mark, StoreError, past};
use crate::collect::config::JsonlPlan;
use files::Files;

/// The store of one stream.
pub(in crate::collect) struct JsonlStore {
    plan: JsonlPlan,
    files: Files,
    /// Held, and with it the stream, as long as this lives.
    lock: Option<File>,
    /// What is written, once there is an event.
    current: Option<Current>,
    /// How much of which file is on the disk for certain, as far as this process knows.
    synced: Option<(PathBuf, u64)>,
}

/// The file that is written.
struct Current {
    file: File,
    path: PathBuf,
    len: u64,
    begun: Timestamp,
}

impl JsonlStore {
    /// The store of this stream.
    pub(in crate::collect) fn new(plan: JsonlPlan, stream: &str) -> Self {
        Self {
            files: Files::new(&plan.dir, stream),
            plan,
            lock: None,
            current: None,
            synced: None,
        }
    }

    fn recover(&mut self) -> Result<Option<Position>, (PathBuf, io::Error)> {
        let path = self.files.position();
        let mut stored = position::load(&path).map_err(|e| (path, e))?;
        let mut newest = true;
        for (path, begun) in self.files.list().map_err(|e| (self.plan.dir.clone(), e))? {
            let synced = match &self.synced {
                Some((synced, len)) if *synced == path => Some(*len),
                _ => None,
            };
            let recovered = if newest {
                let (file, recovered) =
                    recover::mend(&path, synced).map_err(|e| (path.clone(), e))?;
                self.synced = Some((path.clone(), recovered.len));
                self.current = Some(Current {
                    file,
                    path,
                    len: recovered.len,
                    begun,
                });
                recovered
            } else {
                recover::look(&path).map_err(|e| (path, e))?
            };
            newest = false;
            if let Some(last) = recovered.position {
                stored = Some(stored.map_or_else(|| last.clone(), |stored| stored.union(&last)));
                break;
            }
        }
        Ok(stored)
    }

    /// Whether a line belongs into another file than the lines before it, of which some are not written yet.
    fn is_full(&self, unwritten: usize, line: usize) -> bool {
        self.current.as_ref().is_none_or(|current| {
            let old = |every: Duration| {
                let age = Timestamp::now().duration_since(current.begun);
                Duration::try_from(age).is_ok_and(|age| age >= every)
            };
            let len = current.len + unwritten as u64;
            len > 0
                && (len + line as u64 > self.plan.rotate_bytes
                    || self.plan.rotate_every.is_some_and(old))
        })
    }

    /// Begins a file. What is before it is on the disk, and so is where it ends: finished files may be moved away.
    fn begin(&mut self, stored: Option<&Position>) -> io::Result<()> {
        if let Some(stored) = stored {
            position::save(&self.files.position(), stored)?;
        }
        let newest = self.current.take().map(|c| c.begun);
        let (path, begun) = self.files.next(newest);
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .open(&path)?;
        sync_folder(&self.plan.dir)?;
        tracing::debug!(file = %path.display(), "new file");
        self.synced = Some((path.clone(), 0));
        self.current = Some(Current {
            file,
            path,
            len: 0,
            begun,
        });
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
        self.synced = Some((current.path.clone(), current.len));
        lines.clear();
        Ok(())
    }

    fn write_batch(&mut self, batch: &Batch) -> io::Result<()> {
        let last = batch.events.last().map(|event| &event.position);
        if let (Some(last), Some(before)) = (last, &batch.before)
            && !last.covers(&batch.after)
        {
            // The last line will not say all that is stored: a stream that went back has another merge of the partitions.
            position::save(&self.files.position(), before)?;
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
        self.write(&mut lines)
    }
}

impl BlockingStore for JsonlStore {
    fn describe(&self) -> String {
        self.files.describe()
    }

    fn open(&mut self) -> Result<Option<Position>, StoreError> {
        self.current = None;
        fs::create_dir_all(&self.plan.dir).map_err(|e| at(&self.plan.dir, &e))?;
        if self.lock.is_none() {
            self.lock = Some(lock::take(&self.files.lock())?);
        }
        self.recover().map_err(|(path, e)| at(&path, &e))
    }

    fn append(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.write_batch(batch).map_err(|e| at(&self.plan.dir, &e))
    }

    fn mark(&mut self, mark: &Mark) -> Result<(), StoreError> {
        if let Some(gap) = &mark.gap {
            let path = self.files.gaps();
            position::record_gap(&path, gap, &mark.seq_start()).map_err(|e| at(&path, &e))?;
        }
        let path = self.files.position();
        position::save(&path, &mark.position).map_err(|e| at(&path, &e))
    }
}

/// The event on one line: between the members of an object, a line break means as much as a space.
fn one_line(json: &str) -> Cow<'_, str> {
    if json.contains(['\n', '\r']) {
        Cow::Owned(json.replace(['\n', '\r'], " "))
    } else {
        Cow::Borrowed(json)
    }
}

/// Makes the names in a folder durable.
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests;

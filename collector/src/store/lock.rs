//! Locks that keep two processes from storing into one place.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use datastream_service::file::try_lock;

use super::StoreError;
use super::place::Placed;

/// A lock, held as long as this lives; a process that is killed loses it.
pub(super) struct Lock {
    /// Holds the lock.
    _file: File,
    placed: Placed,
}

impl Lock {
    /// Takes the lock.
    ///
    /// # Errors
    /// Another process holds it, or there can be no such file.
    pub(super) fn take(path: &Path) -> Result<Self, StoreError> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(|e| at(path, &e))?;
        if !try_lock(&file).map_err(|e| at(path, &e))? {
            return Err(StoreError::lasting(format!(
                "another collector stores into this place (it holds {}): stop it, or name another place",
                path.display()
            )));
        }
        let placed = Placed::new(path, &file).map_err(|e| at(path, &e))?;
        Ok(Self {
            _file: file,
            placed,
        })
    }

    /// Checks that others still meet this lock: its folder may have been moved or replaced.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        self.placed.check()
    }

    /// Takes the lock unless it is held; takes it again if its file is no longer there.
    pub(super) fn hold(held: &mut Option<Self>, path: &Path) -> Result<(), StoreError> {
        if held.as_ref().is_some_and(|lock| lock.check().is_err()) {
            *held = None;
        }
        if held.is_none() {
            *held = Some(Self::take(path)?);
        }
        Ok(())
    }
}

/// An error of the system about a file.
pub(super) fn at(path: &Path, error: &io::Error) -> StoreError {
    StoreError::lasting(format!("{}: {error}", path.display()))
}

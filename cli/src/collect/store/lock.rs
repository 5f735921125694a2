//! Keeps two processes from storing into one place.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

use super::StoreError;

/// Takes the lock, which is held as long as the file lives; a process that is killed loses it.
pub(super) fn take(path: &Path) -> Result<File, StoreError> {
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(|e| at(path, &e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::lasting(format!(
            "another collector stores into this place (it holds {}): stop it, or name another place",
            path.display()
        ))),
        Err(TryLockError::Error(e)) => Err(at(path, &e)),
    }
}

/// What the system says about a file.
pub(super) fn at(path: &Path, error: &io::Error) -> StoreError {
    StoreError::lasting(format!("{}: {error}", path.display()))
}

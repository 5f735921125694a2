//! The identity of a file: a path may come to name another one while the first is still open.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::StoreError;

/// The device and the inode of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// The identity of an open file.
    pub(super) fn of(file: &File) -> io::Result<Self> {
        Ok(Self::from(&file.metadata()?))
    }

    /// The identity of the file that has this path now, if there is one.
    pub(super) fn at(path: &Path) -> io::Result<Option<Self>> {
        match fs::metadata(path) {
            Ok(metadata) => Ok(Some(Self::from(&metadata))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn from(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

/// A file that has to stay where it is.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    path: PathBuf,
    id: FileId,
}

impl Placed {
    /// An open file, which had this path when it was opened.
    pub(super) fn new(path: &Path, file: &File) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            id: FileId::of(file)?,
        })
    }

    /// The file that has this path now, if there is one.
    pub(super) fn at(path: &Path) -> io::Result<Option<Self>> {
        let path = path.to_owned();
        Ok(FileId::at(&path)?.map(|id| Self { path, id }))
    }

    /// Returns whether this is the file.
    pub(super) fn is(&self, path: &Path, file: &File) -> bool {
        self.path == path && FileId::of(file).is_ok_and(|id| id == self.id)
    }

    /// Checks that the path still names this file.
    ///
    /// # Errors
    /// It was moved, deleted or replaced, or its folder was.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let path = self.path.display();
        match FileId::at(&self.path) {
            Ok(Some(id)) if id == self.id => Ok(()),
            Ok(Some(_)) => Err(StoreError::lasting(format!(
                "{path}: is another file than the one that was written: it, or its folder, was replaced"
            ))),
            Ok(None) => Err(StoreError::lasting(format!(
                "{path}: the file that was written is no longer there: it, or its folder, was moved or deleted"
            ))),
            Err(error) => Err(StoreError::lasting(format!("{path}: {error}"))),
        }
    }
}

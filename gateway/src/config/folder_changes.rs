//! Word of what changes in a watched folder.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use notify::EventKind;
use notify::event::{AccessKind, AccessMode};
use tokio::sync::Notify;

/// Files that are noted by name; when more change at once, everything counts as changed.
const MOST: usize = 1024;

/// The files of a folder that have changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Changed {
    /// Files with these names. Some may be as before, or gone.
    Files(BTreeSet<OsString>),
    Everything,
}

/// Changes of a folder that nobody has taken yet.
#[derive(Debug)]
pub(super) struct FolderChanges {
    folder: PathBuf,
    /// Held for a look, never across an await.
    noted: Mutex<Changed>,
    is_noted: Notify,
}

impl FolderChanges {
    /// No changes yet of this folder.
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            noted: Mutex::new(Changed::Files(BTreeSet::new())),
            is_noted: Notify::new(),
        }
    }

    /// Takes down what a watcher of the folder says.
    pub(super) fn note(&self, event: &notify::Result<notify::Event>) {
        if !is_change(event) {
            return;
        }
        let names = event.as_ref().ok().and_then(|event| self.names(event));
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        match (&mut *noted, names) {
            (Changed::Files(files), Some(names)) if files.len() + names.len() <= MOST => {
                files.extend(names);
            }
            (noted, _) => *noted = Changed::Everything,
        }
        drop(noted);
        self.is_noted.notify_one();
    }

    /// Waits until something is noted. Cancel-safe.
    pub(super) async fn wait(&self) {
        self.is_noted.notified().await;
    }

    /// Takes what is noted.
    pub(super) fn take(&self) -> Changed {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *noted, Changed::Files(BTreeSet::new()))
    }

    /// The names of the files that an event is about; none if it may be about any of them.
    fn names(&self, event: &notify::Event) -> Option<Vec<OsString>> {
        if event.need_rescan() || event.paths.is_empty() {
            return None;
        }
        let name = |path: &PathBuf| {
            let name = path.file_name()?;
            // The files of a mounted Secret are links into a folder whose name begins so, and which is replaced as a whole.
            let is_of_all = name.as_bytes().starts_with(b"..");
            let is_within = path.parent() == Some(&self.folder);
            (is_within && !is_of_all).then(|| name.to_owned())
        };
        event.paths.iter().map(name).collect()
    }
}

/// Returns whether an event of a watched folder can be a change of it. Reading is not a change: a watcher that reads the
/// folder on every event would never come to rest.
pub fn is_change(event: &notify::Result<notify::Event>) -> bool {
    let written = EventKind::Access(AccessKind::Close(AccessMode::Write));
    event
        .as_ref()
        .map_or(true, |e| !e.kind.is_access() || e.kind == written)
}

#[cfg(test)]
mod tests {
    use notify::event::{DataChange, Flag, ModifyKind};

    use super::*;

    #[test]
    fn reading_a_folder_does_not_count_as_a_change() {
        let seen = |kind| is_change(&Ok(notify::Event::new(kind)));
        assert!(!seen(EventKind::Access(AccessKind::Open(AccessMode::Any))));
        assert!(!seen(EventKind::Access(AccessKind::Close(
            AccessMode::Read
        ))));
        assert!(seen(EventKind::Access(AccessKind::Close(
            AccessMode::Write
        ))));
        assert!(seen(EventKind::Modify(ModifyKind::Data(DataChange::Any))));
        assert!(is_change(&Err(notify::Error::generic("overflow"))));
    }

    fn changed(path: &str) -> notify::Event {
        let kind = EventKind::Modify(ModifyKind::Data(DataChange::Any));
        notify::Event::new(kind).add_path(path.into())
    }

    #[test]
    fn files_are_noted_by_name_and_what_may_concern_any_of_them_as_everything() {
        let changes = FolderChanges::new(Path::new("/routes"));
        changes.note(&Ok(changed("/routes/00.json")));
        changes.note(&Ok(changed("/routes/.new")));
        changes.note(&Ok(changed("/routes/00.json")));
        let names = [".new", "00.json"].map(OsString::from);
        assert_eq!(changes.take(), Changed::Files(names.into()));
        assert_eq!(changes.take(), Changed::Files(BTreeSet::new()));
        let overflow = notify::Event::new(EventKind::Other).set_flag(Flag::Rescan);
        for event in [
            Ok(overflow),
            Err(notify::Error::generic("gone")),
            Ok(changed("/routes")),
            Ok(changed("/routes/..data")),
        ] {
            changes.note(&event);
            changes.note(&Ok(changed("/routes/01.json")));
            assert_eq!(changes.take(), Changed::Everything, "{event:?}");
        }
        for number in 0..=MOST {
            changes.note(&Ok(changed(&format!("/routes/{number}.json"))));
        }
        assert_eq!(changes.take(), Changed::Everything);
    }
}

//! Routing objects as files: `*.json` in a folder, as a mounted Secret or a test puts them there. One of them may be the access rules.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use datastream_service::file::read_regular;
use datastream_service::text::printable;
use futures_util::future::BoxFuture;
use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecursiveMode, Watcher};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{ConfigSource, ConfigStore, ConfigUpdate};

/// The folder is read again this often even if nothing seems to happen: file systems without notifications exist.
const AT_LEAST_EVERY: Duration = Duration::from_secs(10);
/// Writers change several files at once; what follows within this time is read together.
const SETTLE: Duration = Duration::from_millis(20);
/// The largest file that is read, in bytes: a Secret, of which such a file is a copy, holds no more.
const MAX_FILE: u64 = 1 << 20;

/// The name of the file with the access rules: without it, there are none.
const ACCESS_RULES: &str = "access-rules.json";

/// A folder of routing objects.
#[derive(Debug)]
pub struct DirectorySource {
    path: PathBuf,
}

impl DirectorySource {
    /// The routing objects in this folder.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
}

impl ConfigSource for DirectorySource {
    fn describe(&self) -> String {
        format!("routing objects in {}", self.path.display())
    }

    fn run(
        self: Box<Self>,
        store: Arc<ConfigStore>,
        cancel: CancellationToken,
    ) -> BoxFuture<'static, anyhow::Result<()>> {
        Box::pin(async move {
            let changed = watch::Sender::new(());
            let mut changes = changed.subscribe();
            let mut watcher = notify::recommended_watcher(move |event| {
                if is_change(&event) {
                    changed.send_replace(());
                }
            })?;
            watcher
                .watch(&self.path, RecursiveMode::NonRecursive)
                .map_err(without_paths)
                .with_context(|| format!("cannot watch {}", self.path.display()))?;
            let mut seen = read(&self.path)
                .await
                .with_context(|| format!("cannot read {}", self.path.display()))?;
            let mut updates: Vec<_> = seen.iter().map(set).collect();
            updates.push(ConfigUpdate::Synced);
            store.apply(updates);
            loop {
                tokio::select! {
                    _ = timeout(AT_LEAST_EVERY, changes.changed()) => tokio::time::sleep(SETTLE).await,
                    () = cancel.cancelled() => return Ok(()),
                }
                changes.mark_unchanged();
                match read(&self.path).await {
                    Ok(now) => {
                        store.set_source_error(None);
                        let updates = difference(&seen, &now);
                        if !updates.is_empty() {
                            store.apply(updates);
                        }
                        seen = now;
                        // A folder that was replaced is another one: it is watched again, which costs nothing otherwise.
                        let _ = watcher.watch(&self.path, RecursiveMode::NonRecursive);
                    }
                    Err(error) => {
                        store.set_source_error(Some(format!("{}: {error}", self.path.display())))
                    }
                }
            }
        })
    }
}

/// The path is in the context, for people.
fn without_paths(mut error: notify::Error) -> notify::Error {
    error.paths.clear();
    error
}

/// Returns whether an event of a watched folder can be a change of it. Reading is not a change: a watcher that reads the
/// folder on every event would never come to rest.
pub fn is_change(event: &notify::Result<notify::Event>) -> bool {
    let written = EventKind::Access(AccessKind::Close(AccessMode::Write));
    event
        .as_ref()
        .map_or(true, |e| !e.kind.is_access() || e.kind == written)
}

/// The content of every file, or why it cannot be read.
type Files = BTreeMap<String, Result<Vec<u8>, String>>;

/// Every `*.json` in the folder. Disks may be slow: no worker of the runtime waits for them.
async fn read(path: &Path) -> std::io::Result<Files> {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || read_folder(&path)).await?
}

/// Links are followed: a mounted Secret is made of them. One file that cannot be read keeps no other from being read.
fn read_folder(path: &Path) -> std::io::Result<Files> {
    let mut files = Files::new();
    for entry in std::fs::read_dir(path)? {
        let file_name = entry?.file_name();
        let name = file_name.to_string_lossy();
        if name.starts_with('.') || !name.ends_with(".json") {
            continue;
        }
        match read_regular(&path.join(&file_name), MAX_FILE) {
            // Gone since it was listed.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => (),
            content => {
                let content = content.map_err(|e| format!("cannot be read: {e}"));
                files.insert(printable(&name).into_owned(), content);
            }
        }
    }
    Ok(files)
}

fn set((name, content): (&String, &Result<Vec<u8>, String>)) -> ConfigUpdate {
    let object = name.clone();
    match content.clone() {
        content if name == ACCESS_RULES => ConfigUpdate::Access { object, content },
        Ok(bytes) => ConfigUpdate::Set { object, bytes },
        Err(reason) => ConfigUpdate::Unreadable { object, reason },
    }
}

fn difference(before: &Files, now: &Files) -> Vec<ConfigUpdate> {
    let changed = now
        .iter()
        .filter(|(name, bytes)| before.get(*name) != Some(*bytes))
        .map(set);
    let gone = before.keys().filter(|name| !now.contains_key(*name));
    let gone = gone.map(|name| ConfigUpdate::Remove {
        object: name.clone(),
    });
    changed.chain(gone).collect()
}

#[cfg(test)]
mod tests {
    use notify::event::{DataChange, ModifyKind};

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
}

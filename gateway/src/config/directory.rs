//! Routing objects as files: `*.json` in a folder, as a mounted Secret or a test puts them there. One of them may be the access rules.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use datastream_service::file::read_regular;
use datastream_service::text::printable;
use futures_util::future::BoxFuture;
use notify::{RecursiveMode, Watcher};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use super::folder_changes::{Changed, FolderChanges};
use super::{ConfigSource, ConfigStore, ConfigUpdate};

/// The folder is read again as a whole this often even if nothing seems to happen: file systems without notifications exist.
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
            let changes = Arc::new(FolderChanges::new(&self.path));
            let noting = changes.clone();
            let mut watcher = notify::recommended_watcher(move |event| noting.note(&event))?;
            watcher
                .watch(&self.path, RecursiveMode::NonRecursive)
                .map_err(without_paths)
                .with_context(|| format!("cannot watch {}", self.path.display()))?;
            let mut read_at = Instant::now();
            let mut seen = read(&self.path, None)
                .await
                .with_context(|| format!("cannot read {}", self.path.display()))?;
            let mut updates: Vec<_> = seen.iter().map(set).collect();
            updates.push(ConfigUpdate::Synced);
            store.apply_apart(updates).await?;
            loop {
                tokio::select! {
                    _ = timeout_at(read_at + AT_LEAST_EVERY, changes.wait()) => sleep(SETTLE).await,
                    () = cancel.cancelled() => return Ok(()),
                }
                let files = match changes.take() {
                    Changed::Files(files) if read_at.elapsed() < AT_LEAST_EVERY => Some(files),
                    _ => None,
                };
                if files.is_none() {
                    read_at = Instant::now();
                }
                match read(&self.path, files.clone()).await {
                    Ok(now) => {
                        store.set_source_error(None);
                        let updates = difference(&mut seen, files.as_ref(), now);
                        if !updates.is_empty() {
                            store.apply_apart(updates).await?;
                        }
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

/// The content of every file, or why it cannot be read.
type Files = BTreeMap<String, Result<Vec<u8>, String>>;

/// Every `*.json` in the folder, or those of these files that there are. Disks may be slow: no worker of the runtime waits for them.
async fn read(path: &Path, files: Option<BTreeSet<OsString>>) -> std::io::Result<Files> {
    let path = path.to_owned();
    let read = move || {
        if let Some(files) = files {
            return Ok(read_files(&path, files));
        }
        let entries = std::fs::read_dir(&path)?;
        let names = entries.map(|entry| entry.map(|entry| entry.file_name()));
        let names = names.collect::<std::io::Result<Vec<_>>>()?;
        Ok(read_files(&path, names))
    };
    tokio::task::spawn_blocking(read).await?
}

/// Links are followed: a mounted Secret is made of them. One file that cannot be read keeps no other from being read.
fn read_files(path: &Path, names: impl IntoIterator<Item = OsString>) -> Files {
    let mut files = Files::new();
    for file_name in names {
        let Some(name) = object(&file_name) else {
            continue;
        };
        match read_regular(&path.join(&file_name), MAX_FILE) {
            // Gone since it was listed.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => (),
            content => {
                let content = content.map_err(|e| format!("cannot be read: {e}"));
                files.insert(name, content);
            }
        }
    }
    files
}

/// The name of the object that is in a file of this name; none if there is none in it.
fn object(file_name: &OsStr) -> Option<String> {
    let name = file_name.to_string_lossy();
    let is_object = !name.starts_with('.') && name.ends_with(".json");
    is_object.then(|| printable(&name).into_owned())
}

fn set((name, content): (&String, &Result<Vec<u8>, String>)) -> ConfigUpdate {
    let object = name.clone();
    match content.clone() {
        content if name == ACCESS_RULES => ConfigUpdate::Access { object, content },
        Ok(bytes) => ConfigUpdate::Set { object, bytes },
        Err(reason) => ConfigUpdate::Unreadable { object, reason },
    }
}

/// Takes over what was read, of these files or of all, and returns what is different.
fn difference(
    seen: &mut Files,
    files: Option<&BTreeSet<OsString>>,
    now: Files,
) -> Vec<ConfigUpdate> {
    let looked_at: Vec<String> = match files {
        Some(files) => files.iter().filter_map(|name| object(name)).collect(),
        None => seen.keys().cloned().collect(),
    };
    let mut updates = vec![];
    for object in looked_at {
        if !now.contains_key(&object) && seen.remove(&object).is_some() {
            updates.push(ConfigUpdate::Remove { object });
        }
    }
    for (object, content) in now {
        if seen.get(&object) != Some(&content) {
            updates.push(set((&object, &content)));
            seen.insert(object, content);
        }
    }
    updates
}

//! Looks at a folder of manifests, and again whenever something in it changes.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use datastream_gateway::config::is_change;
use datastream_service::file::read_regular;
use datastream_service::text::printable;
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::folder::Scan;

/// The folder is looked at again after this time even if nothing was reported: not every file system reports.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// An editor's or a copy's many steps count as one change.
const SETTLE: Duration = Duration::from_millis(100);
/// The largest manifest file, in bytes: the API server takes no larger object either.
const MAX_FILE: u64 = 1 << 20;

/// A folder, watched.
pub(super) struct FolderWatch {
    folder: PathBuf,
    changes: mpsc::Receiver<()>,
    /// Watcher, kept alive so that it keeps watching; without it the folder is still scanned every few seconds.
    _watcher: Option<RecommendedWatcher>,
}

impl FolderWatch {
    /// Starts watching. A folder that cannot be watched is polled.
    pub(super) fn new(folder: PathBuf) -> Self {
        // One pending change is all there is to know.
        let (report, changes) = mpsc::channel(1);
        let on_event = move |event: notify::Result<notify::Event>| {
            if is_change(&event) {
                let _ = report.try_send(());
            }
        };
        let watcher = notify::recommended_watcher(on_event).and_then(|mut watcher| {
            watcher.watch(&folder, RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
        if let Err(error) = &watcher {
            tracing::warn!(%error, "cannot watch {}; looking every {LOOK_AGAIN:?}", folder.display());
        }
        Self {
            folder,
            changes,
            _watcher: watcher.ok(),
        }
    }

    /// Waits until something may have changed.
    pub(super) async fn changed(&mut self) {
        // The sender lives in the watcher: without one only the timeout ends the wait.
        match timeout(LOOK_AGAIN, self.changes.recv()).await {
            Ok(Some(())) => sleep(SETTLE).await,
            Ok(None) => sleep(LOOK_AGAIN).await,
            Err(_) => {}
        }
        while self.changes.try_recv().is_ok() {}
    }

    /// Reads every manifest file of the folder.
    pub(super) async fn scan(&self) -> io::Result<Scan> {
        let folder = self.folder.clone();
        tokio::task::spawn_blocking(move || scan(&folder)).await?
    }
}

fn scan(folder: &Path) -> io::Result<Scan> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path
            .file_name()
            .is_none_or(|name| name.to_string_lossy().starts_with('.'));
        let manifest = path
            .extension()
            .is_some_and(|e| e == "yaml" || e == "yml" || e == "json");
        if hidden || !manifest {
            continue;
        }
        match read(&path) {
            // Gone since the folder was listed, or a link to what is not there.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            content => {
                let content = content.map_err(|e| format!("cannot be read: {e}"));
                // Shown as it is by every message about the file.
                let name = printable(&path.to_string_lossy()).into_owned();
                files.insert(name, content);
            }
        }
    }
    Ok(files)
}

fn read(path: &Path) -> io::Result<String> {
    let bytes = read_regular(path, MAX_FILE)?;
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is not in UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn manifest_files_are_read_and_changes_are_detected() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["a.yaml", "b.yml", "c.json", "d.txt", ".e.yaml", "f.yaml~"] {
            fs::write(path(name), name).unwrap();
        }
        fs::create_dir(path("sub.yaml")).unwrap();
        fs::create_dir(path("sub")).unwrap();
        fs::write(path("bad.yaml"), [0xff]).unwrap();
        fs::write(path("large.yaml"), "x".repeat(MAX_FILE as usize + 1)).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(path("socket.yaml")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", path("zero.yaml")).unwrap();
        std::os::unix::fs::symlink("loop.yaml", path("loop.yaml")).unwrap();
        let mut watch = FolderWatch::new(folder.path().to_owned());
        let mut files = watch.scan().await.unwrap();
        for (bad, reason) in [
            ("bad.yaml", "not in UTF-8"),
            ("large.yaml", "larger than the 1048576 bytes"),
            ("sub.yaml", "it is a folder, not a file"),
            ("socket.yaml", "it is a socket, not a file"),
            ("zero.yaml", "it is a device, not a file"),
            ("loop.yaml", "symbolic links"),
        ] {
            let content = files.remove(&path(bad).display().to_string()).unwrap();
            let error = content.unwrap_err();
            assert!(error.contains(reason), "{bad}: {error}");
        }
        let names: Vec<_> = files.into_values().map(Result::unwrap).collect();
        assert_eq!(names, ["a.yaml", "b.yml", "c.json"]);

        fs::write(path("g.yaml"), "g").unwrap();
        timeout(DEADLINE, watch.changed()).await.unwrap();
        assert!(
            watch
                .scan()
                .await
                .unwrap()
                .contains_key(&path("g.yaml").display().to_string())
        );
        fs::remove_file(path("g.yaml")).unwrap();
        timeout(DEADLINE, watch.changed()).await.unwrap();
        assert!(
            !watch
                .scan()
                .await
                .unwrap()
                .contains_key(&path("g.yaml").display().to_string())
        );
    }

    #[tokio::test]
    async fn control_characters_in_file_names_are_escaped() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a\n\u{1b}[2J.yaml"), "").unwrap();
        let files = FolderWatch::new(folder.path().to_owned())
            .scan()
            .await
            .unwrap();
        let name = files.into_keys().next().unwrap();
        assert!(name.ends_with(r"/a\n\u{1b}[2J.yaml"), "{name}");
    }

    #[tokio::test]
    async fn watching_a_missing_folder_is_an_error() {
        let folder = tempfile::tempdir().unwrap().path().join("missing");
        assert!(FolderWatch::new(folder).scan().await.is_err());
    }
}

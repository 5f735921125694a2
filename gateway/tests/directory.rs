//! Routing objects as files: changes are seen, broken files are refused, and what is gone stays in force.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use common::{PATIENCE, route};
use datastream_gateway::config::{ConfigSource, ConfigState, ConfigStore, DirectorySource};
use datastream_routing::{Bucket, SubscriptionId};
use tokio_util::sync::CancellationToken;

fn bucket(name: &str) -> Vec<u8> {
    Bucket::new(route(name).id.bucket(), vec![route(name)])
        .encode()
        .unwrap()
}

/// Writes a file atomically, so that its name never leads to half of it.
fn write(dir: &Path, name: &str, bytes: &[u8]) {
    std::fs::write(dir.join(".new"), bytes).unwrap();
    std::fs::rename(dir.join(".new"), dir.join(name)).unwrap();
}

async fn until(store: &ConfigStore, condition: impl Fn(&ConfigState) -> bool) {
    let mut changes = store.subscribe();
    let found = tokio::time::timeout(PATIENCE, changes.wait_for(|state| condition(state))).await;
    assert!(found.is_ok(), "{:?}", store.state());
}

#[tokio::test]
async fn routes_follow_changes_of_the_folder() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "a.json", &bucket("a"));
    std::fs::write(dir.path().join("README.txt"), "not a routing object").unwrap();
    let (store, cancel) = (Arc::new(ConfigStore::new()), CancellationToken::new());
    let source = Box::new(DirectorySource::new(dir.path()));
    let run = tokio::spawn(source.run(store.clone(), cancel.clone()));
    let has = |name: &str| {
        store
            .table()
            .by_id(&SubscriptionId::new("default", name))
            .is_some()
    };
    until(&store, |state| state.synced).await;
    assert!(has("a"));

    write(dir.path(), "b.json", &bucket("b"));
    until(&store, |state| state.held.len() == 2).await;
    assert!(has("a") && has("b"));

    let whole = bucket("b");
    write(dir.path(), "b.json", &whole[..whole.len() / 2]);
    until(&store, |state| state.refused.contains_key("b.json")).await;
    assert!(has("b"), "the last good one stays");
    write(dir.path(), "b.json", &whole);
    until(&store, |state| state.refused.is_empty()).await;

    std::fs::remove_file(dir.path().join("a.json")).unwrap();
    until(&store, |state| state.refused.contains_key("a.json")).await;
    assert!(has("a"), "nobody deletes routing objects on purpose");

    std::fs::rename(dir.path(), dir.path().with_extension("moved")).unwrap();
    until(&store, |state| state.source_error.is_some()).await;
    assert!(has("a") && has("b"));
    std::fs::rename(dir.path().with_extension("moved"), dir.path()).unwrap();
    until(&store, |state| state.source_error.is_none()).await;
    cancel.cancel();
    run.await.unwrap().unwrap();
}

/// Runs on a single worker, which anything that blocks would stop.
#[tokio::test]
async fn irregular_files_are_rejected_by_name_and_all_others_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let mkfifo = |name: &str| {
        let made = std::process::Command::new("mkfifo")
            .arg(path(name))
            .status();
        assert!(made.unwrap().success());
    };
    write(dir.path(), "a.json", &bucket("a"));
    std::fs::create_dir(path("folder.json")).unwrap();
    mkfifo("fifo.json");
    std::os::unix::fs::symlink("/dev/zero", path("zero.json")).unwrap();
    std::os::unix::fs::symlink("loop.json", path("loop.json")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(path("socket.json")).unwrap();
    std::fs::File::create(path("large.json"))
        .unwrap()
        .set_len(200 << 20)
        .unwrap();
    std::fs::write(path("a\n\u{1b}[2J.json"), "").unwrap();
    let (store, cancel) = (Arc::new(ConfigStore::new()), CancellationToken::new());
    let source = Box::new(DirectorySource::new(dir.path()));
    let run = tokio::spawn(source.run(store.clone(), cancel.clone()));
    until(&store, |state| state.synced).await;
    let state = store.state();
    for (name, reason) in [
        ("folder.json", "it is a folder, not a file"),
        ("fifo.json", "it is a FIFO, not a file"),
        ("zero.json", "it is a device, not a file"),
        ("loop.json", "symbolic links"),
        ("socket.json", "it is a socket, not a file"),
        ("large.json", "larger than the 1048576 bytes"),
        (r"a\n\u{1b}[2J.json", ""),
    ] {
        assert!(state.refused[name].contains(reason), "{name}: {state:?}");
    }
    assert_eq!(state.held.len(), 1);

    // Put in later, it keeps no change from being taken.
    mkfifo("later.json");
    write(dir.path(), "b.json", &bucket("b"));
    until(&store, |state| state.held.len() == 2).await;
    until(&store, |state| state.refused.contains_key("later.json")).await;
    cancel.cancel();
    run.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_missing_routes_folder_is_an_error() {
    let source = Box::new(DirectorySource::new("/nowhere/at/all"));
    let error = source
        .run(Arc::new(ConfigStore::new()), CancellationToken::new())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("/nowhere/at/all"), "{error:#}");
}

/// A mounted Secret: its files are links into a folder that is replaced as a whole.
#[tokio::test]
async fn routes_follow_a_secret_that_is_mounted() {
    let dir = tempfile::tempdir().unwrap();
    let version = |name: &str, content: &[u8]| {
        let folder = dir.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("a.json"), content).unwrap();
        symlink(name, dir.path().join("..new")).unwrap();
        std::fs::rename(dir.path().join("..new"), dir.path().join("..data")).unwrap();
    };
    version("..1", &bucket("a"));
    symlink("..data/a.json", dir.path().join("a.json")).unwrap();
    let (store, cancel) = (Arc::new(ConfigStore::new()), CancellationToken::new());
    let source = Box::new(DirectorySource::new(dir.path()));
    let run = tokio::spawn(source.run(store.clone(), cancel.clone()));
    until(&store, |state| state.synced).await;
    let before = store.state().held.clone();
    version("..2", &bucket("other"));
    until(&store, |state| state.held != before).await;
    cancel.cancel();
    run.await.unwrap().unwrap();
}

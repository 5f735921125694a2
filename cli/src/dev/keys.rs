//! The identity of a subscription, which it keeps as long as it exists: its stream key and its uid; in a file, if wanted.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use datastream_operator::reconcile::build::new_stream_key;
use datastream_protocol::StreamKey;
use datastream_routing::SubscriptionId;
use datastream_service::file::{read_regular, try_lock};
use serde::{Deserialize, Serialize};

/// The identity that a subscription gets once: the uid from the API server and the key from the operator.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    /// Stand-in for `metadata.uid`: another one after the object was deleted and created again.
    pub uid: String,
    /// The key of its stream.
    pub key: StreamKey,
}

/// The largest file of keys that is read, in bytes: enough for a hundred thousand subscriptions.
const MAX_FILE: u64 = 32 << 20;

/// The identity of every subscription that exists.
#[derive(Debug)]
pub(super) struct Keys {
    file: Option<KeysFile>,
    issued: BTreeMap<SubscriptionId, Identity>,
    saved: bool,
}

/// The file that the identities are kept in. No other process keeps its own there meanwhile.
#[derive(Debug)]
struct KeysFile {
    path: PathBuf,
    /// The content as this process knows it.
    known: Option<Known>,
    _lock: File,
}

/// Bytes with keys in them, which Debug does not show.
struct Known(Vec<u8>);

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// An entry of the file, under `NAMESPACE/NAME`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    uid: String,
    stream_key: String,
}

impl Keys {
    /// Loads the keys of the file, if there is one.
    ///
    /// # Errors
    /// The file is there, but cannot be read or is damaged; another process keeps its keys in it.
    pub(super) fn load(path: Option<PathBuf>) -> anyhow::Result<Self> {
        let mut keys = Self {
            file: None,
            issued: BTreeMap::new(),
            saved: true,
        };
        if let Some(path) = path {
            let (file, issued) = KeysFile::open(path)?;
            keys.file = Some(file);
            keys.issued = issued;
        }
        Ok(keys)
    }

    /// The identity of a subscription: the one that it has, or else a new one.
    ///
    /// # Errors
    /// The system has no random bytes.
    pub(super) fn of(&mut self, id: &SubscriptionId) -> anyhow::Result<Identity> {
        if let Some(identity) = self.issued.get(id) {
            return Ok(identity.clone());
        }
        let random = || new_stream_key().context("no random bytes for a stream key");
        let identity = Identity {
            uid: random()?.expose().to_owned(),
            key: random()?,
        };
        self.issued.insert(id.clone(), identity.clone());
        self.saved = false;
        Ok(identity)
    }

    /// Forgets a subscription that was deleted: should it come back, it gets a new key.
    pub(super) fn forget(&mut self, id: &SubscriptionId) {
        self.saved &= self.issued.remove(id).is_none();
    }

    /// Rewrites the file if anything changed, readable by its owner alone; it is complete at any moment.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn save(&mut self) -> anyhow::Result<()> {
        if let Some(file) = self.file.as_mut().filter(|_| !self.saved) {
            let shown = file.path.display().to_string();
            file.write(&self.issued)
                .with_context(|| format!("cannot keep the stream keys in {shown}"))?;
            self.saved = true;
        }
        Ok(())
    }
}

impl KeysFile {
    fn open(path: PathBuf) -> anyhow::Result<(Self, BTreeMap<SubscriptionId, Identity>)> {
        let shown = path.display().to_string();
        anyhow::ensure!(
            path.file_name().is_some() && !path.is_dir(),
            "cannot keep the stream keys in {shown}: it is a folder"
        );
        let lock = lock(&path)?;
        let known =
            current(&path).with_context(|| format!("cannot read the stream keys in {shown}"))?;
        let issued = match &known {
            Some(bytes) => parse(bytes).with_context(|| {
                format!(
                    "the stream keys in {shown} are damaged: mend the file, or move it away (mv '{shown}' '{shown}.damaged') \
                     and every stream gets a new key"
                )
            })?,
            None => BTreeMap::new(),
        };
        let file = Self {
            path,
            known: known.map(Known),
            _lock: lock,
        };
        Ok((file, issued))
    }

    fn write(&mut self, issued: &BTreeMap<SubscriptionId, Identity>) -> anyhow::Result<()> {
        let bytes = encode(issued)?;
        self.keep_foreign_content()?;
        replace(&self.path, &bytes)?;
        self.known = Some(Known(bytes));
        Ok(())
    }

    /// Keeps, beside the file, what somebody else has written into it since.
    fn keep_foreign_content(&self) -> anyhow::Result<()> {
        // What cannot be read is not known to be ours, either.
        let now = current(&self.path);
        let ours = self.known.as_ref().map(|known| &known.0);
        if matches!(&now, Ok(None)) || matches!(&now, Ok(Some(bytes)) if Some(bytes) == ours) {
            return Ok(());
        }
        let kept = (1..1000)
            .map(|n| beside(&self.path, &format!(".replaced-{n}")))
            .find(|path| fs::symlink_metadata(path).is_err())
            .context("there are a thousand of them already")?;
        fs::rename(&self.path, &kept)?;
        tracing::warn!(
            "somebody else has written into {}: that is kept as {}",
            self.path.display(),
            kept.display()
        );
        Ok(())
    }
}

/// Takes the lock beside the file, which is held as long as it lives; a process that is killed loses it.
fn lock(path: &Path) -> anyhow::Result<File> {
    let lock = beside(path, ".lock");
    let shown = path.display();
    let file = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&lock)
        .with_context(|| format!("cannot keep the stream keys in {shown}: {}", lock.display()))?;
    if !try_lock(&file).with_context(|| format!("cannot lock {}", lock.display()))? {
        bail!(
            "another datastream dev keeps its stream keys in {shown} (it holds {}): stop it, or give this one a file of its own with --keys",
            lock.display()
        );
    }
    Ok(file)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(suffix);
    name.into()
}

/// The content of the file; none if there is no file.
fn current(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match read_regular(path, MAX_FILE) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        bytes => bytes.map(Some),
    }
}

fn parse(bytes: &[u8]) -> anyhow::Result<BTreeMap<SubscriptionId, Identity>> {
    let entries: BTreeMap<String, Entry> = serde_json::from_slice(bytes)?;
    let identity = |(id, entry): (String, Entry)| {
        let (namespace, name) = id
            .split_once('/')
            .with_context(|| format!("{id:?} is no NAMESPACE/NAME"))?;
        let key =
            StreamKey::parse(&entry.stream_key).with_context(|| format!("the key of {id}"))?;
        let uid = entry.uid;
        Ok((SubscriptionId::new(namespace, name), Identity { uid, key }))
    };
    entries.into_iter().map(identity).collect()
}

fn encode(issued: &BTreeMap<SubscriptionId, Identity>) -> serde_json::Result<Vec<u8>> {
    let entry = |(id, identity): (&SubscriptionId, &Identity)| {
        let entry = Entry {
            uid: identity.uid.clone(),
            stream_key: identity.key.expose().to_owned(),
        };
        (id.to_string(), entry)
    };
    let entries: BTreeMap<_, _> = issued.iter().map(entry).collect();
    serde_json::to_vec_pretty(&entries)
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = beside(path, ".new");
    // What a killed process left behind may be readable by others.
    let _ = fs::remove_file(&temporary);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn keys_survive_a_restart_in_a_private_file_until_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.json");
        let [a, b] = ["a", "b"].map(|name| SubscriptionId::new("default", name));
        let mut keys = Keys::load(Some(file.clone())).unwrap();
        let (first, second) = (keys.of(&a).unwrap(), keys.of(&b).unwrap());
        assert_ne!(first.key.expose(), second.key.expose());
        assert_ne!(first.uid, second.uid);
        keys.save().unwrap();
        assert!(!format!("{keys:?}").contains(first.key.expose()));
        drop(keys);
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let mut keys = Keys::load(Some(file)).unwrap();
        let again = keys.of(&a).unwrap();
        assert_eq!(
            (again.uid, again.key.expose()),
            (first.uid, first.key.expose())
        );
        keys.forget(&a);
        assert_ne!(keys.of(&a).unwrap().key.expose(), first.key.expose());
        assert_eq!(keys.of(&b).unwrap().key.expose(), second.key.expose());
        assert!(!format!("{keys:?}").contains(second.key.expose()));
    }

    #[test]
    fn a_damaged_key_file_is_rejected_and_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.json");
        for text in [
            "{",
            r#"{"a":{"uid":"u","stream_key":"0123456789abcdef0123456789abcdef"}}"#,
            r#"{"a/b":{"uid":"u","stream_key":"short"}}"#,
        ] {
            fs::write(&file, text).unwrap();
            let error = Keys::load(Some(file.clone())).unwrap_err();
            let error = error.to_string();
            assert!(
                error.contains("keys.json are damaged: mend"),
                "{text}: {error}"
            );
            assert_eq!(fs::read_to_string(&file).unwrap(), text);
        }
    }

    #[test]
    fn a_second_process_with_the_same_key_file_is_rejected() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.json");
        let first = Keys::load(Some(file.clone())).unwrap();
        let error = Keys::load(Some(file.clone())).unwrap_err().to_string();
        assert!(
            error.contains("another datastream dev") && error.contains("--keys"),
            "{error}"
        );
        drop(first);
        Keys::load(Some(file)).unwrap();
    }

    #[test]
    fn content_written_by_others_is_kept_in_a_backup_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.json");
        let mut keys = Keys::load(Some(file.clone())).unwrap();
        for (n, text) in ["{ damaged", ""].iter().enumerate() {
            fs::write(&file, text).unwrap();
            let id = SubscriptionId::new("default", format!("a{n}"));
            let key = keys.of(&id).unwrap().key;
            keys.save().unwrap();
            assert!(fs::read_to_string(&file).unwrap().contains(key.expose()));
            let kept = folder.path().join(format!("keys.json.replaced-{}", n + 1));
            assert_eq!(fs::read_to_string(kept).unwrap(), *text);
        }
    }
}

//! What a subscription keeps as long as it exists: its stream key and its uid; in a file, if wanted.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use datastream_operator::build::{StreamKey, new_stream_key};
use datastream_routing::SubscriptionId;
use serde::{Deserialize, Serialize};

/// What the API server (the uid) and the operator (the key) give a subscription once.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    /// As `metadata.uid`: another one after it was deleted and made again.
    pub uid: String,
    /// The key of its stream.
    pub key: StreamKey,
}

/// The identity of every subscription that exists.
#[derive(Debug)]
pub(super) struct Keys {
    file: Option<PathBuf>,
    issued: BTreeMap<SubscriptionId, Identity>,
    saved: bool,
}

/// An entry of the file, under `NAMESPACE/NAME`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    uid: String,
    stream_key: String,
}

impl Keys {
    /// Those of the file, if there is one.
    ///
    /// # Errors
    /// The file is there, but cannot be read.
    pub(super) fn load(file: Option<PathBuf>) -> anyhow::Result<Self> {
        let issued = match &file {
            Some(path) => read(path).with_context(|| {
                format!(
                    "cannot read the stream keys in {}: remove the file to get new keys",
                    path.display()
                )
            })?,
            None => BTreeMap::new(),
        };
        Ok(Self {
            file,
            issued,
            saved: true,
        })
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

    /// Writes the file anew if anything changed, readable by its owner alone; it is whole at any moment.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn save(&mut self) -> anyhow::Result<()> {
        if let Some(path) = self.file.as_ref().filter(|_| !self.saved) {
            write(path, &self.issued)
                .with_context(|| format!("cannot keep the stream keys in {}", path.display()))?;
            self.saved = true;
        }
        Ok(())
    }
}

fn read(path: &Path) -> anyhow::Result<BTreeMap<SubscriptionId, Identity>> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        text => text?,
    };
    let entries: BTreeMap<String, Entry> = serde_json::from_str(&text)?;
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

fn write(path: &Path, issued: &BTreeMap<SubscriptionId, Identity>) -> anyhow::Result<()> {
    let entry = |(id, identity): (&SubscriptionId, &Identity)| {
        let entry = Entry {
            uid: identity.uid.clone(),
            stream_key: identity.key.expose().to_owned(),
        };
        (id.to_string(), entry)
    };
    let entries: BTreeMap<_, _> = issued.iter().map(entry).collect();
    let mut temporary = path.to_owned().into_os_string();
    temporary.push(".new");
    // What a killed process left behind may be readable by others.
    let _ = fs::remove_file(&temporary);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(serde_json::to_string_pretty(&entries)?.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn keys_stay_until_forgotten_and_survive_a_restart_in_a_private_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.json");
        let [a, b] = ["a", "b"].map(|name| SubscriptionId::new("default", name));
        let mut keys = Keys::load(Some(file.clone())).unwrap();
        let (first, second) = (keys.of(&a).unwrap(), keys.of(&b).unwrap());
        assert_ne!(first.key.expose(), second.key.expose());
        assert_ne!(first.uid, second.uid);
        keys.save().unwrap();
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
    fn a_broken_file_is_refused_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.json");
        for text in [
            "{",
            r#"{"a":{"uid":"u","stream_key":"0123456789abcdef0123456789abcdef"}}"#,
            r#"{"a/b":{"uid":"u","stream_key":"short"}}"#,
        ] {
            fs::write(&file, text).unwrap();
            let error = Keys::load(Some(file.clone())).unwrap_err();
            assert!(error.to_string().contains("keys.json"), "{text}");
            assert_eq!(fs::read_to_string(&file).unwrap(), text);
        }
    }
}

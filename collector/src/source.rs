//! Source of a stream: its URL and its key, which may be in files that change.

use std::fs;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};

use datastream_client::{CredentialFiles, Credentials};
use datastream_protocol::{StreamUrl, StreamUrlError};

/// Parameters that the collector sets itself.
const OWN_PARAMETERS: [&str; 5] = ["seq_start", "seq_end", "time_start", "on_gap", "markers"];

/// The place of the key.
#[derive(Debug)]
pub(super) enum KeyFrom {
    /// Key in the URL.
    Url,
    /// Key in the configuration.
    Given(SecretString),
    /// Key in a file that is read at every connect.
    File(PathBuf),
}

/// The part of a request that the key travels in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum KeyIn {
    /// The query of the URL, where proxies log it: the one that the Datastream Service reads.
    #[default]
    Query,
    /// The header `Authorization`.
    Header,
}

/// The URL and the key of a stream. Debug shows no key.
#[derive(Debug)]
pub(super) struct Source {
    key: KeySource,
    key_in: KeyIn,
    files: CredentialFiles,
}

impl From<KeySource> for Source {
    fn from(key: KeySource) -> Self {
        Self {
            key,
            key_in: KeyIn::default(),
            files: CredentialFiles::default(),
        }
    }
}

#[derive(Debug)]
enum KeySource {
    /// The URL with the key in it.
    Fixed(StreamUrl),
    /// The URL, and the file with the key.
    Key(StreamUrl, PathBuf),
    /// The file with the URL, the key in it.
    Url(PathBuf),
}

/// The reason why there is no URL to connect to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SourceError {
    /// No URL of a stream, or one without a key.
    #[error("{0}")]
    Url(#[from] StreamUrlError),
    /// Neither the URL nor the configuration has a key.
    #[error(
        "the URL has no stream_key: add it there, or give key, keyFile or keyEnv; or, for a token or a certificate, say subscription"
    )]
    NoKey,
    /// Both have one.
    #[error("the URL has a stream_key already: give the key in one place only")]
    TwoKeys,
    /// A text that cannot be a key.
    #[error("the key of a stream has letters and digits only, no spaces or other characters")]
    BadKey,
    /// The URL has a parameter that is the collector's to set.
    #[error("the URL has {0}, which the collector sets itself: remove it, and use start and onGap")]
    OwnParameter(&'static str),
    /// A file of caFile, certFile, certKeyFile or tokenFile that cannot be used.
    #[error("{0}")]
    Credentials(String),
    /// Both a token and a stream key.
    #[error("give a tokenFile or a stream key, not both")]
    TokenAndKey,
    /// A file that cannot be read.
    #[error("cannot read {path}: {reason}")]
    File {
        /// Its path.
        path: String,
        /// The system's error message.
        reason: String,
    },
}

impl Source {
    /// A stream at this URL, that of this subscription if the URL does not say.
    pub(super) fn of_url(
        url: &SecretString,
        key: KeyFrom,
        subscription: Option<&str>,
    ) -> Result<Self, SourceError> {
        let mut url = StreamUrl::locate(url.expose_secret().trim())?;
        if let Some(subscription) = subscription {
            url.set_subscription(subscription);
        }
        for parameter in OWN_PARAMETERS {
            if url.get(parameter).is_some() {
                return Err(SourceError::OwnParameter(parameter));
            }
        }
        let is_named = url.subscription().is_some();
        match (key, url.key().is_some()) {
            (KeyFrom::Url, false) if is_named => Ok(KeySource::Fixed(url).into()),
            (KeyFrom::Url, true) => Ok(KeySource::Fixed(url).into()),
            (KeyFrom::Url, false) => Err(SourceError::NoKey),
            (_, true) => Err(SourceError::TwoKeys),
            (KeyFrom::Given(key), false) => {
                set_key(&mut url, key.expose_secret())?;
                Ok(KeySource::Fixed(url).into())
            }
            (KeyFrom::File(path), false) => Ok(KeySource::Key(url, path).into()),
        }
    }

    /// A stream whose URL, key and all, is in a file that is read at every connect.
    pub(super) fn of_file(path: PathBuf) -> Self {
        KeySource::Url(path).into()
    }

    /// The same stream, with its key sent in this part of requests.
    pub(super) const fn with_key_in(mut self, key_in: KeyIn) -> Self {
        self.key_in = key_in;
        self
    }

    /// The same stream, with the credentials in these files, which are read at every connect.
    pub(super) fn with_files(mut self, files: CredentialFiles) -> Self {
        self.files = files;
        self
    }

    /// Returns whether it has a stream key.
    pub(super) fn has_key(&self) -> bool {
        match &self.key {
            KeySource::Fixed(url) => url.key().is_some(),
            KeySource::Key(..) | KeySource::Url(_) => true,
        }
    }

    /// The credentials, and the authorities whose certificates are taken.
    pub(super) fn credentials(&self) -> Result<Credentials, SourceError> {
        if self.has_key() && self.files.token.is_some() {
            return Err(SourceError::TokenAndKey);
        }
        Credentials::new(self.files.clone()).map_err(SourceError::Credentials)
    }

    /// Text that is the same for two sources of one stream: the key, or without one the URL; none if it is in a file.
    pub(super) fn fixed_stream(&self) -> Option<String> {
        match &self.key {
            KeySource::Fixed(url) => url.key().map(str::to_owned).or_else(|| Some(url.expose())),
            KeySource::Key(..) | KeySource::Url(_) => None,
        }
    }

    /// The URL with the key, read again from their source.
    pub(super) fn url(&self) -> Result<StreamUrl, SourceError> {
        let mut url = match &self.key {
            KeySource::Fixed(url) => url.clone(),
            KeySource::Key(url, path) => {
                let mut url = url.clone();
                set_key(&mut url, read(path)?.expose_secret().trim())?;
                url
            }
            KeySource::Url(path) => match Self::of_url(&read(path)?, KeyFrom::Url, None)?.key {
                KeySource::Fixed(url) => url,
                KeySource::Key(..) | KeySource::Url(_) => return Err(SourceError::NoKey),
            },
        };
        if self.key_in == KeyIn::Header {
            url.move_key_to_header();
        }
        Ok(url)
    }
}

fn set_key(url: &mut StreamUrl, key: &str) -> Result<(), SourceError> {
    let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~');
    if key.is_empty() || !key.bytes().all(fine) {
        return Err(SourceError::BadKey);
    }
    url.set_key(key);
    Ok(())
}

/// The text of a file with a key or a URL, without the byte order mark that some editors write.
pub(super) fn read(path: &Path) -> Result<SecretString, SourceError> {
    fs::read_to_string(path)
        .map(|text| text.strip_prefix('\u{feff}').unwrap_or(&text).into())
        .map_err(|e| SourceError::File {
            path: path.display().to_string(),
            reason: e.to_string(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(url: &str, key: KeyFrom) -> Result<Source, SourceError> {
        Source::of_url(&url.into(), key, None)
    }

    #[test]
    fn a_key_in_both_url_and_setting_or_in_neither_is_rejected() {
        let given = || KeyFrom::Given("k1".into());
        let url = |s: Source| s.url().unwrap().expose();
        let with_key = "ws://h/stream?stream_key=k1";
        assert_eq!(url(source("ws://h", given()).unwrap()), with_key);
        assert_eq!(url(source(with_key, KeyFrom::Url).unwrap()), with_key);
        assert_eq!(
            source("ws://h", KeyFrom::Url).unwrap_err(),
            SourceError::NoKey
        );
        assert_eq!(source(with_key, given()).unwrap_err(), SourceError::TwoKeys);
        let spaced = KeyFrom::Given("k 1".into());
        assert_eq!(source("ws://h", spaced).unwrap_err(), SourceError::BadKey);
    }

    #[test]
    fn a_stream_without_a_key_names_its_subscription_and_a_token_takes_the_place_of_a_key() {
        let named = Source::of_url(&"ws://h".into(), KeyFrom::Url, Some("team/leds")).unwrap();
        let url = named.url().unwrap();
        assert_eq!(url.expose(), "ws://h/stream?subscription=team/leds");
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        let files = CredentialFiles {
            token: Some(token.clone()),
            ..CredentialFiles::default()
        };
        let named = named.with_files(files.clone());
        let error = named.credentials().unwrap_err().to_string();
        assert!(error.contains("token: "), "{error}");
        fs::write(&token, "a.b.c\n").unwrap();
        assert!(named.credentials().is_ok());
        let keyed = source("ws://h?stream_key=k", KeyFrom::Url).unwrap();
        let error = keyed.with_files(files).credentials().unwrap_err();
        assert_eq!(error, SourceError::TokenAndKey);
    }

    #[test]
    fn url_parameters_that_the_collector_sets_are_rejected() {
        let error = source("ws://h?stream_key=k&seq_start=3", KeyFrom::Url).unwrap_err();
        assert_eq!(error, SourceError::OwnParameter("seq_start"));
    }

    #[test]
    fn url_and_key_files_are_read_every_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let by_key = source("ws://h", KeyFrom::File(path.clone())).unwrap();
        assert!(matches!(by_key.url(), Err(SourceError::File { .. })));
        for (text, key) in [("k1\n", "k1"), ("\u{feff}k2\r\n", "k2")] {
            fs::write(&path, text).unwrap();
            let expected = format!("ws://h/stream?stream_key={key}");
            assert_eq!(by_key.url().unwrap().expose(), expected);
        }
        let in_header = by_key.with_key_in(KeyIn::Header).url().unwrap();
        assert_eq!(in_header.expose(), "ws://h/stream");
        assert_eq!(in_header.bearer(), Some("k2"));
        let by_url = Source::of_file(path.clone());
        assert!(matches!(by_url.url(), Err(SourceError::Url(_))));
        fs::write(&path, "\u{feff}wss://h/stream?stream_key=k3\n").unwrap();
        assert_eq!(
            by_url.url().unwrap().expose(),
            "wss://h/stream?stream_key=k3"
        );
    }
}

//! The shape of `streams.yaml`, described in `docs/collector.md`.

use std::path::PathBuf;
use std::time::Duration;

use datastream_client::CredentialFiles;
use datastream_service::tls::IdentityFiles;
use datastream_service::yaml::SyntaxError;
use secrecy::SecretString;
use serde::Deserialize;

use super::units;
use super::{
    JsonlPlan, OnGap, Plan, PostgresPlan, PostgresUrl, Problem, SqlitePlan, Start, StorePlan,
    StreamPlan,
};
use crate::source::{KeyFrom, KeyIn, Source};

/// A new file of JSON lines is begun at this size unless the configuration says otherwise.
pub(super) const ROTATE_BYTES: u64 = 256 << 20;
/// The table unless the configuration says otherwise.
pub(super) const TABLE: &str = "events";
/// A session is abandoned after this time unless the configuration says otherwise.
pub(super) const ABANDONED_AFTER: Duration = Duration::from_mins(1);

/// A text with a key or a password in it.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "String")]
struct Hidden(SecretString);

impl From<String> for Hidden {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct File {
    #[serde(default)]
    defaults: Defaults,
    streams: Vec<Stream>,
}

/// Settings of streams that do not say otherwise.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Defaults {
    url: Option<Hidden>,
    key_in: Option<KeyIn>,
    ca_file: Option<PathBuf>,
    token_file: Option<PathBuf>,
    cert_file: Option<PathBuf>,
    cert_key_file: Option<PathBuf>,
    store: Option<Stores>,
    start: Option<String>,
    on_gap: Option<OnGap>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Stream {
    name: String,
    subscription: Option<String>,
    url: Option<Hidden>,
    url_file: Option<PathBuf>,
    key: Option<Hidden>,
    key_file: Option<PathBuf>,
    key_env: Option<String>,
    key_in: Option<KeyIn>,
    ca_file: Option<PathBuf>,
    token_file: Option<PathBuf>,
    cert_file: Option<PathBuf>,
    cert_key_file: Option<PathBuf>,
    store: Option<Stores>,
    start: Option<String>,
    on_gap: Option<OnGap>,
    dead_letter: Option<PathBuf>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Stores {
    jsonl: Option<Jsonl>,
    sqlite: Option<Sqlite>,
    postgres: Option<Postgres>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Jsonl {
    dir: PathBuf,
    rotate_bytes: Option<String>,
    rotate_every: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Sqlite {
    path: PathBuf,
    table: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Postgres {
    url: Option<Hidden>,
    url_file: Option<PathBuf>,
    url_env: Option<String>,
    ca_file: Option<PathBuf>,
    table: Option<String>,
    abandoned_after: Option<String>,
}

/// Reads the file; only its shape is checked.
pub(super) fn read(text: &str) -> Result<File, SyntaxError> {
    serde_saphyr::from_str(text).map_err(|error| SyntaxError::of(&error))
}

impl File {
    /// Returns the plan that the file asks for.
    pub(super) fn plan(self) -> Result<Plan, Problem> {
        let Self { defaults, streams } = self;
        let streams = streams.into_iter().enumerate().map(|(index, stream)| {
            let place = format!("streams[{index}]");
            let plan = stream.plan(&defaults, &place);
            plan.map_err(|p| match p.path.strip_prefix("defaults.") {
                Some(_) => p,
                None => p.within(&place),
            })
        });
        Ok(Plan {
            streams: streams.collect::<Result<_, _>>()?,
        })
    }
}

impl Stream {
    fn plan(self, defaults: &Defaults, place: &str) -> Result<StreamPlan, Problem> {
        let key = match (self.key, self.key_file, self.key_env) {
            (None, None, None) => KeyFrom::Url,
            (Some(Hidden(key)), None, None) => KeyFrom::Given(key),
            (None, Some(path), None) => KeyFrom::File(path),
            (None, None, Some(variable)) => {
                KeyFrom::Given(variable_of(&variable).map_err(|r| Problem::new("keyEnv", r))?)
            }
            _ => {
                let reason = "give only one of key, keyFile and keyEnv";
                return Err(Problem::new("", reason));
            }
        };
        let subscription = self.subscription.as_deref();
        if subscription.is_some_and(|text| !is_subscription(text)) {
            let reason = "write NAMESPACE/NAME, as in team/leds";
            return Err(Problem::new("subscription", reason));
        }
        let source = match (self.url.or_else(|| defaults.url.clone()), self.url_file) {
            (_, Some(_)) if subscription.is_some() => {
                let reason =
                    "the file has the URL of the stream: put the subscription there, or give url";
                return Err(Problem::new("urlFile", reason));
            }
            (_, Some(path)) if matches!(key, KeyFrom::Url) => Source::of_file(path),
            (_, Some(_)) => {
                let reason = "the file has the URL with the key in it: leave out the other key";
                return Err(Problem::new("urlFile", reason));
            }
            (Some(Hidden(url)), None) => Source::of_url(&url, key, subscription)
                .map_err(|e| Problem::new("url", e.to_string()))?,
            (None, None) => {
                let reason = "give url or urlFile, or a url under defaults";
                return Err(Problem::new("", reason));
            }
        };
        let identity = match (self.cert_file, self.cert_key_file) {
            (None, None) => (defaults.cert_file.clone(), defaults.cert_key_file.clone()),
            own => own,
        };
        let identity = match identity {
            (Some(certificate), Some(key)) => Some(IdentityFiles { certificate, key }),
            (None, None) => None,
            _ => {
                let reason = "a certificate and its private key belong together: give both certFile and certKeyFile";
                return Err(Problem::new("", reason));
            }
        };
        let files = CredentialFiles {
            authorities: self.ca_file.or_else(|| defaults.ca_file.clone()),
            identity,
            token: match (self.token_file, &defaults.token_file) {
                // A stream that has a key needs no other streams' token.
                (None, Some(_)) if source.has_key() => None,
                (own, default) => own.or_else(|| default.clone()),
            },
        };
        let key_in = self.key_in.or(defaults.key_in).unwrap_or_default();
        let stores = match (&self.store, &defaults.store) {
            (Some(stores), _) => stores.plan().map_err(|p| p.within("store"))?,
            (None, Some(stores)) => stores.plan().map_err(|p| p.within("defaults.store"))?,
            (None, None) => {
                let reason = "give a store: jsonl, sqlite or postgres, here or under defaults";
                return Err(Problem::new("", reason));
            }
        };
        let start = match (&self.start, &defaults.start) {
            (Some(text), _) => start(text).map_err(|r| Problem::new("start", r))?,
            (None, Some(text)) => start(text).map_err(|r| Problem::new("defaults.start", r))?,
            (None, None) => Start::default(),
        };
        Ok(StreamPlan {
            name: self.name,
            place: place.to_owned(),
            source: source.with_key_in(key_in).with_files(files),
            stores,
            start,
            on_gap: self.on_gap.or(defaults.on_gap).unwrap_or_default(),
            dead_letter: self.dead_letter,
        })
    }
}

impl Stores {
    fn plan(&self) -> Result<Vec<StorePlan>, Problem> {
        let mut stores = Vec::new();
        if let Some(jsonl) = &self.jsonl {
            stores.push(jsonl.plan().map_err(|p| p.within("jsonl"))?);
        }
        if let Some(Sqlite { path, table }) = self.sqlite.clone() {
            stores.push(StorePlan::Sqlite(SqlitePlan {
                path,
                table: table.unwrap_or_else(|| TABLE.to_owned()),
            }));
        }
        if let Some(postgres) = &self.postgres {
            stores.push(postgres.plan().map_err(|p| p.within("postgres"))?);
        }
        Ok(stores)
    }
}

impl Jsonl {
    fn plan(&self) -> Result<StorePlan, Problem> {
        let rotate_bytes = match &self.rotate_bytes {
            Some(text) => units::bytes(text).map_err(|r| Problem::new("rotateBytes", r))?,
            None => ROTATE_BYTES,
        };
        let rotate_every = self.rotate_every.as_deref().map(units::duration);
        let rotate_every = rotate_every.transpose();
        Ok(StorePlan::Jsonl(JsonlPlan {
            dir: self.dir.clone(),
            rotate_bytes,
            rotate_every: rotate_every.map_err(|r| Problem::new("rotateEvery", r))?,
        }))
    }
}

impl Postgres {
    fn plan(&self) -> Result<StorePlan, Problem> {
        let url = match (&self.url, &self.url_file, &self.url_env) {
            (Some(Hidden(url)), None, None) => PostgresUrl::Fixed(url.clone()),
            (None, Some(path), None) => PostgresUrl::File(path.clone()),
            (None, None, Some(name)) => {
                let url = variable_of(name).map_err(|r| Problem::new("urlEnv", r))?;
                PostgresUrl::Fixed(url)
            }
            _ => {
                let reason = "give one of url, urlFile and urlEnv";
                return Err(Problem::new("", reason));
            }
        };
        let abandoned_after = match &self.abandoned_after {
            Some(text) => units::duration(text).map_err(|r| Problem::new("abandonedAfter", r))?,
            None => ABANDONED_AFTER,
        };
        Ok(StorePlan::Postgres(PostgresPlan {
            url,
            ca_file: self.ca_file.clone(),
            table: self.table.clone().unwrap_or_else(|| TABLE.to_owned()),
            abandoned_after,
        }))
    }
}

fn is_subscription(text: &str) -> bool {
    let is_name = |name: &str| {
        let is_letter =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
        !name.is_empty() && name.bytes().all(is_letter)
    };
    let parts = text.split_once('/');
    parts.is_some_and(|(namespace, name)| is_name(namespace) && is_name(name))
}

fn variable_of(name: &str) -> Result<SecretString, String> {
    match std::env::var(name) {
        Ok(value) => Ok(value.trim().into()),
        Err(_) => Err(format!("the environment has no variable {name}")),
    }
}

fn start(text: &str) -> Result<Start, String> {
    Ok(match text {
        "latest" => Start::Latest,
        "earliest" => Start::Earliest,
        "committed" => Start::Committed,
        number if datastream_protocol::position::after(number).is_some() => {
            Start::Seq(number.to_owned())
        }
        time if time.parse::<jiff::Timestamp>().is_ok() => Start::Time(time.to_owned()),
        other => {
            return Err(format!(
                "{other:?} is no place to start: write latest, earliest, committed, a sequence number, or a time as in 2026-11-24T08:00:00Z"
            ));
        }
    })
}

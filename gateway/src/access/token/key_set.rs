//! The keys of an issuer (RFC 7517), kept and read again: in time, and when a token names one that is not among them.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Header};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};

use super::TokenSettings;
use super::fetch::Issuer;

/// Interval at which the keys are read again: after that, a key that its issuer has taken back signs nothing any more.
const INTERVAL: Duration = Duration::from_mins(5);
/// Time between two reads, however many tokens name keys that nobody has.
const PAUSE: Duration = Duration::from_secs(5);
/// Time after the pause until they are read again by themselves.
const REST: Duration = INTERVAL.saturating_sub(PAUSE);
/// Time for which a token that names an unknown key waits for the keys to be read.
const PATIENCE: Duration = Duration::from_secs(12);
/// Keys of one issuer that are kept.
const MAX_KEYS: usize = 64;

/// The keys of the issuer, as last read.
#[derive(Debug)]
pub(crate) struct KeySet {
    issuer: Issuer,
    known: watch::Sender<Known>,
    /// Notified when somebody has a token that is signed with a key which is not known.
    wanted: Notify,
}

#[derive(Clone, Debug, Default)]
struct Known {
    keys: Arc<[Key]>,
    /// Number of the read that was begun last.
    begun: u64,
    /// Number of the read that is over last, for good or ill.
    done: u64,
    /// Time at which the keys were last read.
    read: Option<Instant>,
    /// The failure of the last read, if it did fail.
    error: Option<String>,
}

/// A key that verifies tokens.
#[derive(Clone, Debug)]
pub(super) struct Key {
    id: Option<String>,
    /// The one algorithm that it is for, if its issuer says so.
    algorithm: Option<Algorithm>,
    /// The algorithms that its type can do.
    algorithms: &'static [Algorithm],
    pub decoding: DecodingKey,
}

/// The key that a token is signed with.
pub(super) enum Lookup {
    /// It is there.
    Found(Key),
    /// It is not there (yet).
    Missing,
    /// The token names it in a way that is not taken.
    Refused(&'static str),
}

/// State of the keys, for whoever operates the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct KeySetReport {
    /// The issuer.
    pub issuer: String,
    /// Number of keys.
    pub keys: usize,
    /// They have been read at least once.
    #[serde(skip)]
    pub is_read: bool,
    /// The failure of the last read, if it did fail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl KeySet {
    /// The keys of the issuer of these tokens, of which none is known yet.
    ///
    /// # Errors
    /// A setting that cannot be used.
    pub(crate) fn new(settings: &TokenSettings) -> anyhow::Result<Self> {
        Ok(Self {
            issuer: Issuer::new(settings)?,
            known: watch::Sender::default(),
            wanted: Notify::new(),
        })
    }

    /// A set with these keys, which is not read again.
    #[cfg(test)]
    pub(super) fn with(settings: &TokenSettings, set: &Value) -> Self {
        let this = Self::new(settings).unwrap();
        let keys = keys_of(&JsonKeySet::deserialize(set).unwrap());
        this.known.send_modify(|known| known.keys = keys);
        this
    }

    /// Reads the keys again and again, for as long as the process lives.
    pub(crate) async fn run(self: Arc<Self>) {
        loop {
            self.known.send_modify(|known| known.begun += 1);
            let read = self.issuer.keys().await.map(|keys| keys_of(&keys));
            let failed = read.is_err();
            self.known.send_modify(|known| {
                known.done = known.begun;
                match read {
                    Ok(keys) => {
                        if known.error.take().is_some() || known.read.is_none() {
                            tracing::info!(keys = keys.len(), "read the keys of the issuer");
                        }
                        (known.keys, known.read) = (keys, Some(Instant::now()));
                    }
                    // Those that are known stay: an issuer that is away ends no stream.
                    Err(error) => {
                        let error = format!("{error:#}");
                        if known.error.as_ref() != Some(&error) {
                            tracing::warn!(error, "cannot read the keys of the issuer");
                        }
                        known.error = Some(error);
                    }
                }
            });
            sleep(PAUSE).await;
            if !failed {
                let _ = timeout(REST, self.wanted.notified()).await;
            }
        }
    }

    /// State of the keys.
    pub(crate) fn report(&self) -> KeySetReport {
        let known = self.known.borrow();
        KeySetReport {
            issuer: self.issuer.name().to_owned(),
            keys: known.keys.len(),
            error: known.error.clone(),
            is_read: known.read.is_some(),
        }
    }

    /// Finds the key that a token is signed with.
    pub(super) fn find(&self, header: &Header) -> Lookup {
        self.known.borrow().find(header)
    }

    /// Waits until the key of a token is known, or the keys have been read once more. Returns whether they have, in time.
    pub(super) async fn refreshed(&self, header: &Header) -> bool {
        let mut known = self.known.subscribe();
        // One that is under way may be older than the key.
        let wanted = known.borrow_and_update().begun + 1;
        self.wanted.notify_one();
        let read = known.wait_for(|known| {
            known.done >= wanted || matches!(known.find(header), Lookup::Found(_))
        });
        match timeout(PATIENCE, read).await {
            Ok(Ok(known)) => known.error.is_none(),
            Ok(Err(_)) | Err(_) => false,
        }
    }
}

impl Known {
    /// Finds the key that a token is signed with.
    fn find(&self, header: &Header) -> Lookup {
        let mut fitting = self.keys.iter().filter(|key| key.does(header.alg));
        if let Some(id) = &header.kid {
            let found = fitting.find(|key| key.id.as_ref() == Some(id));
            if found.is_none() && self.keys.iter().any(|key| key.id.as_ref() == Some(id)) {
                return Lookup::Refused("its algorithm (alg) is not that of its key");
            }
            return found.map_or(Lookup::Missing, |key| Lookup::Found(key.clone()));
        }
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Lookup::Found(key.clone()),
            (Some(_), Some(_)) => Lookup::Refused("it does not name its key (kid)"),
            (None, _) => Lookup::Missing,
        }
    }
}

impl Key {
    fn does(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm) && self.algorithm.is_none_or(|own| own == algorithm)
    }

    /// A key that verifies signatures; none if it is for something else, or of a kind that is not taken.
    fn of(jwk: &Jwk) -> Option<Self> {
        use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
        let algorithms: &[_] = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => &[RS256, RS384, RS512, PS256, PS384, PS512],
            AlgorithmParameters::EllipticCurve(key) => match key.curve {
                EllipticCurve::P256 => &[ES256],
                EllipticCurve::P384 => &[ES384],
                _ => return None,
            },
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
                &[EdDSA]
            }
            _ => return None,
        };
        let common = &jwk.common;
        let signs = matches!(&common.public_key_use, None | Some(PublicKeyUse::Signature));
        let verifies = common.key_operations.as_ref();
        if !signs || verifies.is_some_and(|ops| !ops.contains(&KeyOperations::Verify)) {
            return None;
        }
        let algorithm = match common.key_algorithm {
            Some(named) => Some(named.to_string().parse().ok()?),
            None => None,
        };
        Some(Self {
            id: common.key_id.clone(),
            algorithm,
            algorithms,
            decoding: DecodingKey::from_jwk(jwk).ok()?,
        })
    }
}

/// A set of keys, as its issuer serves it.
#[derive(Deserialize)]
pub(super) struct JsonKeySet {
    keys: Vec<Value>,
}

/// The keys of a set that can be used. What is not understood is left out (RFC 7517, section 5).
fn keys_of(set: &JsonKeySet) -> Arc<[Key]> {
    let read = set.keys.iter().filter_map(|key| Jwk::deserialize(key).ok());
    read.filter_map(|jwk| Key::of(&jwk))
        .take(MAX_KEYS)
        .collect()
}

//! The codec of one routing object: a versioned, sorted list of routes.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::bucket_id::BucketId;
use crate::route::Route;

/// The newest version of the format that this build reads. Any change of meaning raises it. Written is the oldest version that says
/// it all, so that gateways of the release before go on for as long as they can.
///
/// - 1: one key for each route.
/// - 2: a route may have the key before it, too.
/// - 3: a route may ask for a client certificate, may have labels, and may be denied.
pub const FORMAT_VERSION: u32 = 3;

/// The first 16 bytes of the SHA-256 of a bucket's encoded bytes: what gateways acknowledge in their Leases.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BucketHash([u8; 16]);

impl BucketHash {
    /// The hash of a bucket's encoded bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let digest: [u8; 32] = Sha256::digest(bytes).into();
        let mut short = [0; 16];
        short.copy_from_slice(&digest[..16]);
        Self(short)
    }
}

impl fmt::Display for BucketHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for BucketHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for BucketHash {
    type Err = hex::FromHexError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 16];
        hex::decode_to_slice(s, &mut bytes)?;
        Ok(Self(bytes))
    }
}

/// One routing object: the routes of all subscriptions whose identity hashes to `bucket`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Number of the bucket, one of 256.
    pub id: BucketId,
    /// The routes, sorted by identity.
    pub routes: Vec<Route>,
}

/// Returns the buckets that hold these routes. Buckets without routes are left out.
pub fn buckets(routes: impl IntoIterator<Item = Route>) -> BTreeMap<BucketId, Bucket> {
    let mut buckets: BTreeMap<BucketId, Vec<Route>> = BTreeMap::new();
    for route in routes {
        buckets.entry(route.id.bucket()).or_default().push(route);
    }
    buckets
        .into_iter()
        .map(|(id, routes)| (id, Bucket::new(id, routes)))
        .collect()
}

/// Reason why a routing object was refused. It is refused whole: the last good one stays in force.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    /// The content is not JSON, or not of the format's shape.
    #[error("not a routing object: {0}")]
    Malformed(#[from] serde_json::Error),
    /// The object was written by a newer (or much older) operator.
    #[error(
        "format version {found}, but this gateway reads versions up to {FORMAT_VERSION}: upgrade the gateways first"
    )]
    Version {
        /// The version that the object names.
        found: u32,
    },
    /// A route that belongs elsewhere: the object was renamed or edited by hand.
    #[error("route {id} belongs into bucket {expected}, not {found}")]
    WrongBucket {
        /// Identity of the route.
        id: String,
        /// Bucket that it belongs to.
        expected: BucketId,
        /// Bucket that it was found in.
        found: BucketId,
    },
    /// Routes out of order or twice: the object was edited by hand.
    #[error("route {id} is out of order or listed twice")]
    Unsorted {
        /// Identity of the route.
        id: String,
    },
}

#[derive(Serialize)]
struct Encoded<'a> {
    version: u32,
    bucket: BucketId,
    routes: &'a [Route],
}

#[derive(Deserialize)]
struct Header {
    version: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Decoded {
    version: u32,
    bucket: BucketId,
    routes: Vec<Route>,
}

/// The oldest version of the format that says all of a route.
const fn version_of(route: &Route) -> u32 {
    let is_new = route.client_certificate.is_some() || route.labels.is_some();
    if is_new || route.denied.is_some() {
        3
    } else if route.previous_key_sha256.is_some() {
        2
    } else {
        1
    }
}

impl Bucket {
    /// A bucket of these routes, sorted here.
    pub fn new(id: BucketId, mut routes: Vec<Route>) -> Self {
        routes.sort_by(|a, b| a.id.cmp(&b.id));
        Self { id, routes }
    }

    /// The bytes of the routing object: canonical, so that equal buckets have equal bytes and hashes.
    pub fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        let version = self.routes.iter().map(version_of).max();
        serde_json::to_vec(&Encoded {
            version: version.unwrap_or(1),
            bucket: self.id,
            routes: &self.routes,
        })
    }

    /// Reads a routing object, all or nothing.
    pub fn decode(bytes: &[u8]) -> Result<Self, BucketError> {
        let decoded = serde_json::from_slice(bytes);
        // The version counts before everything else: a later format may have any shape.
        let version = match &decoded {
            Ok(Decoded { version, .. }) => *version,
            Err(_) => serde_json::from_slice::<Header>(bytes)?.version,
        };
        if !(1..=FORMAT_VERSION).contains(&version) {
            return Err(BucketError::Version { found: version });
        }
        let Decoded { bucket, routes, .. } = decoded?;
        for route in &routes {
            let expected = route.id.bucket();
            if expected != bucket {
                return Err(BucketError::WrongBucket {
                    id: route.id.to_string(),
                    expected,
                    found: bucket,
                });
            }
        }
        if let Some(pair) = routes.windows(2).find(|pair| pair[0].id >= pair[1].id) {
            return Err(BucketError::Unsorted {
                id: pair[1].id.to_string(),
            });
        }
        Ok(Self { id: bucket, routes })
    }
}

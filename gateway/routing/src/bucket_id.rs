//! The number of a routing object.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Number of buckets that the routes are spread over.
pub const BUCKETS: u16 = 256;

/// The number of a bucket, 0 to 255.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BucketId(pub u8);

impl BucketId {
    /// Every bucket, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..=u8::MAX).map(Self)
    }
}

impl fmt::Display for BucketId {
    /// Three digits, so that names of routing objects sort.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03}", self.0)
    }
}

impl FromStr for BucketId {
    type Err = std::num::ParseIntError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        s.parse().map(Self)
    }
}

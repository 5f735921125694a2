//! The contract between the operator and the gateways.
//!
//! The operator renders every subscription into a [`Route`] and publishes the routes in 256 [`Bucket`]s;
//! a gateway decodes the buckets into a [`RouteTable`], and files the filters of its open streams in a
//! [`FilterIndex`]. This crate knows neither Kubernetes nor an async runtime, so both sides and every test
//! can use it.

mod access_rules;
mod bucket;
mod bucket_id;
mod by_bucket;
mod combinations;
mod cost;
mod field;
mod filter;
mod filter_index;
mod id;
mod key;
mod key_shard;
pub mod names;
mod pattern;
mod policies;
mod policy;
mod route;
mod table;

pub use access_rules::{ACCESS_RULES_VERSION, AccessRules, AccessRulesError};
pub use bucket::{Bucket, BucketError, BucketHash, FORMAT_VERSION, buckets};
pub use bucket_id::{BUCKETS, BucketId};
pub use by_bucket::ByBucket;
pub use cost::cost;
pub use field::{Field, PerField};
pub use filter::{EventFields, Filter};
pub use filter_index::{FilterIndex, Matches};
pub use id::SubscriptionId;
pub use key::{KeyHash, KeyHashError};
pub use pattern::Pattern;
pub use policies::Policies;
pub use policy::{Denial, DenialCause, Effect, Part, Policy, Rule};
pub use route::{ClientCertificate, Heartbeat, Labels, Resume, Route};
pub use table::RouteTable;

//! The contract between the operator and the gateways.
//!
//! The operator renders every subscription into a [`Route`] and publishes the routes in 256 [`Bucket`]s;
//! a gateway decodes the buckets into one [`RouteTable`] and swaps it in whole. This crate knows neither
//! Kubernetes nor an async runtime, so both sides and every test can use it.

mod access_rules;
mod bucket;
mod bucket_id;
mod cost;
mod field;
mod filter;
mod id;
mod index;
mod key;
pub mod names;
mod pattern;
mod pattern_set;
mod policies;
mod policy;
mod route;
mod table;

pub use access_rules::{ACCESS_RULES_VERSION, AccessRules, AccessRulesError};
pub use bucket::{Bucket, BucketError, BucketHash, FORMAT_VERSION, buckets};
pub use bucket_id::{BUCKETS, BucketId};
pub use cost::cost;
pub use field::{Field, PerField};
pub use filter::{EventFields, Filter};
pub use id::SubscriptionId;
pub use index::FilterIndex;
pub use key::{KeyHash, KeyHashError};
pub use pattern::Pattern;
pub use policies::Policies;
pub use policy::{Denial, DenialCause, Effect, Part, Policy, Rule};
pub use route::{ClientCertificate, Heartbeat, Labels, Resume, Route};
pub use table::{Matches, RouteTable};

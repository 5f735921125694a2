//! Limits on what one subscription, namespace or address may have of a gateway, so that none has it at the cost of the others.
//!
//! [`Limits`] are the settings. Those on streams hold when a stream is registered, those on requests when one comes, those on rates
//! while a stream is served: one that is over its rate waits, and what comes meanwhile it reads on from the topic, as a client that is
//! slow does. Nothing is lost by a limit.

mod address;
mod bucket;
mod failed_keys;
mod gate;
mod known;
mod pace;
mod scope;
mod settings;

pub(crate) use address::AddressKey;
pub(crate) use bucket::Bucket;
pub(crate) use failed_keys::{FailedKeys, Slowed};
pub(crate) use gate::Gate;
pub(crate) use known::Known;
pub(crate) use pace::{Paces, Rates};
pub(crate) use scope::Scope;
pub use settings::{Limits, PerScope};

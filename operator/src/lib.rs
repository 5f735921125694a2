//! The control plane of datastream: turns subscriptions into routing objects and stream keys.
//!
//! A reconcile is gather (reads only) → validate → build (both pure) → apply → status. The publisher renders routing
//! objects from the store of all subscriptions, so a deleted one needs no finalizer.

pub mod build;
pub mod publish;
pub mod validate;

//! The control plane of datastream: turns subscriptions into routing objects and stream keys.
//!
//! A [`reconcile`] is validate → gather (reads only) → build (pure) → apply → status, one module each. The
//! [`publish`]er renders routing objects from all subscriptions, so a deleted one needs no finalizer. [`run`] ties both
//! together, in the one replica that leads.

mod apply;
pub mod build;
mod connection;
mod context;
mod controller;
mod events;
mod gather;
pub mod groups;
mod leader;
mod metrics;
pub mod namespaces;
mod preflight;
pub mod publish;
mod reconcile;
pub mod run;
mod status;
mod troubles;
mod unreadable;
pub mod validate;
mod watch;

/// The field manager of everything that the operator writes.
pub(crate) const FIELD_MANAGER: &str = "datastream-operator";

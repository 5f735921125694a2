//! The control plane of datastream: turns subscriptions into routing objects and stream keys.
//!
//! A [`reconcile`] is gather → validate → build → apply → status, one module each. The [`routing`] side makes routing objects of
//! all subscriptions, so a deleted one needs no finalizer. [`run`] ties both together, in the one replica that leads.

pub mod access;
mod conditions;
mod connection;
mod context;
mod controller;
mod events;
pub mod groups;
mod key_rotation;
mod leader;
mod look_again;
mod metrics;
pub mod namespaces;
mod preflight;
mod probes;
pub mod reconcile;
mod resource_version;
mod retry;
pub mod routing;
pub mod run;
mod scheduler;
pub mod spec;
mod stream_secret;
mod subscription;
pub mod uid;
mod unreadable;
mod verdicts;
mod watch;

/// The field manager of everything that the operator writes.
pub(crate) const FIELD_MANAGER: &str = "datastream-operator";

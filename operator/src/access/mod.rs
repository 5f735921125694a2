//! Access rules: from the resources and the labels of namespaces to what holds for which namespace.
//!
//! The [`state`] knows the resources and the labels, and what follows from them. It is plain data: the controller feeds it, hands what
//! is in force to the [routing states](crate::routing), which decide on subscriptions by it and publish it to the gateways of each
//! group.

mod resolve;
mod settings;
mod state;

pub use resolve::resolve;
pub use settings::{AccessDefault, AccessMode, AccessSettings};
pub use state::MAX_RULES;
pub(crate) use state::{Listed, SharedAccess};

//! Routing objects: what the gateways should serve, and what they report that they serve.
//!
//! The [`RoutingState`] knows what should be published (from subscriptions and stream keys), what is (from the routing
//! objects) and what the gateways hold (from their Leases). It is plain data: [`Publisher`] does the writing.

use std::collections::BTreeMap;
use std::sync::Arc;

use datastream_routing::{Route, SubscriptionId};

mod access_writer;
mod admission;
mod checks;
mod desired;
mod failing;
mod gateways;
mod packing;
mod peers;
mod published;
mod publisher;
mod restricted;
mod revocation;
mod shrink_guard;
mod state;
mod urgent_writer;

pub(crate) use access_writer::AccessWriter;
pub use admission::{Budget, Denied};
pub use checks::{Check, Checked};
pub use desired::ObservedKey;
pub use gateways::Affected;
pub use packing::MAX_BUCKET_BYTES;
pub(crate) use peers::{are_complete, keep, own_identity};
pub(crate) use publisher::ROUND;
pub use publisher::{Publisher, decode_object};
#[cfg(test)]
pub(crate) use state::id_of;
pub use state::{Lane, Programmed, RoutingState, SharedRoutingState, Synced, Write};

/// The routes of one bucket. What should be published and what is share each route that is the same in both.
type Routes = BTreeMap<SubscriptionId, Arc<Route>>;

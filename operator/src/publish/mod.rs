//! Routing objects: what the gateways are told, and what they say that they serve.
//!
//! The [`Board`] knows what should be published (from subscriptions and stream keys), what is (from the routing
//! objects) and what the gateways hold (from their Leases). It is plain data: [`Publisher`] does the writing.

use std::collections::BTreeMap;
use std::sync::Arc;

use datastream_routing::{Route, SubscriptionId};

mod admission;
mod board;
mod desired;
mod failing;
mod fit;
mod gateways;
mod history;
mod hold;
mod publisher;
mod render;

pub use admission::{Budget, Denied};
pub(crate) use board::id_of;
pub use board::{Board, Programmed, SharedBoard, Synced, Write};
pub use desired::ObservedKey;
pub use gateways::Affected;
pub use publisher::{Publisher, decode_object};
pub use render::render;

/// The routes of one bucket. What should be published and what is share each route that is the same in both.
type Routes = BTreeMap<SubscriptionId, Arc<Route>>;

//! The gateways as a fleet: each says in a Lease that it lives ([`LeaseKeeper`]), and claims the streams that it serves, so
//! that a subscription has one stream among all of them ([`KubeFleet`]). See `docs/decisions/0006-one-stream-per-fleet.md`.

mod ask;
mod claim;
mod kube;
mod lease;
mod peers;
mod release;
mod report;
mod shed;

pub(crate) use ask::{PROBE_PATH, ProbeReport, Probed, Taker};
pub(crate) use claim::Progress;
pub use kube::KubeFleet;
pub(crate) use kube::{Held, Taken};
pub use lease::LeaseKeeper;

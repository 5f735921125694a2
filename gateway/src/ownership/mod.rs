//! Ownership of streams among gateways: each says in a Lease that it lives ([`LeaseRenewer`]), and claims the streams that it serves, so
//! that a subscription has one stream among all of them ([`KubeClaims`]). See `docs/decisions/0006-one-stream-per-fleet.md`.

mod claim;
mod claims;
mod lease_renewer;
mod peer_tls;
mod peers;
mod probe_client;
mod release;
mod report;
mod shed;

pub(crate) use claims::ClaimError;
pub use claims::KubeClaims;
pub use lease_renewer::LeaseRenewer;
pub(crate) use peer_tls::PeerTls;
pub(crate) use probe_client::{PROBE_PATH, ProbeReport, Taker};

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

use std::time::Duration;

/// Timeout of one request to the API server.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// The answer to a request to the API server, or an error if there was none in time.
async fn in_time<T>(request: impl Future<Output = ::kube::Result<T>>) -> ::kube::Result<T> {
    tokio::time::timeout(REQUEST_TIMEOUT, request)
        .await
        .unwrap_or_else(|_| {
            Err(::kube::Error::Service(
                "the API server did not answer in time".into(),
            ))
        })
}

//! Gives back the claims of streams that have ended.

use std::time::Duration;

use datastream_routing::SubscriptionId;
use datastream_service_kube::api::{in_time, reason};
use futures_util::StreamExt as _;
use kube::api::{DeleteParams, Preconditions};
use tokio::time::sleep;

use super::claims::KubeClaims;

/// Deletes that are on their way at once.
const CONCURRENCY: usize = 16;
const RETRY: Duration = Duration::from_secs(1);

/// Releases for as long as it is polled. What fails is tried again: until then the claim says that the stream is here,
/// and whoever wants it asks this gateway.
pub(super) async fn run(claims: &KubeClaims) {
    loop {
        claims.released.notified().await;
        while !release_all(claims).await {
            sleep(RETRY).await;
        }
    }
}

/// Releases what waits to be. Returns whether all of it is done.
pub(super) async fn release_all(claims: &KubeClaims) -> bool {
    let waiting = claims.take_released();
    let done = futures_util::stream::iter(waiting)
        .map(|(id, version)| release(claims, id, version))
        .buffer_unordered(CONCURRENCY);
    done.all(|done| async move { done }).await
}

async fn release(claims: &KubeClaims, id: SubscriptionId, version: String) -> bool {
    // Only as we left it: whoever has taken it over keeps it.
    let params = DeleteParams {
        preconditions: Some(Preconditions {
            resource_version: Some(version.clone()),
            uid: None,
        }),
        ..DeleteParams::default()
    };
    match in_time(claims.leases.delete(&claims.me.claim_name(&id), &params)).await {
        Ok(_) => true,
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => true,
        Err(error) => {
            tracing::warn!(subscription = %id, error = reason(&error), "cannot release the claim of a stream; trying again");
            claims.put_back(id, version);
            false
        }
    }
}

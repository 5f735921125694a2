//! Reports in the claims how far the streams have come, at a bounded rate, and makes sure that they are still ours.

use std::time::Duration;

use datastream_protocol::close::CloseCause;
use datastream_routing::SubscriptionId;
use datastream_service_kube::api::{in_time, reason};
use datastream_service_kube::lease::DURATION;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams, PostParams};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::claim::{holder, progress};
use super::claims::{Claimed, KubeClaims};
use crate::fanout::Ring;
use crate::session::{Progress, Registry};

const EVERY: Duration = Duration::from_secs(1);
/// Claims written in a second by one gateway, however many streams it has.
const PER_SECOND: usize = 10;
/// One stream's claim is written at most this often.
const AT_MOST_EVERY: Duration = Duration::from_mins(1);

/// Reports for as long as it is polled.
pub(super) async fn run(claims: &KubeClaims, registry: &Registry, ring: &Ring) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut renewed = None;
    loop {
        ticks.tick().await;
        let before = std::mem::replace(&mut renewed, *claims.renewed.borrow());
        let expired = before
            .zip(renewed)
            .is_some_and(|(before, now)| now - before > DURATION);
        let held = claims.held();
        for (id, claimed) in &held {
            // Claims that could not be written, and after a time in which the others took us for dead, all of them.
            if expired || claimed.version.is_none() {
                confirm(claims, registry, id, claimed).await;
            }
        }
        for (id, claimed, progress) in due(held, registry, ring) {
            report(claims, registry, &id, &claimed, progress).await;
        }
    }
}

/// The streams whose progress is due to be reported: those never reported first, then those that waited longest.
fn due(
    held: Vec<(SubscriptionId, Claimed)>,
    registry: &Registry,
    ring: &Ring,
) -> Vec<(SubscriptionId, Claimed, Progress)> {
    let now = Instant::now();
    let mut due: Vec<_> = held
        .into_iter()
        .filter_map(|(id, claimed)| {
            claimed.version.as_ref()?;
            let wait = match &claimed.reported {
                Some((_, when)) => now - *when,
                None => Duration::MAX,
            };
            if wait < AT_MOST_EVERY {
                return None;
            }
            let progress = registry.progress(&id, ring)?;
            let is_new = match &claimed.reported {
                Some((reported, _)) => *reported != progress,
                None => progress.last_seq.is_some(),
            };
            is_new.then_some((wait, id, claimed, progress))
        })
        .collect();
    due.sort_by_key(|(wait, ..)| std::cmp::Reverse(*wait));
    due.truncate(PER_SECOND);
    due.into_iter()
        .map(|(_, id, claimed, progress)| (id, claimed, progress))
        .collect()
}

async fn report(
    claims: &KubeClaims,
    registry: &Registry,
    id: &SubscriptionId,
    claimed: &Claimed,
    now: Progress,
) {
    let Some(version) = &claimed.version else {
        return;
    };
    let name = claims.me.claim_name(id);
    let patch = Patch::Merge(progress(version, &now));
    let params = PatchParams::default();
    match in_time(claims.leases.patch(&name, &params, &patch)).await {
        Ok(lease) => claims.update(id, |claimed| {
            claimed.version = lease.resource_version();
            claimed.reported = Some((now, Instant::now()));
        }),
        Err(kube::Error::Api(status)) if status.is_conflict() || status.is_not_found() => {
            confirm(claims, registry, id, claimed).await;
        }
        Err(error) => {
            tracing::debug!(subscription = %id, error = reason(&error), "cannot report how far a stream has come");
        }
    }
}

/// Writes a claim that is not there, and closes the stream if it is another gateway's now.
async fn confirm(claims: &KubeClaims, registry: &Registry, id: &SubscriptionId, claimed: &Claimed) {
    let name = claims.me.claim_name(id);
    let found = match in_time(claims.leases.get_opt(&name)).await {
        Ok(found) => found,
        Err(error) => {
            tracing::debug!(subscription = %id, error = reason(&error), "cannot look at the claim of a stream");
            return;
        }
    };
    match found {
        Some(lease) if holder(&lease) == Some(claims.me.holder.as_str()) => {
            claims.update(id, |c| c.version = lease.resource_version());
        }
        Some(_) => {
            tracing::warn!(subscription = %id, "another gateway has taken the stream over");
            claims.update(id, |c| c.version = None);
            registry.abort(id, &CloseCause::TakenOver);
        }
        None => {
            let claim = claims.me.claim(id, &claimed.uid, Timestamp::now());
            if let Ok(made) = in_time(claims.leases.create(&PostParams::default(), &claim)).await {
                claims.update(id, |c| c.version = made.resource_version());
            }
        }
    }
}

//! Closes streams above the gateway's fair share, slowly, so that gateways that were added get some.

use std::time::Duration;

use datastream_protocol::close::CloseCause;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::claims::KubeClaims;
use super::peers::Peer;
use crate::session::Registry;

const EVERY: Duration = Duration::from_secs(1);
/// The excess must have lasted this long: after a rollout or a crash, clients come back by themselves.
const SETTLED: Duration = Duration::from_secs(30);
/// An excess below a tenth of the fair share, or this many streams, is none.
const TOLERATED: u64 = 10;

/// Sheds for as long as it is polled.
pub(super) async fn run(claims: &KubeClaims, registry: &Registry, per_second: u32) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut since = None;
    loop {
        ticks.tick().await;
        let excess = excess(
            registry.len() as u64,
            &claims.peers.all(),
            &claims.me.holder,
            Instant::now(),
        );
        if excess == 0 {
            since = None;
            continue;
        }
        let since = *since.get_or_insert_with(Instant::now);
        if since.elapsed() < SETTLED || per_second == 0 {
            continue;
        }
        let count = excess.min(per_second.into()) as usize;
        tracing::info!(count, excess, "closing streams above the fair share");
        for queue in registry.some(count) {
            queue.close(CloseCause::Shed);
        }
    }
}

/// Number of streams that this gateway has above its fair share of the streams of all live and ready gateways; 0 while that is
/// tolerated.
fn excess(own: u64, peers: &[Peer], me: &str, now: Instant) -> u64 {
    let live = peers
        .iter()
        .filter(|p| p.holder != me && p.ready && p.freshness.is_fresh(now));
    let (gateways, total) = live.fold((1, own), |(n, sum), peer| (n + 1, sum + peer.streams));
    let share = total / gateways;
    let excess = own.saturating_sub(share);
    if excess <= TOLERATED.max(share / 10) {
        0
    } else {
        excess
    }
}

#[cfg(test)]
mod tests {
    use datastream_service_kube::lease::Freshness;
    use k8s_openapi::api::coordination::v1::Lease;
    use k8s_openapi::jiff::Timestamp;

    use super::*;

    fn peer(holder: &str, streams: u64, ready: bool) -> Peer {
        let lease: Lease = serde_json::from_value(serde_json::json!({
            "spec": {"leaseDurationSeconds": 15, "renewTime": k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime(Timestamp::now())},
        }))
        .unwrap();
        Peer {
            holder: holder.to_owned(),
            address: None,
            tls: false,
            streams,
            ready,
            freshness: Freshness::seen(&lease, None, Instant::now(), Timestamp::now()),
        }
    }

    #[test]
    fn only_a_clear_excess_over_live_gateways_is_shed() {
        let now = Instant::now();
        assert_eq!(excess(300, &[peer("me", 290, true)], "me", now), 0);
        assert_eq!(
            excess(300, &[peer("b", 0, true), peer("c", 0, true)], "me", now),
            200
        );
        assert_eq!(excess(300, &[peer("b", 0, false)], "me", now), 0);
        assert_eq!(excess(105, &[peer("b", 95, true)], "me", now), 0);
        assert_eq!(excess(10, &[peer("b", 300, true)], "me", now), 0);
        let later = now + Duration::from_mins(1);
        assert_eq!(excess(300, &[peer("b", 0, true)], "me", later), 0);
    }
}

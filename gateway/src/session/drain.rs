//! Closing of streams when the gateway stops: not all at once, so that the other gateways can take them in.

use std::time::Duration;

use datastream_protocol::close::CloseCause;
use tokio::time::{Instant, sleep_until};

use super::registry::Registry;

/// Streams closed a second, unless the window is too short for that.
const PER_SECOND: f64 = 200.0;
/// Part of the window over which the closing of streams is spread; the rest is for the last ones to end.
const SPREAD: f64 = 0.8;

/// Closes every stream, spread over the window with jitter. Few streams do not take the whole of it.
pub(crate) async fn drain(registry: &Registry, window: Duration) {
    let queues = registry.queues();
    let count = queues.len() as f64;
    let spread = (count / PER_SECOND).min(window.as_secs_f64() * SPREAD);
    let started = Instant::now();
    for (queue, index) in queues.into_iter().zip(0_u32..) {
        // Each in a slot of its own, at a random moment of it.
        let slot = (f64::from(index) + rand::random::<f64>()) / count;
        sleep_until(started + Duration::from_secs_f64(slot * spread)).await;
        queue.close(CloseCause::Draining);
    }
    // Those that were being let in when the drain began.
    for queue in registry.queues() {
        queue.close(CloseCause::Draining);
    }
}

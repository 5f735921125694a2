//! Watches that go on through outages, told as plain changes.

use std::time::Duration;

use datastream_service::watch::{Change, Listing};
use futures_util::{Stream, StreamExt as _, stream};
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, Event};

/// Between two attempts to reach the API server: from 0.2 s, doubled up to 5 s, so that an outage ends for the streams
/// soon after it ends for the API server.
#[derive(Debug)]
pub(crate) struct Reconnect(Duration);

impl Reconnect {
    const FIRST: Duration = Duration::from_millis(200);
    const LAST: Duration = Duration::from_secs(5);
}

impl Default for Reconnect {
    fn default() -> Self {
        Self(Self::FIRST)
    }
}

impl Iterator for Reconnect {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let wait = self.0;
        self.0 = (wait * 2).min(Self::LAST);
        Some(wait)
    }
}

impl Backoff for Reconnect {
    fn reset(&mut self) {
        self.0 = Self::FIRST;
    }
}

/// The changes that a watch tells. Errors are logged: the watch goes on by itself.
pub(crate) fn changes<K: kube::Resource<DynamicType = ()> + Clone + 'static>(
    what: &'static str,
    events: impl Stream<Item = watcher::Result<Event<K>>>,
) -> impl Stream<Item = Change<K>> {
    let mut listing = Listing::default();
    events.flat_map(move |event| {
        let changes = match event {
            Ok(event) => listing.take(event),
            Err(error) => {
                tracing::warn!(%error, "cannot watch the {what}; trying again");
                vec![]
            }
        };
        stream::iter(changes)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_over_soon_after_it_ends() {
        let waits: Vec<_> = Reconnect::default().take(8).collect();
        assert_eq!(waits[0], Duration::from_millis(200));
        assert_eq!(waits[7], Duration::from_secs(5));
    }
}

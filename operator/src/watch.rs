//! Watches that go on through outages, told as plain changes.

use datastream_service::watch::{Change, Listing};
use futures_util::{Stream, StreamExt as _, stream};
use kube::runtime::watcher::{self, Event};

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

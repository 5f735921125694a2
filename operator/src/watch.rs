//! Watches that go on through outages, told as plain changes.

use datastream_crds::DatastreamSubscription;
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

/// Takes from a subscription what the operator does not look at: all of them are kept.
pub(crate) fn lean(subscription: &mut DatastreamSubscription) {
    let metadata = &mut subscription.metadata;
    metadata.managed_fields = None;
    metadata.annotations = None;
    metadata.labels = None;
    subscription.spec.description = None;
    subscription.spec.event_types.shrink_to_fit();
    subscription.spec.filters.shrink_to_fit();
    for filter in &mut subscription.spec.filters {
        let lists = [
            &mut filter.oem_ids,
            &mut filter.oem_models,
            &mut filter.dsns,
            &mut filter.property_names,
        ];
        lists.into_iter().for_each(Vec::shrink_to_fit);
    }
    if let Some(status) = &mut subscription.status {
        status.conditions.shrink_to_fit();
    }
}

//! Watches that go on through outages, with their log lines and metrics.

use std::fmt::Debug;
use std::sync::Arc;

use datastream_crds::DatastreamSubscription;
use datastream_service::watch::{Change, Watched, changes};
use futures_util::{Stream, StreamExt as _};
use kube::runtime::watcher;
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

use crate::gather::ADOPT;
use crate::metrics::Metrics;

/// Follows objects. `what` names them in metrics and in the log.
pub(crate) fn follow<K>(
    what: String,
    api: Api<Watched<K>>,
    config: watcher::Config,
    metrics: Arc<Metrics>,
) -> impl Stream<Item = Change<K>>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    metrics.watch_failing.with_label_values(&[&what]).set(0);
    changes(api, config).map(move |(change, unreadable)| {
        let set = |is_failing| {
            metrics
                .watch_failing
                .with_label_values(&[&what])
                .set(is_failing)
        };
        let unreadable = i64::try_from(unreadable).unwrap_or(i64::MAX);
        metrics
            .unreadable_objects
            .with_label_values(&[&what])
            .set(unreadable);
        match &change {
            Change::Failed(error) => {
                set(1);
                tracing::warn!(objects = what, %error, "cannot watch; trying again");
            }
            Change::Recovered => {
                set(0);
                tracing::info!(objects = what, "watching again");
            }
            Change::Unreadable(object) => {
                let metadata = &object.metadata;
                tracing::warn!(
                    objects = what,
                    namespace = metadata.namespace.as_deref().unwrap_or_default(),
                    name = metadata.name.as_deref().unwrap_or_default(),
                    error = object.error,
                    "cannot read the object; it is set aside"
                );
            }
            _ => (),
        }
        change
    })
}

/// Takes from a subscription what the operator does not look at: all of them are kept.
pub(crate) fn lean(subscription: &mut DatastreamSubscription) {
    let metadata = &mut subscription.metadata;
    metadata.managed_fields = None;
    metadata.labels = None;
    let adopt = metadata
        .annotations
        .take()
        .and_then(|mut a| a.remove_entry(ADOPT));
    metadata.annotations = adopt.map(|entry| [entry].into());
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

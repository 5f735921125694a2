//! Watches that survive outages, with their log lines and metrics.

use std::fmt::Debug;
use std::sync::Arc;

use datastream_service_kube::api::{in_time, watch_reason};
use datastream_service_kube::watch::{Change, Selection, Watched, changes};
use futures_util::{Stream, StreamExt as _, stream};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Namespace;
use kube::runtime::watcher;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use crate::metrics::Metrics;
use crate::namespaces::Scope;

/// A kind of objects in namespaces that can be followed.
pub(crate) trait Namespaced:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + DeserializeOwned
    + Send
    + 'static
{
}

impl<K> Namespaced for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + 'static
{
}

/// Event of the watch of one scope.
pub(crate) enum ScopeEvent<K> {
    /// One change.
    Change(Box<Change<K>>),
    /// The namespace does not exist, and so nothing in it.
    Absent,
}

/// Follows objects in each of these scopes. One that may not be looked at, or does not exist, does not disturb the others.
pub(crate) fn follow_each<K: Namespaced>(
    what: &'static str,
    client: &Client,
    scopes: Vec<Scope>,
    selection: &Selection,
    metrics: &Arc<Metrics>,
) -> impl Stream<Item = (Scope, ScopeEvent<K>)> + use<K> {
    let each = scopes.into_iter().map(|scope| {
        let events = match &scope {
            None => {
                let api = Api::all(client.clone());
                let changes = follow(what.to_owned(), api, selection.clone(), metrics.clone());
                changes
                    .map(|change| ScopeEvent::Change(Box::new(change)))
                    .boxed()
            }
            Some(namespace) => {
                let (client, selection) = (client.clone(), selection.clone());
                follow_within(what, client, namespace.clone(), selection, metrics.clone()).boxed()
            }
        };
        events.map(move |event| (scope.clone(), event)).boxed()
    });
    stream::select_all(each)
}

/// Follows objects of one namespace.
fn follow_within<K: Namespaced>(
    what: &str,
    client: Client,
    namespace: Arc<str>,
    selection: Selection,
    metrics: Arc<Metrics>,
) -> impl Stream<Item = ScopeEvent<K>> + use<K> {
    let what = format!("{what}/{namespace}");
    let api = Api::namespaced(client.clone(), &namespace);
    let changes = follow(what.clone(), api, selection, metrics.clone());
    let events = changes.then(move |change| {
        let (client, namespace) = (client.clone(), namespace.clone());
        async move {
            match change {
                Change::Failed(error)
                    if is_forbidden(&error) && is_absent(client, &namespace).await =>
                {
                    ScopeEvent::Absent
                }
                change => ScopeEvent::Change(Box::new(change)),
            }
        }
    });
    let mut is_reported = false;
    events.inspect(move |event| {
        match event {
            ScopeEvent::Absent => {
                // Nothing of it stays unknown.
                metrics.watch_failing.with_label_values(&[&what]).set(0);
                if !is_reported {
                    tracing::warn!(
                        objects = what,
                        "the namespace does not exist; it is served when it does"
                    );
                }
                is_reported = true;
            }
            ScopeEvent::Change(_) => is_reported = false,
        }
    })
}

/// Returns whether this account may not do what was asked for.
fn is_forbidden(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => status.code == 403,
        _ => false,
    }
}

/// Returns whether it is sure that there is no such namespace.
async fn is_absent(client: Client, namespace: &str) -> bool {
    let namespaces: Api<Namespace> = Api::all(client);
    matches!(in_time(namespaces.get_opt(namespace)).await, Ok(None))
}

/// Follows objects. `what` names them in metrics and in the log.
pub(crate) fn follow<K>(
    what: String,
    api: Api<Watched<K>>,
    selection: Selection,
    metrics: Arc<Metrics>,
) -> impl Stream<Item = Change<K>>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    metrics.watch_failing.with_label_values(&[&what]).set(0);
    let mut is_forbidden_reported = false;
    changes(api, selection).map(move |(change, unreadable)| {
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
                // Rights come when somebody gives them, which may be never.
                let is_forbidden = is_forbidden(error);
                if !(is_forbidden && is_forbidden_reported) {
                    tracing::warn!(
                        objects = what,
                        error = watch_reason(error),
                        "cannot watch; trying again"
                    );
                }
                is_forbidden_reported = is_forbidden;
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

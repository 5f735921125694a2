//! Finds out at the start what would otherwise fail again and again: a missing definition, missing rights.

use std::collections::BTreeSet;
use std::fmt::Debug;

use anyhow::Context as _;
use datastream_crds::{DatastreamAccessRule, DatastreamSubscription};
use futures_util::future::try_join_all;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{DynamicObject, ListParams, PostParams};
use kube::core::{ApiResource, PartialObjectMeta};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::access::AccessMode;
use crate::leader::{self, Lock};
use crate::namespaces::Namespaces;
use crate::run::Settings;

/// API group, resource, subresource and verbs. The same lists, with a reason for each, are in
/// `charts/datastream/templates/operator`.
type Right = (
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
);

/// Rights wherever subscriptions are served.
const OF_SUBSCRIPTIONS: [Right; 4] = [
    (
        "datastream.dev",
        "datastreamsubscriptions",
        "",
        &["list", "watch"],
    ),
    (
        "datastream.dev",
        "datastreamsubscriptions",
        "status",
        &["patch"],
    ),
    (
        "",
        "secrets",
        "",
        &["get", "list", "watch", "create", "patch"],
    ),
    ("events.k8s.io", "events", "", &["create", "patch"]),
];
/// Rights in the namespace of the gateways.
const OF_ROUTES: [Right; 2] = [
    ("", "secrets", "", &["list", "watch", "create", "patch"]),
    (
        "coordination.k8s.io",
        "leases",
        "",
        &["list", "watch", "delete"],
    ),
];
/// Rights in the whole cluster, for access rules.
const OF_ACCESS: [Right; 2] = [
    (
        "datastream.dev",
        "datastreamaccessrules",
        "",
        &["list", "watch"],
    ),
    ("", "namespaces", "", &["list", "watch"]),
];
/// Rights to the lock of the leader. The right to create it cannot be narrowed to its name.
const OF_LOCK: [(&str, bool); 3] = [("create", false), ("get", true), ("patch", true)];

/// Checks the definition and the rights. A namespace without rights is logged: it does not keep the others waiting.
///
/// # Errors
/// One line that says what is missing and what to do.
pub(crate) async fn check(client: &Client, settings: &Settings, lock: &Lock) -> anyhow::Result<()> {
    let reach = "cannot reach the Kubernetes API server";
    let routes = attributes(&OF_ROUTES, Some(&settings.routes_namespace));
    let mut needed: Vec<_> = routes.chain(of_lock(lock)).collect();
    if settings.namespaces == Namespaces::All {
        needed.extend(attributes(&OF_SUBSCRIPTIONS, None));
    }
    let has_rules = settings.access.mode != AccessMode::Off;
    if has_rules {
        needed.extend(attributes(&OF_ACCESS, None));
    }
    let missing = missing(client, needed).await.context(reach)?;
    let for_rules = |right: &String| OF_ACCESS.iter().any(|of| right.ends_with(of.1));
    let otherwise = if missing.iter().any(for_rules) {
        ", or do without access rules (--access-rules=off)"
    } else {
        ""
    };
    anyhow::ensure!(
        missing.is_empty(),
        "this account may not {}: give it the roles that the chart has for the operator{otherwise}",
        missing.join(", ")
    );
    exists(
        client,
        "secrets",
        &settings.routes_namespace,
        "--routes-namespace",
    )
    .await?;
    let (_, lock_resource) = lock.resource();
    exists(
        client,
        lock_resource,
        lock.namespace(),
        "--leader-namespace",
    )
    .await?;
    for namespace in settings.namespaces.names() {
        let needed = attributes(&OF_SUBSCRIPTIONS, Some(namespace));
        let missing = self::missing(client, needed).await.context(reach)?;
        if !missing.is_empty() {
            tracing::warn!(
                namespace,
                "this account may not {} in a namespace that it is to serve: give it the role that the chart has for the operator there; the others do not wait",
                missing.join(", ")
            );
        }
    }
    if settings.namespaces == Namespaces::All {
        is_served::<DatastreamSubscription>(client).await?;
    } else {
        let served = served_versions::<DatastreamSubscription>(client)
            .await
            .context(reach)?;
        let needed = DatastreamSubscription::version(&());
        anyhow::ensure!(
            served.iter().any(|version| *version == needed),
            not_served::<DatastreamSubscription>(&served)
        );
    }
    if has_rules {
        is_served::<DatastreamAccessRule>(client).await?;
    }
    Ok(())
}

/// Makes sure that the cluster serves a resource, in the version that this build knows.
///
/// # Errors
/// It does not, or cannot be asked.
async fn is_served<K>(client: &Client) -> anyhow::Result<()>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let objects: Api<PartialObjectMeta<K>> = Api::all(client.clone());
    match objects.list_metadata(&ListParams::default().limit(1)).await {
        Ok(_) => Ok(()),
        // A group that nobody serves is answered in plain text, which is no status with a reason.
        Err(kube::Error::Api(status)) if status.code == 404 => {
            anyhow::bail!(not_served::<K>(&served_versions::<K>(client).await?))
        }
        Err(error) => Err(error).with_context(|| format!("cannot list {}", K::plural(&()))),
    }
}

/// Makes sure that there is a namespace, by asking for an object in it that is not made: namespaces themselves this account may not read.
///
/// # Errors
/// It does not exist.
async fn exists(
    client: &Client,
    plural: &str,
    namespace: &str,
    option: &str,
) -> anyhow::Result<()> {
    let resource = match plural {
        "secrets" => ApiResource::erase::<Secret>(&()),
        "configmaps" => ApiResource::erase::<ConfigMap>(&()),
        _ => ApiResource::erase::<Lease>(&()),
    };
    let objects: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    let params = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let object = DynamicObject::new("datastream-preflight", &resource).data(json!({}));
    // Whatever else keeps it from being made, a quota or a webhook, is not for now.
    let is_missing = match objects.create(&params, &object).await {
        Err(kube::Error::Api(status)) => status.code == 404,
        _ => false,
    };
    anyhow::ensure!(
        !is_missing,
        "namespace {namespace} does not exist: create it, or name another with {option}"
    );
    Ok(())
}

/// The versions in which the cluster serves a resource.
async fn served_versions<K: Resource<DynamicType = ()>>(
    client: &Client,
) -> Result<Vec<String>, kube::Error> {
    let groups = client.list_api_groups().await?.groups;
    let group = K::group(&());
    let ours = groups.into_iter().find(|g| g.name == group);
    let mut served = vec![];
    for version in ours.map(|g| g.versions).unwrap_or_default() {
        let resources = client.list_api_group_resources(&version.group_version);
        let resources = resources.await?.resources;
        if resources.iter().any(|r| r.name == K::plural(&())) {
            served.push(version.version);
        }
    }
    Ok(served)
}

fn not_served<K: Resource<DynamicType = ()>>(versions: &[String]) -> String {
    let (needed, kind) = (K::api_version(&()), K::kind(&()));
    if versions.is_empty() {
        return format!(
            "the cluster does not serve {kind} of {needed}: run `datastream-operator crd | kubectl apply --server-side -f -`"
        );
    }
    format!(
        "the cluster serves {kind} in another version ({}) than this operator, {}, which needs {needed}: run the operator of the release that the definition is from",
        versions.join(", "),
        env!("CARGO_PKG_VERSION"),
    )
}

/// Returns the resource attributes to ask about, one for each verb of these rights.
fn attributes<'a>(
    rights: &'static [Right],
    namespace: Option<&'a str>,
) -> impl Iterator<Item = ResourceAttributes> + use<'a> {
    let of = move |(group, resource, subresource, verbs): &'static Right| {
        verbs.iter().map(move |verb| ResourceAttributes {
            group: Some((*group).to_owned()),
            resource: Some((*resource).to_owned()),
            subresource: Some((*subresource).to_owned()).filter(|s| !s.is_empty()),
            verb: Some((*verb).to_owned()),
            namespace: namespace.map(str::to_owned),
            ..ResourceAttributes::default()
        })
    };
    rights.iter().flat_map(of)
}

fn of_lock(lock: &Lock) -> impl Iterator<Item = ResourceAttributes> {
    let (group, resource) = lock.resource();
    OF_LOCK
        .iter()
        .map(move |(verb, is_named)| ResourceAttributes {
            group: Some(group.to_owned()),
            resource: Some(resource.to_owned()),
            verb: Some((*verb).to_owned()),
            name: is_named.then(|| leader::NAME.to_owned()),
            namespace: Some(lock.namespace().to_owned()),
            ..ResourceAttributes::default()
        })
}

/// Returns the rights of these that this account does not have, each once, as `VERB RESOURCE`.
async fn missing(
    client: &Client,
    needed: impl IntoIterator<Item = ResourceAttributes>,
) -> Result<Vec<String>, kube::Error> {
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let review = |attributes: ResourceAttributes| {
        let reviews = reviews.clone();
        async move {
            let subresource = attributes.subresource.iter().map(|s| format!("/{s}"));
            let right = format!(
                "{} {}{}",
                attributes.verb.as_deref().unwrap_or_default(),
                attributes.resource.as_deref().unwrap_or_default(),
                subresource.collect::<String>()
            );
            let review = SelfSubjectAccessReview {
                spec: SelfSubjectAccessReviewSpec {
                    resource_attributes: Some(attributes),
                    ..SelfSubjectAccessReviewSpec::default()
                },
                ..SelfSubjectAccessReview::default()
            };
            let answer = reviews.create(&PostParams::default(), &review).await?;
            let is_allowed = answer.status.is_some_and(|s| s.allowed);
            Ok::<_, kube::Error>((!is_allowed).then_some(right))
        }
    };
    let answers = try_join_all(needed.into_iter().map(review)).await?;
    let mut missing: Vec<_> = answers.into_iter().flatten().collect();
    let mut seen = BTreeSet::new();
    missing.retain(|right| seen.insert(right.clone()));
    Ok(missing)
}

#[cfg(test)]
mod tests {
    use datastream_service_kube::api_server::answered_by;
    use hyper::StatusCode;

    use super::*;

    async fn found(status: StatusCode) -> Result<(), String> {
        let code = status.as_u16();
        let client = answered_by(move |request, _| {
            assert_eq!(request.uri.path(), "/api/v1/namespaces/nope/secrets");
            assert!(
                request
                    .uri
                    .query()
                    .unwrap_or_default()
                    .contains("dryRun=All")
            );
            let reason = json!({"kind": "Status", "status": "Failure", "code": code, "reason": "x", "message": "no"});
            Some((status, reason))
        });
        let found = exists(&client, "secrets", "nope", "--routes-namespace").await;
        found.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn only_a_namespace_that_is_not_found_is_reported_missing() {
        for other in [StatusCode::FORBIDDEN, StatusCode::UNPROCESSABLE_ENTITY] {
            assert_eq!(found(other).await, Ok(()));
        }
        let error = found(StatusCode::NOT_FOUND).await.unwrap_err();
        assert_eq!(
            error,
            "namespace nope does not exist: create it, or name another with --routes-namespace"
        );
    }
}

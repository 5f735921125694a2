//! Finds out at the start what would otherwise fail again and again: a missing definition, missing rights.

use anyhow::Context as _;
use datastream_crds::DatastreamSubscription;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::api::{ListParams, PostParams};
use kube::{Api, Client, Resource as _};

/// API group, resource, subresource, verbs, and whether it is about the gateways' namespace only. The same list, with a
/// reason for each, is in `charts/datastream/templates/operator/rbac.yaml`.
const RIGHTS: [(&str, &str, &str, &[&str], bool); 5] = [
    (
        "datastream.dev",
        "datastreamsubscriptions",
        "",
        &["list", "watch"],
        false,
    ),
    (
        "datastream.dev",
        "datastreamsubscriptions",
        "status",
        &["patch"],
        false,
    ),
    (
        "",
        "secrets",
        "",
        &["get", "list", "watch", "create", "patch"],
        false,
    ),
    ("events.k8s.io", "events", "", &["create", "patch"], false),
    (
        "coordination.k8s.io",
        "leases",
        "",
        &["get", "list", "watch", "create", "patch", "delete"],
        true,
    ),
];

/// Checks the definition and the rights.
///
/// # Errors
/// One line that says what is missing and what to do.
pub(crate) async fn check(client: &Client, namespace: &str) -> anyhow::Result<()> {
    let missing = missing_rights(client, namespace)
        .await
        .context("cannot reach the Kubernetes API server")?;
    anyhow::ensure!(
        missing.is_empty(),
        "this account may not {}: give it the role that the chart has for the operator",
        missing.join(", ")
    );
    let subscriptions: Api<DatastreamSubscription> = Api::all(client.clone());
    match subscriptions.list(&ListParams::default().limit(1)).await {
        Ok(_) => Ok(()),
        // A group that nobody serves is answered in plain text, which is no status with a reason.
        Err(kube::Error::Api(status)) if status.code == 404 => {
            anyhow::bail!(not_served(&served_versions(client).await?))
        }
        Err(error) => Err(error).context("cannot list the subscriptions"),
    }
}

/// The versions of the group that the cluster serves.
async fn served_versions(client: &Client) -> Result<Vec<String>, kube::Error> {
    let groups = client.list_api_groups().await?.groups;
    let group = DatastreamSubscription::group(&());
    let ours = groups.into_iter().find(|g| g.name == group);
    let versions = ours.map(|g| g.versions).unwrap_or_default();
    Ok(versions.into_iter().map(|v| v.version).collect())
}

fn not_served(versions: &[String]) -> String {
    let needed = DatastreamSubscription::api_version(&());
    if versions.is_empty() {
        return format!(
            "the cluster does not serve DatastreamSubscription of {needed}: run `datastream-operator crd | kubectl apply --server-side -f -`"
        );
    }
    format!(
        "the cluster serves DatastreamSubscription in another version ({}) than this operator, {}, which needs {needed}: run the operator of the release that the definition is from",
        versions.join(", "),
        env!("CARGO_PKG_VERSION"),
    )
}

async fn missing_rights(client: &Client, namespace: &str) -> Result<Vec<String>, kube::Error> {
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let mut missing = vec![];
    for (group, resource, subresource, verbs, namespaced) in RIGHTS {
        for verb in verbs {
            let attributes = ResourceAttributes {
                group: Some(group.to_owned()),
                resource: Some(resource.to_owned()),
                subresource: Some(subresource.to_owned()).filter(|s| !s.is_empty()),
                verb: Some((*verb).to_owned()),
                namespace: namespaced.then(|| namespace.to_owned()),
                ..ResourceAttributes::default()
            };
            let review = SelfSubjectAccessReview {
                spec: SelfSubjectAccessReviewSpec {
                    resource_attributes: Some(attributes),
                    ..SelfSubjectAccessReviewSpec::default()
                },
                ..SelfSubjectAccessReview::default()
            };
            let answer = reviews.create(&PostParams::default(), &review).await?;
            if !answer.status.is_some_and(|s| s.allowed) {
                let slash = if subresource.is_empty() { "" } else { "/" };
                missing.push(format!("{verb} {resource}{slash}{subresource}"));
            }
        }
    }
    Ok(missing)
}

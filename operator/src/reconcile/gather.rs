//! Everything that is known of a subscription. Reads only.

use std::sync::Arc;

use datastream_routing::SubscriptionId;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;

use crate::context::Context;
use crate::groups::{Group, Groups};
use crate::spec::Invalid;
use crate::stream_secret::{ObservedSecret, secret_name};
use crate::subscription::Subscription;

/// Knowledge of one subscription.
pub(super) struct Gathered<'a> {
    /// The subscription.
    pub subscription: &'a Subscription,
    /// Its namespace and name.
    pub id: &'a SubscriptionId,
    /// The group that it names, and the URL at which the clients of that group connect.
    pub group: Result<(&'a Group, &'a str), Invalid>,
    /// All groups.
    pub groups: &'a Groups,
    /// Its Secret, as far as the watch has brought it.
    pub secret: Option<Arc<ObservedSecret>>,
}

impl Gathered<'_> {
    /// Returns the generation that gateways keep serving if this one cannot be served.
    pub(super) fn served(&self) -> Option<i64> {
        self.groups.served_generation(self.id)
    }
}

/// Gathers what the watches have brought.
pub(super) fn gather<'a>(context: &'a Context, subscription: &'a Subscription) -> Gathered<'a> {
    let id = &subscription.id;
    Gathered {
        subscription,
        group: context.groups.of(&subscription.group),
        groups: &context.groups,
        secret: context.secrets.get(id),
        id,
    }
}

/// Reads the Secret of a subscription from the API server: one without the label is not watched.
///
/// # Errors
/// It cannot be read, or is gone.
pub(super) async fn secret(
    context: &Context,
    gathered: &Gathered<'_>,
) -> Result<ObservedSecret, kube::Error> {
    let id = gathered.id;
    let secrets: Api<Secret> = Api::namespaced(context.client.clone(), &id.namespace);
    let secret = secrets.get(&secret_name(&id.name)).await?;
    Ok(ObservedSecret::of(&secret, &id.name))
}

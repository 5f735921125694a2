//! The writing of a subscription's status.

use datastream_crds::DatastreamSubscription;
use datastream_routing::SubscriptionId;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, Resource as _};
use serde::Serialize;
use serde_json::json;

use super::Subscription;

impl Subscription {
    /// Writes the fields of the status that belong to a field manager, by server-side apply.
    ///
    /// # Errors
    /// The API server refuses it or does not answer; 404 and 409 if the subscription is gone, or made again under its name.
    pub(crate) async fn apply_status(
        &self,
        client: &Client,
        field_manager: &str,
        status: &(impl Serialize + Sync),
    ) -> kube::Result<()> {
        let SubscriptionId { namespace, name } = &self.id;
        let api: Api<DatastreamSubscription> = Api::namespaced(client.clone(), namespace);
        let patch = json!({
            "apiVersion": DatastreamSubscription::api_version(&()),
            "kind": DatastreamSubscription::kind(&()),
            // By uid: not for a new subscription of the same name.
            "metadata": { "uid": self.uid_text() },
            "status": status,
        });
        let params = PatchParams::apply(field_manager).force();
        api.patch_status(name, &params, &Patch::Apply(&patch))
            .await?;
        Ok(())
    }
}

//! A subscription as the operator keeps it. All of them are kept, and a whole object takes ten times as much memory.

mod apply_status;
mod reported;
mod table;

use std::sync::Arc;

use datastream_crds::{
    Connection, DatastreamSubscription, DatastreamSubscriptionStatus, KeyRotation,
};
use datastream_routing::SubscriptionId;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource as _;

use self::reported::Reported;
use crate::groups::Groups;
use crate::stream_secret::{ADOPT, ROTATE, kept_request};
use crate::uid::Uid;
use crate::verdicts::{Verdict, hash_of_labels};

pub(crate) use self::table::Subscriptions;

/// The parts of a subscription that reconciles read. Its spec is in its verdict and its route.
#[derive(Clone, Debug)]
pub(crate) struct Subscription {
    pub id: SubscriptionId,
    pub uid: Option<Uid>,
    pub generation: Option<i64>,
    /// The hash of its labels, which no generation counts.
    pub labels: u64,
    /// The verdict on it as it is, labels included.
    pub verdict: Verdict,
    /// It is being deleted.
    pub is_deleted: bool,
    pub is_suspended: bool,
    /// It says that the key in a Secret without an owner is to be its own.
    pub adopts: bool,
    /// The group of gateways that it names.
    pub group: Arc<str>,
    pub key_rotation: Option<Box<KeyRotation>>,
    /// The value of the annotation [`ROTATE`], or so much of it that it is seen to be too long.
    pub rotate_key: Option<Box<str>>,
    reported: Reported,
    pub connection: Option<Box<Connection>>,
}

impl Subscription {
    /// The parts of a subscription with this identity, sharing what it says as all others do.
    pub(crate) fn of(
        object: DatastreamSubscription,
        id: SubscriptionId,
        verdict: Verdict,
        groups: &Groups,
    ) -> Self {
        let labels = hash_of_labels(&object);
        let DatastreamSubscription {
            metadata,
            spec,
            mut status,
        } = object;
        let annotation = |name| metadata.annotations.as_ref()?.get(name);
        let adopts = annotation(ADOPT).is_some_and(|adopts| adopts == "true");
        let rotate_key = annotation(ROTATE).map(|value| kept_request(value).into());
        let connection = status.as_mut().and_then(|status| status.connection.take());
        Self {
            uid: metadata.uid.as_deref().map(Uid::from),
            generation: metadata.generation,
            labels,
            verdict,
            is_deleted: metadata.deletion_timestamp.is_some(),
            is_suspended: spec.suspended,
            adopts,
            group: groups.name(spec.gateway_group),
            key_rotation: spec.key_rotation.map(Box::new),
            rotate_key,
            reported: status.map_or(Reported::Nothing, |status| {
                Reported::of(status, &id.name, groups)
            }),
            connection: connection.map(Box::new),
            id,
        }
    }

    /// Returns whether an object is the same generation of the same subscription.
    pub(crate) fn is_of_generation(&self, object: &DatastreamSubscription) -> bool {
        let metadata = &object.metadata;
        let uid = metadata.uid.as_deref().map(Uid::from);
        self.generation.is_some() && self.generation == metadata.generation && self.uid == uid
    }

    /// The status that it has, without its connection.
    pub(crate) fn status(&self) -> Option<DatastreamSubscriptionStatus> {
        self.reported.status(&self.id.name)
    }

    /// The text of its uid.
    pub(crate) fn uid_text(&self) -> Option<String> {
        self.uid.as_ref().map(ToString::to_string)
    }

    /// The object, for Events about it.
    pub(crate) fn reference(&self) -> ObjectReference {
        ObjectReference {
            api_version: Some(DatastreamSubscription::api_version(&()).into_owned()),
            kind: Some(DatastreamSubscription::kind(&()).into_owned()),
            namespace: Some(self.id.namespace.to_string()),
            name: Some(self.id.name.to_string()),
            uid: self.uid_text(),
            ..ObjectReference::default()
        }
    }

    /// The reference by which it owns other objects; absent without a uid.
    pub(crate) fn owner_reference(&self) -> Option<OwnerReference> {
        Some(OwnerReference {
            api_version: DatastreamSubscription::api_version(&()).into_owned(),
            kind: DatastreamSubscription::kind(&()).into_owned(),
            name: self.id.name.to_string(),
            uid: self.uid_text()?,
            controller: Some(true),
            block_owner_deletion: None,
        })
    }
}

#[cfg(test)]
mod tests;

//! An object as a list or a watch has it.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// An object that could be read, or else what is known of it. Its deserialization does not fail for any object, so that one that
/// cannot be read does not take a whole list with it.
///
/// kube has `DeserializeGuard` for this, whose error does not name the field and which drops the status.
#[allow(
    clippy::large_enum_variant,
    reason = "the large variant is rare, and each value is handed on at once"
)]
#[derive(Clone, Debug)]
pub enum Watched<K> {
    /// It could be read.
    Read(K),
    /// It could not.
    Unreadable(Unreadable),
}

/// An object that cannot be read, such as one from a later version.
#[derive(Clone, Debug)]
pub struct Unreadable {
    /// Its identity. What cannot be read of the metadata either is missing.
    pub metadata: ObjectMeta,
    /// Its status as it is; null if it has none.
    pub status: Value,
    /// The field, and what is wrong with it.
    pub error: String,
}

impl<'de, K: DeserializeOwned> Deserialize<'de> for Watched<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = Value::deserialize(deserializer)?;
        Ok(match serde_path_to_error::deserialize(&object) {
            Ok(read) => Self::Read(read),
            Err(error) => Self::Unreadable(Unreadable {
                metadata: metadata(&object["metadata"]),
                error: error.to_string(),
                status: object.get("status").cloned().unwrap_or_default(),
            }),
        })
    }
}

/// The metadata, or as much of it as is needed to know the object again.
fn metadata(metadata: &Value) -> ObjectMeta {
    ObjectMeta::deserialize(metadata).unwrap_or_else(|_| {
        let text = |field: &str| metadata[field].as_str().map(str::to_owned);
        ObjectMeta {
            name: text("name"),
            namespace: text("namespace"),
            uid: text("uid"),
            resource_version: text("resourceVersion"),
            generation: metadata["generation"].as_i64(),
            ..ObjectMeta::default()
        }
    })
}

impl<K: Resource> Resource for Watched<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(dt)
    }

    fn group(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::group(dt)
    }

    fn version(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::version(dt)
    }

    fn plural(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(dt)
    }

    fn meta(&self) -> &ObjectMeta {
        match self {
            Self::Read(object) => object.meta(),
            Self::Unreadable(object) => &object.metadata,
        }
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        match self {
            Self::Read(object) => object.meta_mut(),
            Self::Unreadable(object) => &mut object.metadata,
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::coordination::v1::Lease;
    use kube::ResourceExt;
    use kube::core::ObjectList;
    use serde_json::json;

    use super::*;

    fn unreadable(object: Value) -> Unreadable {
        match serde_json::from_value::<Watched<Lease>>(object).unwrap() {
            Watched::Unreadable(object) => object,
            Watched::Read(lease) => panic!("{lease:?}"),
        }
    }

    #[test]
    fn an_unreadable_field_is_named_and_the_rest_of_the_list_is_kept() {
        let list: ObjectList<Watched<Lease>> = serde_json::from_value(json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "LeaseList",
            "metadata": {"resourceVersion": "9"},
            "items": [
                {"metadata": {"name": "good"}},
                {"metadata": {"name": "bad", "uid": "u"}, "spec": {"renewTime": "2026-11-24T06:14:44+99:99"}, "status": {"a": 1}},
                {"metadata": {"name": "better"}},
            ],
        }))
        .unwrap();
        let names: Vec<_> = list.items.iter().map(ResourceExt::name_any).collect();
        assert_eq!(names, ["good", "bad", "better"]);
        let Watched::Unreadable(bad) = &list.items[1] else {
            panic!("{:?}", list.items[1]);
        };
        assert!(bad.error.starts_with("spec.renewTime: "), "{}", bad.error);
        assert_eq!(bad.metadata.uid.as_deref(), Some("u"));
        assert_eq!(bad.status, json!({"a": 1}));
    }

    #[test]
    fn an_object_with_unreadable_metadata_is_still_identified() {
        let bad = unreadable(json!({
            "metadata": {"name": "bad", "namespace": "team", "uid": "u", "generation": 3, "resourceVersion": "7", "creationTimestamp": "yesterday"},
        }));
        let metadata = bad.metadata;
        assert!(
            bad.error.starts_with("metadata.creationTimestamp: "),
            "{}",
            bad.error
        );
        assert_eq!(metadata.name.as_deref(), Some("bad"));
        assert_eq!(metadata.namespace.as_deref(), Some("team"));
        assert_eq!(metadata.resource_version.as_deref(), Some("7"));
        assert_eq!(
            (metadata.uid.as_deref(), metadata.generation),
            (Some("u"), Some(3))
        );
    }
}

//! The names under which operator and gateways find each other's objects in Kubernetes, and what a Lease says.

use std::collections::BTreeMap;

use crate::bucket::{BucketHash, BucketId};

/// The label that names what an object of datastream is.
pub const COMPONENT: &str = "datastream.dev/component";
/// The label that names the group of gateways that an object is for.
pub const GROUP: &str = "datastream.dev/gateway-group";
/// The key of a routing object's bytes in its Secret.
pub const ROUTES_KEY: &str = "routes.json";
/// The annotation of a gateway's Lease with the hash of every bucket that it holds, as [`encode_held`] writes it.
pub const HELD: &str = "datastream.dev/buckets";
/// The annotation of a gateway's Lease that says whether it takes streams: `true` or `false`.
pub const READY: &str = "datastream.dev/ready";

/// The label selector of the objects of a component (`routes`, `gateway`) of a group of gateways.
pub fn selector(component: &str, group: &str) -> String {
    format!("{COMPONENT}={component},{GROUP}={group}")
}

/// The name of the Secret with a bucket of a group's routes.
pub fn routes_name(group: &str, bucket: BucketId) -> String {
    format!("datastream-{group}-routes-{bucket}")
}

/// The bucket in the Secret with this name; absent if the name is not that of a routing object.
pub fn routes_bucket(name: &str) -> Option<BucketId> {
    name.rsplit_once("-routes-")?.1.parse().ok()
}

/// What a gateway holds, as a JSON object `{"017":"HASH"}`.
pub fn encode_held(held: &BTreeMap<BucketId, BucketHash>) -> String {
    let text = |(id, hash): (&BucketId, &BucketHash)| (id.to_string(), hash.to_string().into());
    serde_json::Value::Object(held.iter().map(text).collect()).to_string()
}

/// Reads what a gateway holds. What is malformed is not held.
pub fn decode_held(text: &str) -> BTreeMap<BucketId, BucketHash> {
    let held: BTreeMap<String, String> = serde_json::from_str(text).unwrap_or_default();
    let parse = |(id, hash): (&String, &String)| Some((id.parse().ok()?, hash.parse().ok()?));
    held.iter().filter_map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_read_as_it_was_written() {
        let held = BTreeMap::from([
            (BucketId(7), BucketHash::of(b"x")),
            (BucketId(200), BucketHash::of(b"y")),
        ]);
        assert!(encode_held(&held).starts_with(r#"{"007":""#));
        assert_eq!(decode_held(&encode_held(&held)), held);
        assert_eq!(decode_held("nonsense"), BTreeMap::new());
        assert_eq!(
            decode_held(r#"{"999":"00","007":"short"}"#),
            BTreeMap::new()
        );
    }

    #[test]
    fn names_lead_back_to_buckets() {
        let name = routes_name("default", BucketId(7));
        assert_eq!(name, "datastream-default-routes-007");
        assert_eq!(routes_bucket(&name), Some(BucketId(7)));
        assert_eq!(routes_bucket("datastream-routes-x"), None);
    }
}

//! The names under which operator and gateways find each other's objects in Kubernetes, and what a Lease says.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use crate::bucket::BucketHash;
use crate::bucket_id::BucketId;
use crate::id::SubscriptionId;

/// The label that names what an object of datastream is.
pub const COMPONENT: &str = "datastream.dev/component";
/// The label that names the group of gateways that an object is for.
pub const GROUP: &str = "datastream.dev/gateway-group";
/// The key of a routing object's bytes in its Secret.
pub const ROUTES_KEY: &str = "routes.json";
/// The key of the list in the Secret that lists a group's routing objects.
pub const INDEX_KEY: &str = "buckets.json";
/// The annotation of a gateway's Lease with the hash of every bucket that it holds, as [`encode_held`] writes it.
pub const HELD: &str = "datastream.dev/buckets";
/// The annotation of a gateway's Lease that says whether it takes streams: `true` or `false`.
pub const READY: &str = "datastream.dev/ready";

/// The annotation of a gateway's Lease with the address, HOST:PORT, of its admin listener, where other gateways ask it.
pub const PEER: &str = "datastream.dev/peer";
/// The annotation of a gateway's Lease that says whether other gateways ask it by TLS, with the certificate of their group: `true`.
pub const PEER_TLS: &str = "datastream.dev/peer-tls";
/// The annotation of a gateway's Lease with the number of its open streams.
pub const STREAMS: &str = "datastream.dev/streams";
/// The annotation of a claim: the subscription whose stream it is, as NAMESPACE/NAME.
pub const SUBSCRIPTION: &str = "datastream.dev/subscription";
/// The annotation of a claim: the `metadata.uid` of that subscription.
pub const SUBSCRIPTION_UID: &str = "datastream.dev/subscription-uid";
/// The annotation of a claim: the pod that serves the stream.
pub const POD: &str = "datastream.dev/pod";
/// The annotation of a claim: the `seq` of the last event that was sent; absent before the first. Updated now and then.
pub const LAST_SEQ: &str = "datastream.dev/last-seq";
/// The annotation of a claim: records of the topic that the stream has yet to see. Updated now and then.
pub const LAG: &str = "datastream.dev/lag";

/// The name of the Lease that claims the one stream of a subscription within a group of gateways.
///
/// A hash, because namespace and name together may be longer than a name can be.
pub fn claim_name(group: &str, id: &SubscriptionId) -> String {
    let hash = Sha256::digest(id.to_string().as_bytes());
    format!("datastream-{group}-stream-{}", hex::encode(&hash[..16]))
}

/// The subscription that a claim names, from its annotation.
pub fn decode_subscription(text: &str) -> Option<SubscriptionId> {
    let (namespace, name) = text.split_once('/')?;
    Some(SubscriptionId::new(namespace, name))
}

/// The labels of the objects of a component of a group of gateways.
pub fn labels(component: &str, group: &str) -> BTreeMap<&'static str, String> {
    BTreeMap::from([(COMPONENT, component.to_owned()), (GROUP, group.to_owned())])
}

/// The label selector of the objects of a component (`routes`, `gateway`, `stream`) of a group of gateways.
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

/// The component of the Secret that lists a group's routing objects.
pub const INDEX: &str = "routes-index";

/// The name of the Secret that lists a group's routing objects: by it, a gateway that starts finds out that one is missing.
pub fn index_name(group: &str) -> String {
    format!("datastream-{group}-routes")
}

/// Key in the list of routing objects that says, by being there, that the group has access rules: a gateway that starts serves nobody
/// before it has read them.
pub const HAS_ACCESS_KEY: &str = "access";

/// The component of the Secret with a group's access rules.
pub const ACCESS: &str = "access";

/// Key of the access rules in their Secret, as [`AccessRules::encode`](crate::AccessRules::encode) wrote them.
pub const ACCESS_KEY: &str = "rules.json";

/// Returns the name of the Secret with the access rules of a group.
pub fn access_name(group: &str) -> String {
    format!("datastream-{group}-access")
}

/// The component of the Secret with the certificate by which the gateways of a group know each other.
pub const PEERS: &str = "peers";

/// The name of the Secret with the certificate by which the gateways of a group know each other.
pub fn peers_name(group: &str) -> String {
    format!("datastream-{group}-peers")
}

/// The label selector of a group's routing objects, the list of them, and the certificate of its gateways.
pub fn routes_selector(group: &str) -> String {
    format!("{COMPONENT} in (routes,{INDEX},{PEERS},{ACCESS}),{GROUP}={group}")
}

/// A list of routing objects, as a JSON array `["017"]`.
pub fn encode_index(buckets: &BTreeSet<BucketId>) -> String {
    let names: Vec<_> = buckets.iter().map(ToString::to_string).collect();
    serde_json::json!(names).to_string()
}

/// Reads a list of routing objects.
///
/// # Errors
/// It is none.
pub fn decode_index(bytes: &[u8]) -> Result<BTreeSet<BucketId>, String> {
    let names: Vec<String> = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    let bucket = |name: &String| name.parse().map_err(|e| format!("{name:?}: {e}"));
    names.iter().map(bucket).collect()
}

/// Encodes the buckets that a gateway holds as a JSON object `{"017":"HASH"}`.
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
    fn held_buckets_are_decoded_as_encoded() {
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
    fn a_bucket_list_is_decoded_as_encoded() {
        let buckets = BTreeSet::from([BucketId(7), BucketId(200)]);
        let text = encode_index(&buckets);
        assert_eq!(text, r#"["007","200"]"#);
        assert_eq!(decode_index(text.as_bytes()), Ok(buckets));
        for wrong in ["", "{}", r#"["999"]"#, r#"["x"]"#] {
            assert!(decode_index(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn claims_of_different_subscriptions_have_different_names() {
        let name = claim_name("default", &SubscriptionId::new("team-a", "leds"));
        assert_eq!(name.len(), "datastream-default-stream-".len() + 32);
        assert_ne!(
            name,
            claim_name("default", &SubscriptionId::new("team", "a-leds"))
        );
        let id = SubscriptionId::new("team-a", "leds");
        assert_eq!(decode_subscription(&id.to_string()), Some(id));
        assert_eq!(decode_subscription("leds"), None);
    }

    #[test]
    fn object_names_are_parsed_back_into_buckets() {
        let name = routes_name("default", BucketId(7));
        assert_eq!(name, "datastream-default-routes-007");
        assert_eq!(routes_bucket(&name), Some(BucketId(7)));
        assert_eq!(routes_bucket("datastream-routes-x"), None);
        assert_eq!(routes_bucket(&index_name("default")), None);
    }
}

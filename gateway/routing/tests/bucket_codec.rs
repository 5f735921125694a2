//! Tests of the codec of routing objects: what is written is read back; what is broken, foreign or from the future is refused
//! whole.

use datastream_protocol::event::EventType;
use datastream_routing::{
    Bucket, BucketError, BucketHash, Field, Filter, KeyHash, Pattern, Resume, Route, SubscriptionId,
};
use proptest::collection::vec;
use proptest::prelude::*;

fn route(name: &str) -> Route {
    Route {
        uid: "3d1f".to_owned(),
        generation: 7,
        event_types: [EventType::Datapoint].into_iter().collect(),
        filters: vec![Filter::default().with(Field::Dsn, [Pattern::new("AC*")])],
        resume: Resume::Committed,
        ..Route::new(SubscriptionId::new("default", name), KeyHash::of(name))
    }
}

proptest! {
    #[test]
    fn a_bucket_is_read_back_as_written(names in vec("[a-z]{1,8}", 0..300)) {
        let Some(id) = names.first().map(|n| SubscriptionId::new("default", n.as_str()).bucket()) else {
            return Ok(());
        };
        let mut names: Vec<_> =
            names.into_iter().filter(|n| SubscriptionId::new("default", n.as_str()).bucket() == id).collect();
        names.sort();
        names.dedup();
        let bucket = Bucket::new(id, names.iter().rev().map(|n| route(n)).collect());
        let bytes = bucket.encode().unwrap();
        prop_assert_eq!(Bucket::decode(&bytes).unwrap(), bucket.clone());
        // Canonical: the order in which the routes came makes no difference.
        let again = Bucket::new(id, names.iter().map(|n| route(n)).collect());
        prop_assert_eq!(BucketHash::of(&bytes), BucketHash::of(&again.encode().unwrap()));
    }

    #[test]
    fn cut_or_flipped_bytes_never_panic(cut in 0_usize..400, flip in 0_usize..400) {
        let bucket = Bucket::new(SubscriptionId::new("default", "a").bucket(), vec![route("a")]);
        let mut bytes = bucket.encode().unwrap();
        bytes.truncate(cut);
        if let Some(byte) = bytes.get_mut(flip) {
            *byte ^= 0x20;
        }
        let _ = Bucket::decode(&bytes);
    }
}

#[test]
fn a_future_version_is_refused_by_its_number() {
    let error = Bucket::decode(br#"{"version":4,"shape":"unknown"}"#).unwrap_err();
    assert!(
        matches!(error, BucketError::Version { found: 4 }),
        "{error}"
    );
    assert!(error.to_string().contains("upgrade the gateways first"));
}

#[test]
fn a_route_in_the_wrong_bucket_or_listed_twice_is_refused() {
    let right = SubscriptionId::new("default", "a").bucket();
    let other = SubscriptionId::new("default", "b").bucket();
    let misplaced = Bucket {
        id: other,
        routes: vec![route("a")],
    }
    .encode()
    .unwrap();
    assert!(matches!(
        Bucket::decode(&misplaced),
        Err(BucketError::WrongBucket { .. })
    ));
    let twice = Bucket {
        id: right,
        routes: vec![route("a"), route("a")],
    }
    .encode()
    .unwrap();
    assert!(matches!(
        Bucket::decode(&twice),
        Err(BucketError::Unsorted { .. })
    ));
}

#[test]
fn the_format_is_what_the_documentation_shows() {
    let bucket = Bucket::new(
        SubscriptionId::new("default", "a").bucket(),
        vec![route("a")],
    );
    let text = String::from_utf8(bucket.encode().unwrap()).unwrap();
    assert_eq!(
        text,
        format!(
            concat!(
                r#"{{"version":1,"bucket":{},"routes":[{{"namespace":"default","name":"a","uid":"3d1f","generation":7,"#,
                r#""keySha256":"ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb","suspended":false,"#,
                r#""eventTypes":["datapoint"],"filters":[{{"dsns":["AC*"]}}],"#,
                r#""heartbeat":{{"intervalSeconds":30,"missedLimit":3}},"resume":"Committed"}}]}}"#
            ),
            bucket.id.0
        )
    );
}

#[test]
fn a_bucket_has_the_oldest_version_that_says_it_all() {
    let mut rotated = route("a");
    rotated.previous_key_sha256 = Some(KeyHash::of("before"));
    for (route, version) in [
        (route("a"), "{\"version\":1,"),
        (rotated, "{\"version\":2,"),
    ] {
        let bucket = Bucket::new(route.id.bucket(), vec![route]);
        let bytes = bucket.encode().unwrap();
        assert!(bytes.starts_with(version.as_bytes()), "{bytes:?}");
        assert_eq!(Bucket::decode(&bytes).unwrap(), bucket);
    }
}

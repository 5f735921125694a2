//! Routing objects, the list of them, and what gateways say that they hold: what is read and written again is the same.

use datastream_protocol::event::EventType;
use datastream_routing::{
    Bucket, BucketHash, EventFields, Filter, FilterIndex, Matches, PerField, Route, RouteTable,
    buckets, names,
};

/// Patterns of a bucket that events are made of.
const PATTERNS: usize = 8;

/// Reads a routing object, a list of them, and an annotation.
pub fn run(data: &[u8]) {
    let hash = BucketHash::of(data);
    assert_eq!(hash.to_string().parse(), Ok(hash));
    match Bucket::decode(data) {
        Ok(bucket) => {
            is_written_the_same(&bucket);
            is_found(&bucket.routes);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    if let Ok(listed) = names::decode_index(data) {
        let text = names::encode_index(&listed);
        assert_eq!(names::decode_index(text.as_bytes()), Ok(listed));
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let held = names::decode_held(text);
        assert_eq!(names::decode_held(&names::encode_held(&held)), held);
    }
}

fn is_written_the_same(bucket: &Bucket) {
    let bytes = bucket.encode().unwrap();
    let again = Bucket::decode(&bytes).unwrap();
    assert_eq!(&again, bucket);
    assert_eq!(again.encode().unwrap(), bytes);
    // Whoever starts from the routes comes to the same objects.
    let made: Vec<_> = buckets(bucket.routes.iter().rev().cloned())
        .into_values()
        .collect();
    let expected = if bucket.routes.is_empty() {
        vec![]
    } else {
        vec![again]
    };
    assert_eq!(made, expected);
}

/// A table of these routes has each of them, and an index finds those that want an event as a look at each one does.
fn is_found(routes: &[Route]) {
    let table = RouteTable::from_routes(routes.to_vec());
    let mut index = FilterIndex::default();
    for (place, route) in (0..).zip(routes) {
        index.insert(place, route);
        let found = table.by_id(&route.id).map(|found| &**found);
        assert_eq!(found, Some(route));
        let found = table.by_key(&route.key_sha256);
        assert_eq!(found.map(|r| r.key_sha256), Some(route.key_sha256));
    }
    let filters = routes.iter().flat_map(|route| &route.filters);
    let lists = filters.flat_map(Filter::lists);
    let patterns = lists.flat_map(|(_, list)| list).take(PATTERNS);
    let mut values: Vec<_> = patterns
        .map(|pattern| Some(pattern.as_str().replace('*', "x")))
        .collect();
    values.extend([None, Some(String::new())]);
    let mut matches = Matches::default();
    for event_type in EventType::ALL {
        for value in &values {
            let event = EventFields {
                event_type,
                values: PerField::from_fn(|_| value.as_deref()),
            };
            index.matches(&event, &mut matches);
            let mut found = matches.as_slice().to_vec();
            found.sort_unstable();
            let wanting = (0_u32..).zip(routes);
            let wanting = wanting.filter(|(_, route)| route.matches(&event));
            let expected: Vec<_> = wanting.map(|(place, _)| place).collect();
            assert_eq!(found, expected, "{event:?}");
        }
    }
}

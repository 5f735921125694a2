//! Routes of a bucket that has room, or none, and what they let in.

use datastream_routing::{ClientCertificate, Field, Filter, KeyHash, Labels};
use proptest::prelude::*;

use super::*;

/// A route of the first generation for so many devices.
fn route(name: &str, devices: usize) -> Arc<Route> {
    let id = SubscriptionId::new("team", name);
    let key = KeyHash::of(name);
    with(&Arc::new(Route::new(id, key)), |route| {
        route.filters = filters(devices);
    })
}

fn filters(devices: usize) -> Vec<Filter> {
    let dsns = (0..devices).map(|n| format!("DSN{n:07}").as_str().into());
    vec![Filter::default().with(Field::Dsn, dsns)]
}

/// The route with a change.
fn with(route: &Arc<Route>, change: impl FnOnce(&mut Route)) -> Arc<Route> {
    let mut route = Route::clone(route);
    change(&mut route);
    Arc::new(route)
}

/// The route with an edit that no bucket of these tests has room for.
fn edited(route: &Arc<Route>) -> Arc<Route> {
    with(route, |route| {
        route.generation += 1;
        route.filters = filters(1000);
    })
}

fn routes<const N: usize>(of: [&Arc<Route>; N]) -> Routes {
    let routes = of.into_iter().cloned();
    routes.map(|route| (route.id.clone(), route)).collect()
}

fn size_of(routes: &Routes) -> Size {
    let sizes = routes.values().map(|route| Size::of(route));
    sizes.fold(Size::default(), |sum, size| Size {
        plain: sum.plain + size.plain,
        all: sum.all + size.all,
    })
}

/// Room for these routes, and for so many bytes of what says who may have their streams.
fn full(routes: &Routes, beyond: usize) -> Room {
    let size = size_of(routes);
    Room {
        routes: size.plain,
        all: size.all + beyond,
    }
}

fn rotate(route: &mut Route) {
    route.previous_key_sha256 = Some(route.key_sha256);
    route.key_sha256 = KeyHash::of("rotated");
}

#[test]
fn a_full_bucket_keeps_what_it_has_and_takes_what_fits() {
    let published = routes([&route("a", 100), &route("b", 100)]);
    let limit = size_of(&published).all + bytes(&route("c", 10));
    let room = Room {
        routes: limit,
        all: limit,
    };
    let wanted = routes([
        &route("a", 100),
        &route("b", 150),
        &route("c", 10),
        &route("d", 50),
    ]);
    assert_eq!(
        pack(&published, &wanted, room),
        routes([&route("a", 100), &route("b", 100), &route("c", 10)])
    );
    // Room that one gives up is there for others.
    let wanted = routes([&route("a", 10), &route("b", 120), &route("d", 50)]);
    assert_eq!(pack(&published, &wanted, room), wanted);
    // What is not wanted is not kept.
    let wanted = routes([&route("x", 1000)]);
    assert_eq!(pack(&published, &wanted, room), BTreeMap::new());
}

#[test]
fn a_key_that_is_revoked_after_an_edit_that_has_no_room_opens_nothing_any_more() {
    let published = routes([&route("a", 10)]);
    let new = KeyHash::of("new");
    let wanted = with(&edited(&route("a", 10)), |route| route.key_sha256 = new);
    let packed = pack(&published, &routes([&wanted]), full(&published, 0));
    let kept = with(&route("a", 10), |route| route.key_sha256 = new);
    assert_eq!(packed, routes([&kept]));
    // So does one that ends after a rotation.
    let rotated = with(&route("a", 10), rotate);
    let published = routes([&rotated]);
    let ended = |route: &mut Route| route.previous_key_sha256 = None;
    let wanted = with(&edited(&rotated), ended);
    let packed = pack(&published, &routes([&wanted]), full(&published, 0));
    assert_eq!(packed, routes([&with(&rotated, ended)]));
}

#[test]
fn a_subscription_is_suspended_although_the_edit_that_says_so_has_no_room() {
    let published = routes([&route("a", 10)]);
    let suspend = |route: &mut Route| route.suspended = true;
    let wanted = with(&edited(&route("a", 10)), suspend);
    let packed = pack(&published, &routes([&wanted]), full(&published, 0));
    let suspended = with(&route("a", 10), suspend);
    assert_eq!(packed, routes([&suspended]));
    // It is not let in again before its filters are those that are wanted.
    let wanted = edited(&route("a", 10));
    assert_eq!(pack(&packed, &routes([&wanted]), full(&packed, 0)), packed);
}

#[test]
fn a_route_without_room_for_the_certificate_that_is_wanted_is_taken_out() {
    let published = routes([&route("a", 10), &route("b", 10)]);
    let bind = |route: &mut Route| {
        route.client_certificate = Some(Box::new(ClientCertificate {
            names: vec!["a.example".to_owned()],
            without_key: false,
        }));
    };
    let wanted = with(&edited(&route("a", 10)), bind);
    let wanted = routes([&wanted, &route("b", 10)]);
    let kept = with(&route("a", 10), bind);
    let takes = bytes(&kept) - bytes(&route("a", 10));
    let packed = |beyond| pack(&published, &wanted, full(&published, beyond));
    assert_eq!(packed(takes), routes([&kept, &route("b", 10)]));
    assert_eq!(packed(takes - 1), routes([&route("b", 10)]));
}

#[test]
fn all_keys_of_a_full_bucket_are_replaced_with_those_before_them_as_far_as_there_is_room() {
    let names = ["a", "b", "c"];
    let published = names.map(|name| route(name, 10));
    let published = routes(published.each_ref());
    let wanted = names.map(|name| with(&route(name, 10), rotate));
    let wanted = routes(wanted.each_ref());
    let packed = |keys| {
        let room = full(&published, keys * PREVIOUS_KEY_BYTES);
        pack(&published, &wanted, room)
    };
    assert_eq!(packed(names.len()), wanted);
    for room_for in 0..names.len() {
        let packed = packed(room_for);
        assert_eq!(packed.len(), names.len());
        let new = packed.values().zip(wanted.values());
        assert!(new.clone().all(|(p, w)| p.key_sha256 == w.key_sha256));
        assert_eq!(new.filter(|(p, w)| p == w).count(), room_for);
        // One that has its key before keeps it, whoever is replaced after that.
        assert_eq!(pack(&packed, &wanted, full(&packed, 0)), packed);
    }
}

#[test]
fn the_room_of_a_secret_is_enough_for_the_keys_before_of_1600_subscriptions() {
    let Room { routes, all } = Room::default();
    assert!(routes + 1600 * PREVIOUS_KEY_BYTES <= all && all < SECRET_BYTES);
    let rotated = with(&route("a", 10), rotate);
    assert_eq!(Size::of(&rotated).plain, bytes(&route("a", 10)));
}

#[test]
fn a_subscription_that_is_made_again_gets_nothing_of_the_one_before() {
    let published = routes([&route("a", 10), &route("b", 10)]);
    let again = with(&route("a", 20), |route| route.uid = "again".to_owned());
    let wanted = routes([&again, &route("b", 10)]);
    let room = full(&published, 1000);
    assert_eq!(pack(&published, &wanted, room), routes([&route("b", 10)]));
    let room = full(&wanted, 0);
    assert_eq!(pack(&published, &wanted, room), wanted);
}

/// A route of any kind, small enough for several in a bucket.
fn any_route(name: &'static str) -> impl Strategy<Value = Arc<Route>> {
    let who = (0..4_u8, prop::option::of(4..6_u8), 0..4_u8, 0..3_u8);
    let what = (0..2_u8, 8..12_i64, 0..20_usize);
    let closed = (any::<bool>(), prop::option::weighted(0.3, 0..9_usize));
    (who, what, closed).prop_map(move |(who, what, closed)| {
        let (key, previous, certificate, label) = who;
        let hash = |number: u8| KeyHash::of(&format!("{name}{number}"));
        let label = ("app".to_owned(), "x".repeat(label.into()));
        let condition = (certificate > 0).then(|| ClientCertificate {
            names: vec!["x".repeat(certificate.into())],
            without_key: certificate == 1,
        });
        with(&route(name, what.2), |route| {
            route.key_sha256 = hash(key);
            route.previous_key_sha256 = previous.map(hash);
            route.client_certificate = condition.map(Box::new);
            route.labels = Some(Box::new(Labels::from([label])));
            route.uid = what.0.to_string();
            route.generation = what.1;
            route.suspended = closed.0;
            route.denied = closed.1.map(|length| "x".repeat(length).into());
        })
    })
}

/// A route as it is published of a subscription, and as it is wanted, with some parts in common.
fn any_pair(name: &'static str) -> impl Strategy<Value = (Option<Arc<Route>>, Option<Arc<Route>>)> {
    let published = prop::option::weighted(0.7, any_route(name));
    let wanted = prop::option::weighted(0.8, any_route(name));
    (published, wanted, any::<u8>()).prop_map(|(published, wanted, common)| {
        let in_common = |old: &Route, new: &mut Route| {
            let is_common = |part: u8| common & (1 << part) != 0;
            if is_common(0) {
                new.uid.clone_from(&old.uid);
            }
            if is_common(1) {
                new.key_sha256 = old.key_sha256;
            }
            if is_common(2) {
                new.previous_key_sha256 = old.previous_key_sha256;
            }
            if is_common(3) {
                new.client_certificate.clone_from(&old.client_certificate);
            }
            if is_common(4) {
                new.labels.clone_from(&old.labels);
            }
            if is_common(5) {
                new.filters.clone_from(&old.filters);
                new.generation = old.generation;
            }
            if is_common(6) {
                new.suspended = old.suspended;
            }
            if is_common(7) {
                new.denied.clone_from(&old.denied);
            }
        };
        let wanted = match (&published, wanted) {
            (Some(old), Some(new)) => Some(with(&new, |new| in_common(old, new))),
            (_, wanted) => wanted,
        };
        (published, wanted)
    })
}

proptest! {
    /// Whatever is published and wanted, and whatever room there is.
    #[test]
    fn no_published_route_lets_in_more_than_the_wanted_one(
        pairs in ["a", "b", "c", "d"].map(any_pair),
        share in 0..3000_usize,
        beyond in 0..600_usize,
    ) {
        let (published, wanted): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        let routes = |of: Vec<Option<Arc<Route>>>| -> Routes {
            let routes = of.into_iter().flatten();
            routes.map(|route| (route.id.clone(), route)).collect()
        };
        let (published, wanted) = (routes(published), routes(wanted));
        let room = Room { routes: share, all: share + beyond };
        let packed = pack(&published, &wanted, room);
        prop_assert!(size_of(&packed).all <= room.all);
        for (id, route) in &packed {
            let new = &wanted[id];
            prop_assert_eq!(&route.uid, &new.uid);
            prop_assert_eq!(route.key_sha256, new.key_sha256);
            prop_assert!(route.keys().all(|key| new.keys().any(|good| good == key)));
            prop_assert_eq!(&route.labels, &new.labels);
            prop_assert!(route.suspended || !new.suspended);
            prop_assert!(route.denied.is_some() || new.denied.is_none());
            match (&route.client_certificate, &new.client_certificate) {
                (asked, Some(wanted)) => prop_assert_eq!(asked.as_ref(), Some(wanted)),
                (Some(asked), None) => prop_assert!(!asked.without_key),
                (None, None) => (),
            }
            let old = published.get(id).filter(|old| old.uid == new.uid);
            let is_of = |other: &Arc<Route>| {
                (other.generation, &other.filters) == (route.generation, &route.filters)
            };
            prop_assert!(is_of(new) || old.is_some_and(is_of));
        }
        // What fits is all there, and what is published stays so while nothing changes.
        let (size, of_published) = (size_of(&wanted), size_of(&published));
        if size.plain <= room.routes && size.all <= room.all {
            prop_assert_eq!(&packed, &wanted);
        }
        prop_assert_eq!(&pack(&packed, &wanted, room), &packed);
        // Nothing that takes no more room than before is taken out.
        for (id, old) in published.iter().filter(|_| of_published.all <= room.all) {
            let kept = wanted.get(id).and_then(|new| restricted(old, new));
            if kept.is_some_and(|kept| Size::of(&kept).plain <= Size::of(old).plain) {
                prop_assert!(packed.contains_key(id));
            }
        }
    }
}

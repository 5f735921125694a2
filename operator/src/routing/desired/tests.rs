//! Routes of subscriptions and keys that come, change and go.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use datastream_protocol::event::EventType;
use datastream_routing::{Effect, Field, Filter, Heartbeat, Resume, Rule};
use proptest::prelude::*;

use super::*;

/// The cost of one pattern that is checked.
const UNIT: u64 = 256;

const BUDGET: Budget = Budget {
    subscription: 10 * UNIT,
    namespace: 20 * UNIT,
    subscriptions: NonZeroU32::new(4),
};

fn id(name: &str) -> SubscriptionId {
    SubscriptionId::new("team", name)
}

fn valid(name: &str, uid: &str, generation: i64) -> ValidSubscription {
    ValidSubscription {
        id: id(name),
        uid: uid.to_owned(),
        generation,
        suspended: false,
        event_types: [EventType::Location].into_iter().collect(),
        filters: vec![],
        heartbeat: Heartbeat::default(),
        resume: Resume::Latest,
        client_certificate: None,
        labels: BTreeMap::new(),
    }
}

/// Filters that cost this many times [`UNIT`], and want what ends with as many letters.
fn costing(cost: usize) -> Vec<Filter> {
    let ending = "x".repeat(cost);
    let patterns = (0..cost).map(|number| format!("{number}*{ending}").as_str().into());
    vec![Filter::default().with(Field::Dsn, patterns)]
}

#[allow(
    clippy::unnecessary_wraps,
    reason = "the argument that it is for may be missing"
)]
fn key(owner: &str, key: &str) -> Option<ObservedKey> {
    Some(ObservedKey {
        owner_uid: Some(owner.into()),
        hash: KeyHash::of(key),
        previous: None,
    })
}

/// A key, and the one before it.
fn rotated(owner: &str, now: &str, before: &str) -> Option<ObservedKey> {
    let key = key(owner, now)?;
    let previous = Some(Box::new(KeyHash::of(before)));
    Some(ObservedKey { previous, ..key })
}

fn settled() -> Desired {
    let mut desired = Desired::new(BUDGET, AccessMode::default());
    desired.settle(std::iter::empty());
    desired
}

/// Sets a subscription whose uid is its name, and that is as old as its number says.
fn set(desired: &mut Desired, name: &str, created: i64, filters: Vec<Filter>) {
    let valid = ValidSubscription {
        filters,
        ..valid(name, name, 1)
    };
    desired.set_subscription(&id(name), (created, name.into()), Some(valid));
}

fn routed(desired: &Desired) -> Vec<String> {
    let ids = desired.buckets().flat_map(|b| desired.ids(b));
    let mut names: Vec<_> = ids.map(|id| id.name.to_string()).collect();
    names.sort();
    names
}

#[derive(Clone, Debug)]
enum Step {
    Set(u8, u8, i64, usize),
    Invalid(u8, u8),
    Remove(u8),
    Key(u8, Option<u8>, u8),
    KeyGone(u8),
    Rules(u8),
}

/// Access rules by which the team may ask for devices whose numbers end with so many x; by 0, for all.
fn ending(length: u8) -> Arc<AccessRules> {
    if length == 0 {
        return Arc::new(AccessRules::open());
    }
    let pattern = format!("*{}", "x".repeat(length.into()));
    let rule = Rule {
        name: "ending".to_owned(),
        effect: Effect::Allow,
        event_types: EventType::ALL.into_iter().collect(),
        filter: Filter::default().with(Field::Dsn, [pattern.as_str().into()]),
    };
    Arc::new(AccessRules {
        otherwise: Effect::Deny,
        rules: vec![Arc::new(rule)],
        namespaces: BTreeMap::from([("team".to_owned(), vec![0])]),
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..5_u8, 0..2_u8, 0..3_i64, 0..14_usize).prop_map(|(n, u, g, c)| Step::Set(n, u, g, c)),
        1 => (0..5_u8, 0..2_u8).prop_map(|(n, u)| Step::Invalid(n, u)),
        1 => (0..5_u8).prop_map(Step::Remove),
        4 => (0..5_u8, prop::option::weighted(0.9, 0..2_u8), 0..4_u8).prop_map(|(n, u, k)| Step::Key(n, u, k)),
        1 => (0..5_u8).prop_map(Step::KeyGone),
        1 => (0..8_u8).prop_map(Step::Rules),
    ]
}

fn put_in_force(desired: &mut Desired, rules: Arc<AccessRules>) -> Vec<SubscriptionId> {
    let ids = desired.set_access(rules);
    for id in &ids {
        desired.look_again(id);
    }
    ids
}

proptest! {
    #[test]
    fn routes_need_an_existing_subscription_and_key_and_no_key_is_routed_twice(
        before in prop::collection::vec(step(), 0..20),
        steps in prop::collection::vec(step(), 0..60),
    ) {
        let mut desired = Desired::new(BUDGET, AccessMode::default());
        let mut rules = ending(0);
        let mut subscriptions = BTreeMap::new();
        let mut keys = BTreeMap::new();
        let settle_at = before.len();
        for (number, step) in before.into_iter().chain(steps).enumerate() {
            if number == settle_at {
                desired.settle(std::iter::empty());
            }
            match step {
                Step::Set(n, u, g, c) => {
                    let (name, uid) = (n.to_string(), u.to_string());
                    let valid = ValidSubscription { filters: costing(c), ..valid(&name, &uid, g) };
                    desired.set_subscription(&id(&name), (0, uid.as_str().into()), Some(valid.clone()));
                    subscriptions.insert(id(&name), (uid, Some(valid)));
                }
                Step::Invalid(n, u) => {
                    let (id, uid) = (id(&n.to_string()), u.to_string());
                    let before = desired.route(&id).cloned().filter(|r| r.uid == uid);
                    desired.set_subscription(&id, (0, uid.as_str().into()), None);
                    let number = |route: Option<&Arc<Route>>| route.map(|r| r.generation);
                    prop_assert_eq!(number(desired.route(&id)), number(before.as_ref()));
                    subscriptions.insert(id, (uid, None));
                }
                Step::Remove(n) => {
                    desired.remove_subscription(&id(&n.to_string()));
                    subscriptions.remove(&id(&n.to_string()));
                }
                Step::Key(n, owner, k) => {
                    let key = ObservedKey { owner_uid: owner.map(|u| u.to_string().as_str().into()), hash: KeyHash::of(&k.to_string()), previous: None };
                    desired.set_key(&id(&n.to_string()), Some(key.clone()));
                    keys.insert(id(&n.to_string()), key);
                }
                Step::KeyGone(n) => {
                    desired.set_key(&id(&n.to_string()), None);
                    keys.remove(&id(&n.to_string()));
                }
                Step::Rules(length) => {
                    rules = ending(length);
                    put_in_force(&mut desired, rules.clone());
                }
            }
            let policy = rules.policy("team");
            let is_refused = |route: &Route| {
                policy.as_ref().is_some_and(|p| p.check(route.event_types, &route.filters).is_err())
            };
            let routes: Vec<_> = desired.buckets().flat_map(|b| desired.bucket(b).into_values()).collect();
            prop_assert_eq!(desired.total(), routes.len());
            let mut routed_keys: Vec<_> = routes.iter().map(|r| r.key_sha256).collect();
            routed_keys.sort();
            routed_keys.dedup();
            prop_assert_eq!(routed_keys.len(), routes.len());
            prop_assert_eq!(desired.holders.len(), routes.len());
            let spent: u64 = routes.iter().map(|r| cost(&r.filters)).sum();
            prop_assert_eq!(desired.costs.values().sum::<u64>(), spent);
            prop_assert!(spent <= BUDGET.namespace);
            prop_assert!(routes.len() <= 4);
            prop_assert_eq!(desired.counts.values().sum::<u32>() as usize, routes.len());
            prop_assert!(routes.iter().all(|r| cost(&r.filters) <= BUDGET.subscription));
            for route in &routes {
                prop_assert_eq!(Some(&route.uid), subscriptions.get(&route.id).map(|s| &s.0));
                prop_assert_eq!(Some(route.key_sha256), keys.get(&route.id).map(|k| k.hash));
                prop_assert_eq!(route.denied.is_some(), is_refused(route));
            }
            for (id, (uid, valid)) in &subscriptions {
                let owned = keys.get(id).filter(|k| k.owner_uid.as_ref().is_some_and(|owner| owner.is(uid)));
                let (Some(valid), Some(key)) = (valid, owned) else { continue };
                match desired.denied(id) {
                    None if number < settle_at => prop_assert_eq!(desired.route(id), None),
                    None => prop_assert_eq!(desired.route(id).map(Arc::as_ref), Some(&valid.route(key.hash))),
                    Some(Denied::KeyInUse { by }) => {
                        prop_assert_eq!(desired.route(by).map(|r| r.key_sha256), Some(key.hash));
                        prop_assert_eq!(desired.route(id), None);
                    }
                    Some(Denied::Access(_)) => {
                        prop_assert!(is_refused(&valid.route(key.hash)));
                        prop_assert!(desired.route(id).is_some());
                    }
                    Some(Denied::TooMany { .. }) => {
                        prop_assert_eq!((routes.len(), desired.route(id)), (4, None));
                    }
                    Some(Denied::TooCostly { cost, .. }) => prop_assert!(*cost > BUDGET.subscription),
                    Some(Denied::NamespaceTooCostly { cost, .. }) => {
                        let before = desired.route(id).map_or(0, |r| datastream_routing::cost(&r.filters));
                        prop_assert!(spent - before + cost > BUDGET.namespace);
                    }
                }
            }
        }
    }
}

#[test]
fn an_invalid_edit_keeps_the_last_route_and_follows_the_key() {
    let mut desired = settled();
    set(&mut desired, "a", 0, vec![]);
    desired.set_key(&id("a"), key("a", "k"));
    let route = desired.route(&id("a")).cloned();
    assert!(route.is_some());
    desired.set_subscription(&id("a"), (0, "a".into()), None);
    assert_eq!(desired.route(&id("a")), route.as_ref());
    desired.set_key(&id("a"), key("a", "k2"));
    let key_of = |desired: &Desired| desired.route(&id("a")).map(|r| r.key_sha256);
    assert_eq!(key_of(&desired), Some(KeyHash::of("k2")));
    // Another subscription of the same name does not inherit it.
    desired.set_subscription(&id("a"), (0, "v".into()), None);
    assert_eq!((key_of(&desired), desired.total()), (None, 0));
}

#[test]
fn a_key_without_its_secret_is_revoked_and_a_new_key_restores_the_route() {
    let mut desired = settled();
    set(&mut desired, "valid", 0, costing(3));
    set(&mut desired, "invalid", 0, vec![]);
    for name in ["valid", "invalid"] {
        desired.set_key(&id(name), key(name, name));
    }
    let route = desired.route(&id("valid")).cloned().unwrap();
    desired.set_subscription(&id("invalid"), (0, "invalid".into()), None);
    for name in ["valid", "invalid"] {
        desired.set_key(&id(name), None);
    }
    assert_eq!(routed(&desired), [""; 0]);
    for name in ["valid", "invalid"] {
        desired.set_key(&id(name), key(name, "new"));
    }
    let expected = Route {
        key_sha256: KeyHash::of("new"),
        ..Route::clone(&route)
    };
    assert_eq!(
        desired.route(&id("valid")).map(Arc::as_ref),
        Some(&expected)
    );
    assert_eq!(routed(&desired), ["valid"]);
}

#[test]
fn a_secret_that_loses_its_owner_keeps_the_route_while_it_has_the_same_key() {
    let mut desired = settled();
    set(&mut desired, "a", 0, vec![]);
    desired.set_key(&id("a"), key("a", "k"));
    let orphan = |key| {
        Some(ObservedKey {
            owner_uid: None,
            hash: KeyHash::of(key),
            previous: None,
        })
    };
    desired.set_key(&id("a"), orphan("k"));
    assert_eq!(routed(&desired), ["a"]);
    desired.set_key(&id("a"), orphan("other"));
    assert_eq!(routed(&desired), [""; 0]);
}

#[test]
fn a_key_copied_into_an_older_subscription_stays_with_the_routed_one() {
    let mut desired = settled();
    set(&mut desired, "victim", 5, vec![]);
    desired.set_key(&id("victim"), key("victim", "k"));
    set(&mut desired, "older", 0, vec![]);
    desired.set_key(&id("older"), key("older", "own"));
    desired.set_key(&id("older"), key("older", "k"));
    assert_eq!(routed(&desired), ["victim"]);
    let by = id("victim");
    assert_eq!(desired.denied(&id("older")), Some(&Denied::KeyInUse { by }));
    // It is free when its holder gets another one.
    desired.set_key(&id("victim"), key("victim", "k2"));
    assert_eq!(routed(&desired), ["older", "victim"]);
    assert_eq!(desired.denied(&id("older")), None);
}

#[test]
fn a_key_shared_at_the_start_belongs_to_the_published_or_else_the_older_subscription() {
    for (published, expected) in [(None, "older"), (Some("newer"), "newer")] {
        let mut desired = Desired::new(BUDGET, AccessMode::default());
        for (name, created) in [("newer", 5), ("older", 0)] {
            set(&mut desired, name, created, vec![]);
            desired.set_key(&id(name), key(name, "k"));
        }
        let route = |name: &str| Arc::new(valid(name, name, 1).route(KeyHash::of("k")));
        let published: Vec<_> = published.map(route).into_iter().collect();
        desired.settle(published.iter());
        assert_eq!(routed(&desired), [expected]);
    }
}

#[test]
fn published_routes_stay_unless_their_subscription_or_key_was_replaced() {
    let mut desired = Desired::new(BUDGET, AccessMode::default());
    for name in ["invalid", "keyless", "recreated", "rekeyed"] {
        let uid = if name == "recreated" { "other" } else { name };
        desired.set_subscription(&id(name), (0, uid.into()), None);
    }
    desired.set_key(&id("invalid"), key("invalid", "invalid"));
    desired.set_key(&id("recreated"), key("other", "recreated"));
    desired.set_key(&id("rekeyed"), key("rekeyed", "new"));
    desired.set_key(&id("deleted"), key("deleted", "deleted"));
    let names = ["invalid", "keyless", "recreated", "rekeyed", "deleted"];
    let published = names.map(|n| Arc::new(valid(n, n, 1).route(KeyHash::of(n))));
    desired.settle(published.iter());
    assert_eq!(routed(&desired), ["invalid"]);
}

#[test]
fn a_namespace_that_is_not_listed_keeps_its_routes_until_it_is() {
    let mut desired = Desired::new(BUDGET, AccessMode::default());
    desired.set_unlisted("team".into());
    let published = ["a", "b", "c"].map(|n| Arc::new(valid(n, n, 1).route(KeyHash::of(n))));
    set(&mut desired, "a", 0, vec![]);
    set(&mut desired, "new", 0, vec![]);
    desired.set_key(&id("new"), key("new", "b"));
    desired.settle(published.iter());
    desired.remove_subscription(&id("b"));
    assert_eq!(routed(&desired), ["a", "b", "c"]);
    // Another one's key, and a key that has changed.
    desired.set_key(&id("a"), key("a", "a"));
    set(&mut desired, "c", 1, vec![]);
    desired.set_key(&id("c"), key("c", "changed"));
    desired.listed("team");
    assert_eq!(routed(&desired), ["a", "c", "new"]);
    let hash = desired.route(&id("c")).unwrap().key_sha256;
    assert_eq!(hash, KeyHash::of("changed"));
    desired.set_key(&id("a"), None);
    assert_eq!(routed(&desired), ["c", "new"]);
}

#[test]
fn filters_above_the_budget_are_denied_and_the_last_good_ones_stay() {
    let mut desired = settled();
    for name in ["a", "b", "c"] {
        desired.set_key(&id(name), key(name, name));
    }
    set(&mut desired, "a", 0, costing(8));
    set(&mut desired, "b", 1, costing(8));
    set(&mut desired, "a", 0, costing(11));
    let denied = Denied::TooCostly {
        cost: 11 * UNIT,
        limit: 10 * UNIT,
    };
    assert_eq!(desired.denied(&id("a")), Some(&denied));
    set(&mut desired, "c", 2, costing(5));
    let denied = Denied::NamespaceTooCostly {
        cost: 5 * UNIT,
        others: 16 * UNIT,
        limit: 20 * UNIT,
    };
    assert_eq!(desired.denied(&id("c")), Some(&denied));
    assert_eq!(routed(&desired), ["a", "b"]);
    // The one that waits is taken in when another one makes room.
    set(&mut desired, "b", 1, costing(7));
    assert_eq!(desired.denied(&id("c")), None);
    assert_eq!(routed(&desired), ["a", "b", "c"]);
}

#[test]
fn filters_in_force_are_kept_when_the_budget_shrinks() {
    let mut desired = Desired::new(BUDGET, AccessMode::default());
    let large = ValidSubscription {
        filters: costing(30),
        ..valid("a", "a", 1)
    };
    let published = Arc::new(large.route(KeyHash::of("a")));
    set(&mut desired, "a", 0, costing(30));
    desired.set_key(&id("a"), key("a", "a"));
    desired.settle([&published].into_iter());
    assert_eq!(desired.denied(&id("a")), None);
    set(&mut desired, "a", 0, costing(31));
    let denied = Denied::TooCostly {
        cost: 31 * UNIT,
        limit: 10 * UNIT,
    };
    assert_eq!(desired.denied(&id("a")), Some(&denied));
    assert_eq!(routed(&desired), ["a"]);
}

#[test]
fn a_key_before_stays_with_its_subscription_until_it_ends() {
    let mut desired = settled();
    set(&mut desired, "a", 0, vec![]);
    desired.set_key(&id("a"), rotated("a", "new", "old"));
    let keys = |desired: &Desired, name| {
        desired
            .route(&id(name))
            .map(|r| r.keys().collect::<Vec<_>>())
    };
    let both = vec![KeyHash::of("new"), KeyHash::of("old")];
    assert_eq!(keys(&desired, "a"), Some(both));
    // Nobody else gets it meanwhile, neither as a key nor as the one before.
    set(&mut desired, "b", 1, vec![]);
    desired.set_key(&id("b"), key("b", "old"));
    assert!(matches!(
        desired.denied(&id("b")),
        Some(Denied::KeyInUse { .. })
    ));
    set(&mut desired, "c", 2, vec![]);
    desired.set_key(&id("c"), rotated("c", "third", "old"));
    assert_eq!(keys(&desired, "c"), Some(vec![KeyHash::of("third")]));
    desired.set_key(&id("a"), key("a", "new"));
    assert_eq!(keys(&desired, "a"), Some(vec![KeyHash::of("new")]));
    assert_eq!(keys(&desired, "b"), Some(vec![KeyHash::of("old")]));
}

#[test]
fn a_secret_without_an_owner_may_end_a_key_before_and_nothing_else() {
    let mut desired = settled();
    set(&mut desired, "a", 0, vec![]);
    desired.set_key(&id("a"), rotated("a", "new", "old"));
    let orphan = |previous: Option<&str>| {
        Some(ObservedKey {
            owner_uid: None,
            hash: KeyHash::of("new"),
            previous: previous.map(|key| Box::new(KeyHash::of(key))),
        })
    };
    let keys = |desired: &Desired| desired.route(&id("a")).map(|r| r.keys().count());
    desired.set_key(&id("a"), orphan(Some("old")));
    assert_eq!(keys(&desired), Some(2));
    desired.set_key(&id("a"), orphan(None));
    assert_eq!(keys(&desired), Some(1));
    desired.set_key(&id("a"), orphan(Some("old")));
    assert_eq!(keys(&desired), Some(1));
}

#[test]
fn a_subscription_that_asks_for_more_keeps_what_it_may_have_or_is_denied() {
    let mut desired = settled();
    set(&mut desired, "a", 0, costing(5));
    desired.set_key(&id("a"), key("a", "a"));
    let cost_of = |desired: &Desired| desired.route(&id("a")).map(|r| cost(&r.filters));
    let is_denied = |desired: &Desired| desired.route(&id("a")).unwrap().denied.is_some();
    assert_eq!(put_in_force(&mut desired, ending(4)), [id("a")]);
    assert_eq!(put_in_force(&mut desired, ending(4)), []);
    assert!(desired.denied(&id("a")).is_none() && !is_denied(&desired));
    // It asks for more, and keeps what it had.
    set(&mut desired, "a", 0, costing(3));
    let text = "no access rule allows location events of dsns 0*xxx (spec.filters[0])";
    let denied = Denied::Access(text.into());
    assert_eq!(desired.denied(&id("a")), Some(&denied));
    assert!(cost_of(&desired) == Some(5 * UNIT) && !is_denied(&desired));
    // A rule that denies that, too: its stream is refused, and why.
    put_in_force(&mut desired, ending(6));
    assert_eq!(cost_of(&desired), Some(3 * UNIT));
    let route = desired.route(&id("a")).unwrap();
    assert_eq!(route.denied.as_deref(), Some(text));
    put_in_force(&mut desired, ending(0));
    assert!(desired.denied(&id("a")).is_none() && !is_denied(&desired));
}

#[test]
fn a_subscription_that_is_narrowed_is_routed_as_it_asks_and_says_what_is_denied() {
    let mut desired = Desired::new(BUDGET, AccessMode::Narrow);
    desired.settle(std::iter::empty());
    set(&mut desired, "a", 0, costing(3));
    desired.set_key(&id("a"), key("a", "a"));
    put_in_force(&mut desired, ending(4));
    assert_eq!(desired.denied(&id("a")), None);
    assert_eq!(desired.route(&id("a")).unwrap().denied, None);
    let narrowed = desired.narrowed(&id("a")).unwrap();
    assert!(narrowed.starts_with("no access rule allows"), "{narrowed}");
    put_in_force(&mut desired, ending(3));
    assert_eq!(desired.narrowed(&id("a")), None);
}

#[test]
fn a_subscription_that_asks_for_the_same_is_not_checked_again() {
    let mut desired = settled();
    put_in_force(&mut desired, ending(3));
    let asks = ValidSubscription {
        filters: costing(3),
        ..valid("a", "a", 1)
    };
    let check = desired.unchecked_form(&asks).unwrap();
    desired.remember(check.answered("as it was found"));
    let denied = Denied::Access("as it was found".into());
    set(&mut desired, "a", 0, costing(3));
    for now in ["a", "b"] {
        desired.set_key(&id("a"), key("a", now));
        assert_eq!(desired.denied(&id("a")), Some(&denied));
    }
    let suspended = ValidSubscription {
        suspended: true,
        generation: 2,
        ..asks.clone()
    };
    desired.set_subscription(&id("a"), (0, "a".into()), Some(suspended));
    desired.look_again(&id("a"));
    assert_eq!(desired.denied(&id("a")), Some(&denied));
    let routed = desired.route(&id("a")).cloned();
    assert!(desired.unchecked(&id("a"), routed.as_deref()).is_empty());
    // What it asks for, or what it may, is something else.
    set(&mut desired, "a", 0, costing(4));
    assert_eq!(desired.denied(&id("a")), None);
    put_in_force(&mut desired, ending(5));
    assert!(matches!(
        desired.denied(&id("a")),
        Some(Denied::Access(text)) if text.starts_with("no access rule")
    ));
    // It is gone, and so is what was found.
    set(&mut desired, "a", 0, costing(5));
    assert!(desired.unchecked_form(&asks).is_some());
    let last = ValidSubscription {
        filters: costing(5),
        ..asks
    };
    assert!(desired.unchecked_form(&last).is_none());
    desired.remove_subscription(&id("a"));
    assert!(desired.unchecked_form(&last).is_some());
}

#[test]
fn a_subscription_too_many_waits_for_one_to_go_and_a_lower_limit_takes_none_back() {
    let mut desired = settled();
    for (created, name) in (0..).zip(["a", "b", "c", "d", "e", "f"]) {
        desired.set_key(&id(name), key(name, name));
        set(&mut desired, name, created, vec![]);
    }
    assert_eq!(routed(&desired), ["a", "b", "c", "d"]);
    let limit = NonZeroU32::new(4).unwrap();
    let denied = Some(&Denied::TooMany { limit });
    assert_eq!(
        (desired.denied(&id("e")), desired.denied(&id("f"))),
        (denied, denied)
    );
    // The oldest of those that wait.
    desired.remove_subscription(&id("b"));
    assert_eq!(routed(&desired), ["a", "c", "d", "e"]);
    // An edit of one that is in is none too many.
    set(&mut desired, "a", 0, costing(3));
    assert_eq!(desired.denied(&id("a")), None);
    let published =
        ["a", "b", "c", "d", "e"].map(|n| Arc::new(valid(n, n, 1).route(KeyHash::of(n))));
    let mut desired = Desired::new(BUDGET, AccessMode::default());
    for name in ["a", "b", "c", "d", "e"] {
        desired.set_key(&id(name), key(name, name));
        set(&mut desired, name, 0, vec![]);
    }
    desired.settle(published.iter());
    assert_eq!(routed(&desired).len(), 5);
}

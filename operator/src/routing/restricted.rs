//! A route that is published, restricted by the one that is wanted in its place and does not fit.

use std::sync::Arc;

use datastream_routing::{ClientCertificate, Route};

/// The published route with what the wanted one says of who may have the stream. Nobody opens it who may not open the wanted one, and what
/// closes it is not taken off before the wanted one is there as a whole: an edit that takes effect by half must not open anything.
///
/// Absent if they have different uids: what a subscription of the past asked for is not its successor's.
pub(super) fn restricted(published: &Arc<Route>, wanted: &Arc<Route>) -> Option<Arc<Route>> {
    if published.uid != wanted.uid {
        return None;
    }
    if published == wanted {
        return Some(wanted.clone());
    }
    let (old, new) = (&**published, &**wanted);
    // Every field is named, so that the compiler asks for a decision on one that is new.
    Some(Arc::new(Route {
        id: new.id.clone(),
        uid: new.uid.clone(),
        // Of what they open nothing: keys that were revoked, tokens whose labels are gone, certificates that are named no more.
        key_sha256: new.key_sha256,
        previous_key_sha256: new.previous_key_sha256,
        labels: new.labels.clone(),
        client_certificate: certificate(old, new),
        suspended: old.suspended || new.suspended,
        denied: new.denied.clone().or_else(|| old.denied.clone()),
        // What the stream is: that of the generation that fits.
        generation: old.generation,
        event_types: old.event_types,
        filters: old.filters.clone(),
        heartbeat: old.heartbeat,
        resume: old.resume,
        policy: old.policy.clone(),
    }))
}

/// The condition of the wanted route; if it has none, that of the published one, whose certificates open nothing by themselves any more.
fn certificate(published: &Route, wanted: &Route) -> Option<Box<ClientCertificate>> {
    wanted.client_certificate.clone().or_else(|| {
        let before = published.client_certificate.as_ref()?;
        Some(Box::new(ClientCertificate {
            names: before.names.clone(),
            without_key: false,
        }))
    })
}

#[cfg(test)]
mod tests {
    use datastream_routing::{KeyHash, Labels, SubscriptionId};

    use super::*;

    fn route(change: impl FnOnce(&mut Route)) -> Arc<Route> {
        let id = SubscriptionId::new("team", "leds");
        let mut route = Route::new(id, KeyHash::of("k"));
        change(&mut route);
        Arc::new(route)
    }

    type Condition = Option<Box<ClientCertificate>>;

    fn bound(names: &[&str], without_key: bool) -> ClientCertificate {
        ClientCertificate {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            without_key,
        }
    }

    fn condition(published: Condition, wanted: Condition) -> Condition {
        let published = route(|r| r.client_certificate = published);
        let wanted = route(|r| {
            r.client_certificate = wanted;
            r.generation = 2;
        });
        let restricted = restricted(&published, &wanted).unwrap();
        restricted.client_certificate.clone()
    }

    #[test]
    fn a_certificate_is_asked_for_as_soon_as_one_is_wanted_and_until_all_else_is_there() {
        let some = |names: &[&str], without_key| Some(Box::new(bound(names, without_key)));
        let (a, b) = (some(&["a"], true), some(&["b"], false));
        assert_eq!(condition(None, a.clone()), a);
        assert_eq!(condition(a.clone(), b.clone()), b);
        assert_eq!(condition(b.clone(), a.clone()), a);
        assert_eq!(condition(b.clone(), None), b);
        // Alone it would open what it does not open in the wanted form.
        assert_eq!(condition(a, None), some(&["a"], false));
        assert_eq!(condition(None, None), None);
    }

    #[test]
    fn labels_are_those_that_are_wanted_and_suspension_and_denial_those_of_both() {
        let labels = |value: &str| {
            let labels = Labels::from([("app".to_owned(), value.to_owned())]);
            Some(Box::new(labels))
        };
        let one = route(|r| {
            r.labels = labels("one");
            r.suspended = true;
            r.denied = Some("a rule".into());
        });
        let two = route(|r| {
            r.labels = labels("two");
            r.generation = 2;
        });
        for (published, wanted) in [(&one, &two), (&two, &one)] {
            let route = restricted(published, wanted).unwrap();
            assert_eq!(route.labels, wanted.labels);
            assert!(route.suspended && route.denied.is_some());
            assert_eq!(route.generation, published.generation);
            assert_eq!(restricted(&route, wanted), Some(route), "no more than once");
        }
    }

    #[test]
    fn nothing_is_left_of_a_subscription_of_the_same_name() {
        let (before, now) = (route(|_| ()), route(|r| r.uid = "other".to_owned()));
        assert_eq!(restricted(&before, &now), None);
    }
}

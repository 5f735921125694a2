//! Changes of a route that keep somebody out, and do not wait for other changes.

use datastream_routing::{KeyHash, Route};

/// Returns whether somebody who may open the stream of a route may not open that of the one in its place.
///
/// In doubt it does: a condition that is another one may let in less than the one before.
pub(super) fn revokes(before: &Route, now: Option<&Route>) -> bool {
    let Some(now) = now else {
        return true;
    };
    let is_good = |key: KeyHash| now.keys().any(|other| other == key);
    before.uid != now.uid
        || !before.keys().all(is_good)
        || (now.suspended && !before.suspended)
        || (now.denied.is_some() && before.denied.is_none())
        || now.client_certificate != before.client_certificate
        || now.labels != before.labels
}

#[cfg(test)]
mod tests {
    use datastream_routing::{ClientCertificate, Labels, SubscriptionId};

    use super::*;

    #[test]
    fn what_keeps_somebody_out_is_a_revocation_and_nothing_else() {
        let id = SubscriptionId::new("team", "leds");
        let route = Route {
            previous_key_sha256: Some(KeyHash::of("before")),
            ..Route::new(id, KeyHash::of("now"))
        };
        let is_revocation = |change: fn(&mut Route)| {
            let mut now = route.clone();
            change(&mut now);
            revokes(&route, Some(&now))
        };
        assert!(revokes(&route, None));
        let revocations: [fn(&mut Route); 7] = [
            |r| r.uid = "another".to_owned(),
            |r| r.key_sha256 = KeyHash::of("new"),
            |r| r.previous_key_sha256 = None,
            |r| r.suspended = true,
            |r| r.denied = Some("a rule".into()),
            |r| {
                r.client_certificate = Some(Box::new(ClientCertificate {
                    names: vec!["leds".to_owned()],
                    without_key: false,
                }));
            },
            |r| r.labels = Some(Box::new(Labels::new())),
        ];
        for revocation in revocations {
            assert!(is_revocation(revocation));
        }
        let others: [fn(&mut Route); 3] = [
            |_| (),
            |r| {
                r.generation += 1;
                r.heartbeat.interval_seconds += 1;
            },
            |r| std::mem::swap(&mut r.key_sha256, r.previous_key_sha256.as_mut().unwrap()),
        ];
        for other in others {
            assert!(!is_revocation(other));
        }
    }
}

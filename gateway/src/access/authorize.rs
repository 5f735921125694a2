//! The decision on who may have a stream, when one is opened and whenever routes change.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use datastream_protocol::close::CloseCause;
use datastream_routing::{KeyHash, Route, RouteTable};

use super::{Credential, Refusal};
use crate::config::ConfigStore;

/// A stream that may be opened.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    /// The route of the stream.
    pub route: Arc<Route>,
    /// The key that opens it, and without which it is closed.
    pub key: KeyHash,
}

/// Decides by the routes in force who may open which stream.
#[derive(Debug)]
pub(crate) struct Access {
    config: Arc<ConfigStore>,
    draining: Arc<AtomicBool>,
}

impl Access {
    /// By the routes of this store, until the gateway drains.
    pub(crate) const fn new(config: Arc<ConfigStore>, draining: Arc<AtomicBool>) -> Self {
        Self { config, draining }
    }

    /// The stream that this credential opens, if its subscription may have one at all.
    ///
    /// # Errors
    /// The reason why it may not, or why this gateway cannot know.
    pub(crate) fn authorize(&self, credential: Option<Credential>) -> Result<Admission, Refusal> {
        if self.draining.load(Ordering::Relaxed) {
            return Err(Refusal::Unavailable(
                "this gateway is shutting down: connect again",
            ));
        }
        let state = self.config.state();
        if !state.synced {
            return Err(Refusal::Unavailable(
                "this gateway does not know its routes yet: try again shortly",
            ));
        }
        if self.config.is_stale() {
            return Err(Refusal::Unavailable(
                "this gateway cannot follow its routes, and does not open streams by old ones: try again shortly",
            ));
        }
        if !state.published {
            return Err(Refusal::Unavailable(
                "nothing is published to this group of gateways yet: try again shortly, and see that an operator serves it",
            ));
        }
        let table = self.config.table();
        let Some(Credential::Key(key)) = credential else {
            return Err(Refusal::Unauthorized);
        };
        let route = table.by_key(&key).ok_or(if state.incomplete {
            // It may be a good one, and clients give up after a 401.
            Refusal::Unavailable("this gateway cannot read some of its routes: try again shortly")
        } else {
            Refusal::Unauthorized
        })?;
        if route.suspended {
            Err(Refusal::Suspended)
        } else {
            let route = route.clone();
            Ok(Admission { route, key })
        }
    }
}

/// Decides again on a stream that was opened with this key, once routes have changed. Returns its new route, if that is another one.
///
/// # Errors
/// The cause to close the stream with.
pub(crate) fn reauthorize(
    current: &Arc<Route>,
    key: KeyHash,
    table: &RouteTable,
) -> Result<Option<Arc<Route>>, CloseCause> {
    match table.by_id(&current.id) {
        Some(route) if route.uid != current.uid || !route.keys().any(|good| good == key) => {
            Err(CloseCause::Revoked)
        }
        Some(route) if route.suspended => Err(CloseCause::Suspended),
        Some(route) if route != current => Ok(Some(route.clone())),
        Some(_) => Ok(None),
        None => Err(CloseCause::Revoked),
    }
}

#[cfg(test)]
mod tests {
    use datastream_protocol::event::EventType;
    use datastream_routing::SubscriptionId;

    use super::*;

    fn route() -> Route {
        Route {
            uid: "1".to_owned(),
            event_types: [EventType::Location].into_iter().collect(),
            ..Route::new(SubscriptionId::new("team", "leds"), KeyHash::of("key"))
        }
    }

    fn decide(change: impl FnOnce(&mut Route)) -> Result<Option<Arc<Route>>, CloseCause> {
        let mut changed = route();
        change(&mut changed);
        let table = RouteTable::from_routes([changed]);
        reauthorize(&Arc::new(route()), KeyHash::of("key"), &table)
    }

    #[test]
    fn a_stream_stays_open_as_long_as_its_subscription_and_key_are_the_same() {
        assert_eq!(decide(|_| ()), Ok(None));
        let narrowed = decide(|route| route.generation = 2).unwrap();
        assert_eq!(narrowed.unwrap().generation, 2);
    }

    #[test]
    fn a_stream_of_the_key_before_stays_open_until_that_key_ends() {
        let rotated = |route: &mut Route| {
            route.previous_key_sha256 =
                Some(std::mem::replace(&mut route.key_sha256, KeyHash::of("new")));
        };
        let kept = decide(rotated).unwrap().unwrap();
        let table = |route: &Route| RouteTable::from_routes([route.clone()]);
        for key in ["key", "new"] {
            let key = KeyHash::of(key);
            assert_eq!(table(&kept).by_key(&key), Some(&kept));
            assert_eq!(reauthorize(&kept, key, &table(&kept)), Ok(None));
        }
        let ended = Route {
            previous_key_sha256: None,
            ..Route::clone(&kept)
        };
        let old = reauthorize(&kept, KeyHash::of("key"), &table(&ended));
        assert_eq!(old, Err(CloseCause::Revoked));
        let new = reauthorize(&kept, KeyHash::of("new"), &table(&ended));
        assert_eq!(new.unwrap().as_deref(), Some(&ended));
    }

    #[test]
    fn a_stream_of_a_rotated_key_or_a_deleted_or_suspended_subscription_is_closed() {
        let revoked = Err(CloseCause::Revoked);
        assert_eq!(decide(|r| r.key_sha256 = KeyHash::of("new")), revoked);
        assert_eq!(decide(|r| r.uid = "2".to_owned()), revoked);
        assert_eq!(
            decide(|r| r.id = SubscriptionId::new("team", "other")),
            revoked
        );
        assert_eq!(decide(|r| r.suspended = true), Err(CloseCause::Suspended));
    }
}

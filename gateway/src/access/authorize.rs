//! The decision on who may have a stream, when one is opened and whenever routes change.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use datastream_protocol::close::CloseCause;
use datastream_routing::{KeyHash, Route, RouteTable, SubscriptionId};
use datastream_service::tls::PeerCertificate;
use jiff::Timestamp;

use super::principal::{Principal, Proof};
use super::token::{Token, TokenError, Tokens};
use super::{Credential, Jwt, Refusal};
use crate::config::ConfigStore;

/// A stream that may be opened.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    /// The route of the stream.
    pub route: Arc<Route>,
    /// The one who opens it.
    pub principal: Arc<Principal>,
}

/// Credentials that a client shows, and the stream that it wants.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shown {
    /// Its key or token.
    pub credential: Option<Credential>,
    /// Its certificate, verified.
    pub certificate: Option<Arc<PeerCertificate>>,
    /// The subscription, for those who could open more than one.
    pub subscription: Option<SubscriptionId>,
}

/// Decides by the routes in force who may open which stream.
#[derive(Debug)]
pub(crate) struct Access {
    config: Arc<ConfigStore>,
    /// The tokens that are taken, if any are.
    tokens: Option<Tokens>,
    draining: Arc<AtomicBool>,
}

/// Refusal of a client that shows no certificate, or another one, where one is asked for.
const OTHER_CERTIFICATE: Refusal = Refusal::Forbidden(
    "the subscription takes only clients with a certificate that it names (spec.clientCertificate), signed by an authority of this gateway",
);

/// Refusal of a token that opens other streams.
const OTHER_SUBSCRIPTION: Refusal =
    Refusal::Forbidden("the token does not open the stream of this subscription");

/// Refusal while some routes are not known.
const INCOMPLETE: Refusal =
    Refusal::Unavailable("this gateway cannot read some of its routes: try again shortly");

impl Admission {
    /// Checks that the subscription may have a stream now.
    ///
    /// # Errors
    /// It is suspended, or access rules deny what it asks for.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        if let Some(reason) = &self.route.denied {
            return Err(Refusal::Denied(reason.clone()));
        }
        if self.route.suspended {
            return Err(Refusal::Suspended);
        }
        Ok(())
    }
}

impl Access {
    /// By the routes of this store, until the gateway drains.
    pub(crate) const fn new(
        config: Arc<ConfigStore>,
        tokens: Option<Tokens>,
        draining: Arc<AtomicBool>,
    ) -> Self {
        Self {
            config,
            tokens,
            draining,
        }
    }

    /// The stream that this opens, once its subscription [may have one](Admission::check).
    ///
    /// # Errors
    /// The reason why it may not, or why this gateway cannot know.
    pub(crate) async fn authorize(&self, shown: Shown) -> Result<Admission, Refusal> {
        self.check_state()?;
        let Shown {
            credential,
            certificate,
            subscription,
        } = shown;
        let (route, proof) = match credential {
            Some(Credential::Key(key)) => {
                let route = self.by_key(&key)?;
                if subscription.is_some_and(|named| named != route.id) {
                    return Err(Refusal::Forbidden(
                        "the stream key is that of another subscription",
                    ));
                }
                (route, Proof::Key(key))
            }
            Some(Credential::Token(jwt)) => {
                let token = self.verify(&jwt).await?;
                let route = self.by_token(&token, subscription)?;
                (route, Proof::Token(Arc::new(token)))
            }
            Some(Credential::Malformed) => return Err(Refusal::Unauthorized),
            None => {
                if certificate.is_none() {
                    return Err(Refusal::NoCredential);
                }
                let route = subscription.map(|named| self.by_id(&named)).transpose()?;
                let route = route.flatten();
                (route.ok_or(Refusal::Unauthorized)?, Proof::Certificate)
            }
        };
        let principal = Principal { proof, certificate };
        if !principal.opens(&route) {
            return Err(match principal.proof {
                // Whether there is such a subscription is nobody's business who may not have it.
                Proof::Certificate => Refusal::Unauthorized,
                Proof::Key(_) | Proof::Token(_) => OTHER_CERTIFICATE,
            });
        }
        // A connection may be older than the certificate that it began with is good, or resumed after that.
        let now = Timestamp::now().as_second();
        if principal.end(&route).is_some_and(|end| end <= now) {
            return Err(Refusal::Forbidden(
                "the certificate of the client has expired",
            ));
        }
        let principal = Arc::new(principal);
        Ok(Admission { route, principal })
    }

    /// Decides on a stream by the routes in force, as [`reauthorize`] does.
    ///
    /// # Errors
    /// The cause to close the stream with.
    pub(crate) fn reauthorize(
        &self,
        current: &Arc<Route>,
        principal: &Principal,
    ) -> Result<Option<Arc<Route>>, CloseCause> {
        reauthorize(current, principal, &self.config.table())
    }

    /// The principal of an open stream, with another token.
    ///
    /// # Errors
    /// The token does not open the stream, or cannot be checked now.
    pub(crate) async fn renew(
        &self,
        principal: &Principal,
        route: &Route,
        jwt: &Jwt,
    ) -> Result<Principal, Refusal> {
        if !matches!(principal.proof, Proof::Token(_)) {
            let reason = "the stream was opened without one";
            return Err(Refusal::TokenRefused(reason.to_owned()));
        }
        let token = self.verify(jwt).await?;
        let renewed = Principal {
            proof: Proof::Token(Arc::new(token)),
            certificate: principal.certificate.clone(),
        };
        if renewed.opens(route) {
            Ok(renewed)
        } else {
            Err(OTHER_SUBSCRIPTION)
        }
    }

    fn check_state(&self) -> Result<(), Refusal> {
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
        if state.access.is_unknown() {
            return Err(Refusal::Unavailable(
                "this gateway cannot read the access rules: try again shortly, and see its log",
            ));
        }
        if !state.published {
            return Err(Refusal::Unavailable(
                "nothing is published to this group of gateways yet: try again shortly, and see that an operator serves it",
            ));
        }
        Ok(())
    }

    fn by_key(&self, key: &KeyHash) -> Result<Arc<Route>, Refusal> {
        let route = self.look_up(|table| table.by_key(key).cloned());
        route?.ok_or(Refusal::Unauthorized)
    }

    /// The route of a subscription, if there is one.
    fn by_id(&self, id: &SubscriptionId) -> Result<Option<Arc<Route>>, Refusal> {
        self.look_up(|table| table.by_id(id).cloned())
    }

    fn by_token(
        &self,
        token: &Token,
        named: Option<SubscriptionId>,
    ) -> Result<Arc<Route>, Refusal> {
        if token.opens_nothing() {
            return Err(OTHER_SUBSCRIPTION);
        }
        let id = named.or_else(|| token.only()).ok_or(Refusal::wrong(
            "a token may open several streams: say which one with subscription=NAMESPACE/NAME",
        ))?;
        let route = self.by_id(&id)?;
        route
            .filter(|route| token.opens(route))
            .ok_or(OTHER_SUBSCRIPTION)
    }

    /// Looks for a route. Where some cannot be read, it may be one of those, and clients give up after a 401.
    fn look_up(
        &self,
        find: impl FnOnce(&RouteTable) -> Option<Arc<Route>>,
    ) -> Result<Option<Arc<Route>>, Refusal> {
        let incomplete = self.config.state().incomplete;
        let route = find(&self.config.table());
        if route.is_none() && incomplete {
            return Err(INCOMPLETE);
        }
        Ok(route)
    }

    async fn verify(&self, jwt: &Jwt) -> Result<Token, Refusal> {
        let Some(tokens) = &self.tokens else {
            let reason = "this gateway takes no tokens, only stream keys";
            return Err(Refusal::TokenRefused(reason.to_owned()));
        };
        tokens.verify(jwt).await.map_err(|error| match error {
            TokenError::Invalid(reason) => Refusal::TokenRefused(reason),
            TokenError::Unknown => Refusal::Unavailable(
                "this gateway does not know the key that the token is signed with, and cannot ask its issuer just now: try again shortly",
            ),
        })
    }
}

/// Decides again on a stream that this principal opened, once routes have changed. Returns its new route, if that is another one.
///
/// # Errors
/// The cause to close the stream with.
pub(crate) fn reauthorize(
    current: &Arc<Route>,
    principal: &Principal,
    table: &RouteTable,
) -> Result<Option<Arc<Route>>, CloseCause> {
    match table.by_id(&current.id) {
        Some(route) if route.uid != current.uid || !principal.opens(route) => {
            Err(CloseCause::Revoked)
        }
        Some(route) if route.denied.is_some() => Err(CloseCause::Denied),
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

    fn of_key(key: &str) -> Principal {
        Principal::of_key(KeyHash::of(key))
    }

    fn decide(change: impl FnOnce(&mut Route)) -> Result<Option<Arc<Route>>, CloseCause> {
        let mut changed = route();
        change(&mut changed);
        let table = RouteTable::from_routes([changed]);
        reauthorize(&Arc::new(route()), &of_key("key"), &table)
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
            assert_eq!(table(&kept).by_key(&KeyHash::of(key)), Some(&kept));
            assert_eq!(reauthorize(&kept, &of_key(key), &table(&kept)), Ok(None));
        }
        let ended = Route {
            previous_key_sha256: None,
            ..Route::clone(&kept)
        };
        let old = reauthorize(&kept, &of_key("key"), &table(&ended));
        assert_eq!(old, Err(CloseCause::Revoked));
        let new = reauthorize(&kept, &of_key("new"), &table(&ended));
        assert_eq!(new.unwrap().as_deref(), Some(&ended));
    }

    #[test]
    fn a_stream_of_a_rotated_key_or_a_deleted_suspended_or_denied_subscription_is_closed() {
        let revoked = Err(CloseCause::Revoked);
        assert_eq!(decide(|r| r.key_sha256 = KeyHash::of("new")), revoked);
        assert_eq!(decide(|r| r.uid = "2".to_owned()), revoked);
        assert_eq!(
            decide(|r| r.id = SubscriptionId::new("team", "other")),
            revoked
        );
        assert_eq!(decide(|r| r.suspended = true), Err(CloseCause::Suspended));
        let denied = decide(|r| r.denied = Some("a rule".into()));
        assert_eq!(denied, Err(CloseCause::Denied));
    }
}

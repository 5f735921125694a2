//! Authorization to read what a process says of itself: bearer tokens, reviewed by the API server as kube-rbac-proxy does.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hyper::StatusCode;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use crate::api::{in_time, reason};

/// Time for which a verdict stands: scrapers come every few seconds.
const FRESH: Duration = Duration::from_mins(1);
/// Time for which whoever was let in is let in while the API server cannot be asked: metrics matter most then.
const STALE: Duration = Duration::from_mins(10);
/// Verdicts that are kept. Scrapers are few.
const MOST: usize = 256;

/// The API server's verdict on a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is allowed.
    Allowed,
    /// There is no token, or not a good one.
    Unauthenticated,
    /// The user may not.
    Forbidden {
        /// The user's name.
        user: String,
    },
    /// The API server cannot be asked, and why.
    Unknown(String),
}

impl Verdict {
    /// The refusal that it means: an HTTP status and a sentence; none if it is allowed.
    pub fn refusal(&self) -> Option<(StatusCode, String)> {
        match self {
            Self::Allowed => None,
            Self::Unauthenticated => {
                let text = "a bearer token is needed that the API server takes";
                Some((StatusCode::UNAUTHORIZED, text.to_owned()))
            }
            Self::Forbidden { user } => Some((
                StatusCode::FORBIDDEN,
                format!("{user} may not get this: give it a ClusterRole with nonResourceURLs"),
            )),
            Self::Unknown(error) => Some((
                StatusCode::SERVICE_UNAVAILABLE,
                format!("the API server cannot be asked about the token: {error}"),
            )),
        }
    }
}

/// Asks the API server about bearer tokens, by TokenReview and SubjectAccessReview.
#[derive(Debug)]
pub struct Reviewer {
    tokens: Api<TokenReview>,
    access: Api<SubjectAccessReview>,
    known: Mutex<HashMap<[u8; 32], (Verdict, Instant)>>,
    /// Time at which the API server last failed to answer.
    failed: Mutex<Option<Instant>>,
}

impl Reviewer {
    /// Asks this API server.
    pub fn new(client: Client) -> Self {
        Self {
            tokens: Api::all(client.clone()),
            access: Api::all(client),
            known: Mutex::default(),
            failed: Mutex::default(),
        }
    }

    /// Asks whether the bearer of this token may `get` this path, which is none of a resource.
    pub async fn may_get(&self, bearer: Option<&str>, path: &str) -> Verdict {
        let Some(bearer) = bearer else {
            return Verdict::Unauthenticated;
        };
        let question = Sha256::digest(format!("{path} {bearer}").as_bytes()).into();
        let known = self.known(&question);
        if let Some((verdict, age)) = &known
            && *age < FRESH
        {
            return verdict.clone();
        }
        let stale = match &known {
            Some((Verdict::Allowed, age)) if *age < STALE => Some(Verdict::Allowed),
            _ => None,
        };
        // Scrapers do not wait long, and each would wait for an API server that hangs.
        if let (Some(verdict), true) = (&stale, self.failed_just_now()) {
            return verdict.clone();
        }
        match self.review(bearer, path).await {
            Ok(verdict) => {
                self.remember(question, &verdict);
                verdict
            }
            Err(error) => {
                let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
                *failed = Some(Instant::now());
                stale.unwrap_or_else(|| Verdict::Unknown(reason(&error)))
            }
        }
    }

    async fn review(&self, bearer: &str, path: &str) -> kube::Result<Verdict> {
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: Some(bearer.to_owned()),
                ..TokenReviewSpec::default()
            },
            ..TokenReview::default()
        };
        let create = PostParams::default();
        let reviewed = in_time(self.tokens.create(&create, &review)).await?;
        let status = reviewed.status.unwrap_or_default();
        let Some(user) = status.user.filter(|_| status.authenticated == Some(true)) else {
            return Ok(Verdict::Unauthenticated);
        };
        let UserInfo {
            extra,
            groups,
            uid,
            username,
        } = user;
        let name = username.clone().unwrap_or_default();
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                extra,
                groups,
                uid,
                user: username,
                non_resource_attributes: Some(NonResourceAttributes {
                    path: Some(path.to_owned()),
                    verb: Some("get".to_owned()),
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let reviewed = in_time(self.access.create(&create, &review)).await?;
        Ok(if reviewed.status.is_some_and(|status| status.allowed) {
            Verdict::Allowed
        } else {
            Verdict::Forbidden { user: name }
        })
    }

    fn failed_just_now(&self) -> bool {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.is_some_and(|at| at.elapsed() < FRESH)
    }

    /// The last verdict, and its age.
    fn known(&self, question: &[u8; 32]) -> Option<(Verdict, Duration)> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (verdict, at) = known.get(question)?;
        Some((verdict.clone(), at.elapsed()))
    }

    fn remember(&self, question: [u8; 32], verdict: &Verdict) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.retain(|_, (verdict, at)| *verdict == Verdict::Allowed && at.elapsed() < STALE);
        }
        if known.len() < MOST {
            known.insert(question, (verdict.clone(), Instant::now()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::json;
    use tokio::time::advance;

    use super::*;
    use crate::api_server::answered_by;

    /// An API server that knows the token `good` of a user who may get `/metrics`, and counts what it is asked. It answers nothing once
    /// it was asked `limit` times.
    fn reviewer(limit: usize) -> (Reviewer, Arc<AtomicUsize>) {
        let asked = Arc::<AtomicUsize>::default();
        let count = asked.clone();
        let client = answered_by(move |request, body| {
            if count.fetch_add(1, Ordering::Relaxed) >= limit {
                let failure = json!({"kind": "Status", "status": "Failure", "code": 500, "reason": "x", "message": "away"});
                return Some((StatusCode::INTERNAL_SERVER_ERROR, failure));
            }
            let spec = &body["spec"];
            let status = if request.uri.path().ends_with("/tokenreviews") {
                json!({"authenticated": spec["token"] == "good", "user": {"username": "prometheus", "groups": ["g"]}})
            } else {
                let attributes = &spec["nonResourceAttributes"];
                assert_eq!(
                    (&spec["user"], &spec["groups"]),
                    (&json!("prometheus"), &json!(["g"]))
                );
                json!({"allowed": attributes["path"] == "/metrics" && attributes["verb"] == "get"})
            };
            let mut answer = body.clone();
            answer["status"] = status;
            Some((StatusCode::CREATED, answer))
        });
        (Reviewer::new(client), asked)
    }

    #[tokio::test(start_paused = true)]
    async fn the_api_server_decides_on_token_and_path_and_is_asked_once_a_minute() {
        let (reviewer, asked) = reviewer(usize::MAX);
        for _ in 0..5 {
            assert_eq!(
                reviewer.may_get(Some("good"), "/metrics").await,
                Verdict::Allowed
            );
        }
        assert_eq!(asked.load(Ordering::Relaxed), 2);
        let user = "prometheus".to_owned();
        let routing = reviewer.may_get(Some("good"), "/routing").await;
        assert_eq!(routing, Verdict::Forbidden { user });
        for token in [None, Some("bad")] {
            let verdict = reviewer.may_get(token, "/metrics").await;
            assert_eq!(verdict, Verdict::Unauthenticated);
        }
        let before = asked.load(Ordering::Relaxed);
        advance(FRESH).await;
        assert_eq!(
            reviewer.may_get(Some("good"), "/metrics").await,
            Verdict::Allowed
        );
        assert_eq!(asked.load(Ordering::Relaxed), before + 2);
    }

    #[tokio::test(start_paused = true)]
    async fn during_an_outage_those_are_let_in_who_were_before_and_nobody_else() {
        let (reviewer, _) = reviewer(2);
        assert_eq!(
            reviewer.may_get(Some("good"), "/metrics").await,
            Verdict::Allowed
        );
        advance(FRESH).await;
        assert_eq!(
            reviewer.may_get(Some("good"), "/metrics").await,
            Verdict::Allowed
        );
        let unknown = Verdict::Unknown("away".to_owned());
        assert_eq!(reviewer.may_get(Some("other"), "/metrics").await, unknown);
        advance(STALE).await;
        assert_eq!(reviewer.may_get(Some("good"), "/metrics").await, unknown);
    }
}

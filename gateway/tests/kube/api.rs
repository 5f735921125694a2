//! An API server that gives the answers of a script, one per request, and then stays silent.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use http_body_util::BodyExt as _;
use hyper::{Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::time::Instant;

/// A request as it was asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) body: Value,
    /// Time since the server was started, in virtual time.
    pub(crate) after: std::time::Duration,
}

/// One answer of the script.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// A body of JSON.
    Json(Value),
    /// The events of a watch, which ends after them.
    Watch(Vec<Value>),
    /// An error with this code.
    Error(u16),
}

/// The server, and what it was asked.
#[derive(Clone, Default)]
pub(crate) struct Api {
    script: Arc<Mutex<VecDeque<Answer>>>,
    /// Answer to requests after the end of the script; `None` for no answer at all.
    then: Option<Answer>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Api {
    pub(crate) fn new(script: impl IntoIterator<Item = Answer>, then: Option<Answer>) -> Self {
        let script = Arc::new(Mutex::new(script.into_iter().collect()));
        Self {
            script,
            then,
            ..Self::default()
        }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn client(&self) -> Client {
        let (service, mut handle) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
        let this = self.clone();
        let started = Instant::now();
        tokio::spawn(async move {
            // Held, so that those that get no answer wait for one.
            let mut silent = vec![];
            while let Some((request, respond)) = handle.next_request().await {
                let (parts, body) = request.into_parts();
                let bytes = body.collect().await.unwrap().to_bytes();
                this.asked.lock().unwrap().push(Asked {
                    method: parts.method.to_string(),
                    path: parts.uri.path().to_owned(),
                    query: parts.uri.query().unwrap_or_default().to_owned(),
                    body: serde_json::from_slice(&bytes).unwrap_or_default(),
                    after: started.elapsed(),
                });
                let next = this.script.lock().unwrap().pop_front();
                match next.or_else(|| this.then.clone()) {
                    Some(answer) => respond.send_response(answer.into_response()),
                    None => silent.push(respond),
                }
            }
        });
        Client::new(service, "default")
    }
}

impl Answer {
    fn into_response(self) -> Response<Body> {
        let (code, text) = match self {
            Self::Json(body) => (200, body.to_string()),
            Self::Watch(events) => {
                let lines = events.iter().map(|event| format!("{event}\n"));
                (200, lines.collect())
            }
            Self::Error(code) => (code, status(code).to_string()),
        };
        let mut response = Response::new(Body::from(text.into_bytes()));
        *response.status_mut() = StatusCode::from_u16(code).unwrap();
        response
    }
}

/// The `Status` object of an error.
pub(crate) fn status(code: u16) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": format!("scripted {code}"), "reason": "Scripted", "code": code,
    })
}

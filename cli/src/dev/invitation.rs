//! The link to the console. It brings a code, for which the page is told the stream keys of this process: keys in a link would stay
//! in the history of the browser, and some outlive the process.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use bytes::Bytes;
use datastream_protocol::StreamKey;
use http_body_util::Full;
use hyper::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::json;

use super::ingest::{problem, respond};

/// Path on the admin listener at which the console asks.
pub(super) const PATH: &str = "/console/keys";

/// The code of this process, and the keys of its streams.
pub(super) struct Invitation {
    code: String,
    keys: Mutex<Vec<StreamKey>>,
}

impl Invitation {
    /// One with a code that nobody can guess.
    ///
    /// # Errors
    /// The system has no random bytes.
    pub(super) fn new() -> anyhow::Result<Arc<Self>> {
        let mut bytes = [0; StreamKey::DIGITS / 2];
        getrandom::fill(&mut bytes).context("the system has no random bytes")?;
        Ok(Arc::new(Self {
            code: StreamKey::from_random(bytes).expose().to_owned(),
            keys: Mutex::default(),
        }))
    }

    /// The code, for the link.
    pub(super) fn code(&self) -> &str {
        &self.code
    }

    /// Sets the keys of the streams that can be opened.
    pub(super) fn set(&self, keys: Vec<StreamKey>) {
        *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    /// Answers the console.
    pub(super) fn answer(&self, query: Option<&str>) -> Response<Full<Bytes>> {
        let given = query.and_then(|query| query.strip_prefix("code="));
        let mut response = if given == Some(self.code.as_str()) {
            let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
            let keys: Vec<_> = keys.iter().map(StreamKey::expose).collect();
            respond(StatusCode::OK, &json!({ "keys": keys }))
        } else {
            let message =
                "the code is that of another process: take the link that this one printed";
            problem(StatusCode::FORBIDDEN, "forbidden", message)
        };
        let headers = response.headers_mut();
        // The page is of another listener. Whoever else asks does not know the code.
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

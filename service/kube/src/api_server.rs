//! An API server for tests: a function answers its requests.

use http_body_util::{BodyExt as _, Collected};
use hyper::http::request::Parts;
use hyper::{Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use serde_json::Value;

/// A client whose requests are answered by this function, one after the other. Those without an answer wait for one for ever.
pub fn answered_by(
    mut answer: impl FnMut(&Parts, Value) -> Option<(StatusCode, Value)> + Send + 'static,
) -> Client {
    let (service, mut handle) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
    tokio::spawn(async move {
        let mut silent = vec![];
        while let Some((request, respond)) = handle.next_request().await {
            let (parts, body) = request.into_parts();
            let body = body
                .collect()
                .await
                .map(Collected::to_bytes)
                .unwrap_or_default();
            let body = serde_json::from_slice(&body).unwrap_or_default();
            let Some((status, answer)) = answer(&parts, body) else {
                silent.push(respond);
                continue;
            };
            let mut response = Response::new(Body::from(answer.to_string().into_bytes()));
            *response.status_mut() = status;
            respond.send_response(response);
        }
    });
    Client::new(service, "default")
}

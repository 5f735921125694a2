//! Responses as both listeners make them.

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Method, Response, StatusCode};
use serde::Serialize;

use crate::transport::http::ChunkBody;

/// Characters of a request that an answer repeats at the most.
const LONGEST_ECHO: usize = 200;
/// The methods of what can only be looked at, as `Allow` lists them. hyper leaves out the body of an answer to HEAD.
pub(crate) const READ_ONLY: &str = "GET, HEAD, OPTIONS";

/// Returns whether a method asks to look at something.
pub(crate) fn reads(method: &Method) -> bool {
    method == Method::GET || method == Method::HEAD
}

/// Response of a handler: what there is to say, or a stream.
pub(crate) type Answer = Response<Either<Full<Bytes>, ChunkBody>>;

/// The answer that has this response's body whole.
pub(crate) fn whole(response: Response<Full<Bytes>>) -> Answer {
    response.map(Either::Left)
}

#[derive(Serialize)]
struct Problem<'a> {
    error: &'a str,
    message: &'a str,
}

/// A response with a body of this media type.
pub(crate) fn respond(
    status: StatusCode,
    media_type: &'static str,
    body: impl Into<Bytes>,
) -> Answer {
    let mut response = whole(Response::new(Full::new(body.into())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        HeaderName::from_static("x-content-type-options"),
        HeaderValue::from_static("nosniff"),
    );
    response
}

/// A response with a JSON body.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    // Only maps with keys that are no strings cannot be written, and there are none.
    respond(
        status,
        "application/json",
        serde_json::to_vec(body).unwrap_or_default(),
    )
}

/// `{error, message}`: a name for programs and a sentence for people.
pub(crate) fn problem(status: StatusCode, error: &str, message: &str) -> Answer {
    json(status, &Problem { error, message })
}

/// A response without a body.
pub(crate) fn no_content() -> Answer {
    let mut empty = whole(Response::default());
    *empty.status_mut() = StatusCode::NO_CONTENT;
    empty
}

/// For paths that are not there.
pub(crate) fn not_found(path: &str, known: &str) -> Answer {
    problem(
        StatusCode::NOT_FOUND,
        "not_found",
        &format!("nothing is at {}: there is {known}", shortened(path)),
    )
}

/// The beginning of what a client has sent: an answer that it does not take must not be large because its request was.
fn shortened(text: &str) -> &str {
    text.char_indices()
        .nth(LONGEST_ECHO)
        .map_or(text, |(end, _)| &text[..end])
}

/// For a method that a path does not take, where `allowed` are those that it does. `OPTIONS` asks for them.
pub(crate) fn method_not_allowed(method: &Method, allowed: &'static str) -> Answer {
    let mut answer = if method == Method::OPTIONS {
        no_content()
    } else {
        let method = shortened(method.as_str());
        let message = format!("{method} is not taken here: use {allowed}");
        problem(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            &message,
        )
    };
    answer
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}

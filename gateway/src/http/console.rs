//! The console's files, compiled in: the page needs nothing but this gateway.

use hyper::StatusCode;
use hyper::header::{CONTENT_SECURITY_POLICY, HeaderValue, REFERRER_POLICY};

use super::respond::{Answer, respond};

/// Nothing from elsewhere, nothing inline; sockets and requests to any gateway, since streams are opened by URL.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self' ws: wss: http: https:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

macro_rules! files {
    ($($path:literal => $file:literal, $media_type:literal;)*) => {
        &[$(($path, $media_type, include_str!(concat!("../../console/", $file)))),*]
    };
}

const FILES: &[(&str, &str, &str)] = files! {
    "/" => "index.html", "text/html; charset=utf-8";
    "/console/console.css" => "console.css", "text/css; charset=utf-8";
    "/console/console.js" => "console.js", "text/javascript; charset=utf-8";
    "/console/event.js" => "event.js", "text/javascript; charset=utf-8";
    "/console/events.js" => "events.js", "text/javascript; charset=utf-8";
    "/console/frame.js" => "frame.js", "text/javascript; charset=utf-8";
    "/console/kept.js" => "kept.js", "text/javascript; charset=utf-8";
    "/console/page.js" => "page.js", "text/javascript; charset=utf-8";
    "/console/stream.js" => "stream.js", "text/javascript; charset=utf-8";
    "/console/streams.js" => "streams.js", "text/javascript; charset=utf-8";
};

/// The file at `path`, if there is one.
pub(crate) fn file(path: &str) -> Option<Answer> {
    let (_, media_type, text) = FILES.iter().find(|(p, _, _)| *p == path)?;
    let mut answer = respond(StatusCode::OK, media_type, *text);
    let headers = answer.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    Some(answer)
}

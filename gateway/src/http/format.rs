//! The dialect that a request asks for: by path, `format`, `Accept` or subprotocol.

use datastream_protocol::dialect::{BodyDialect, MessageDialect};
use hyper::header::{ACCEPT, HeaderMap, HeaderValue};

use crate::access::Refusal;
use crate::header_list::{items, weighed};
use crate::transport::websocket::offers_cloud_events;

const UNKNOWN: Refusal = Refusal::wrong(
    "format is unknown: there are dss, json and cloudevents for WebSockets on /stream, and sse and ndjson on /events",
);
const OF_BODIES: Refusal = Refusal::wrong(
    "format sse and ndjson are on /events: for WebSockets on /stream there are dss, json and cloudevents",
);
const OF_MESSAGES: Refusal = Refusal::wrong(
    "format dss, json and cloudevents are for WebSockets on /stream: on /events there are sse and ndjson",
);

/// Media types, and the dialects that they stand for; where a client takes several alike, the first one counts.
const MEDIA_TYPES: [(&str, &str, BodyDialect); 4] = [
    ("application", "x-ndjson", BodyDialect::Ndjson),
    ("application", "ndjson", BodyDialect::Ndjson),
    ("application", "jsonl", BodyDialect::Ndjson),
    ("text", "event-stream", BodyDialect::Sse),
];

/// The dialect of a WebSocket.
///
/// # Errors
/// An unknown format, or one that a WebSocket does not have.
pub(super) fn of_messages(
    format: Option<&str>,
    headers: &HeaderMap,
) -> Result<MessageDialect, Refusal> {
    match format {
        Some(name) => MessageDialect::named(name).ok_or_else(|| match BodyDialect::named(name) {
            Some(_) => OF_BODIES,
            None => UNKNOWN,
        }),
        None if offers_cloud_events(headers) => Ok(MessageDialect::CloudEvents),
        None => Ok(MessageDialect::Dss),
    }
}

/// The dialect of a response's body. `format` counts before `Accept`; without either, it is lines of JSON.
///
/// # Errors
/// An unknown format, or one that a body does not have; or nothing that the client accepts.
pub(super) fn of_body(format: Option<&str>, headers: &HeaderMap) -> Result<BodyDialect, Refusal> {
    if let Some(name) = format {
        return BodyDialect::named(name).ok_or_else(|| match MessageDialect::named(name) {
            Some(_) => OF_MESSAGES,
            None => UNKNOWN,
        });
    }
    let says = |value: &HeaderValue| value.to_str().is_ok_and(|text| !text.trim().is_empty());
    if !headers.get_all(ACCEPT).iter().any(says) {
        return Ok(BodyDialect::Ndjson);
    }
    let ranges = || items(headers, &ACCEPT);
    let weighed = MEDIA_TYPES.map(|(kind, name, dialect)| (of(ranges(), kind, name), dialect));
    let most = weighed
        .iter()
        .fold(0.0, |most, (weight, _)| weight.max(most));
    let chosen = weighed
        .into_iter()
        .find(|(weight, _)| *weight > 0.0 && *weight >= most);
    chosen
        .map(|(_, dialect)| dialect)
        .ok_or(Refusal::NotAcceptable)
}

/// The weight of a media type among the ranges of `Accept`: that of the most specific one that it is in (RFC 9110, section 12.5.1).
fn of<'a>(ranges: impl Iterator<Item = &'a str>, kind: &str, name: &str) -> f32 {
    let matching = ranges.filter_map(|range| {
        let (media_type, weight) = weighed(range);
        let (its_kind, its_name) = media_type.split_once('/')?;
        let specific = match (its_kind, its_name) {
            ("*", "*") => 0,
            (k, "*") if k.eq_ignore_ascii_case(kind) => 1,
            (k, n) if k.eq_ignore_ascii_case(kind) && n.eq_ignore_ascii_case(name) => 2,
            _ => return None,
        };
        Some((specific, weight))
    });
    let most = matching.max_by_key(|(specific, _)| *specific);
    most.map_or(0.0, |(_, weight)| weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(accept: &str) -> Result<BodyDialect, u16> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, accept.parse().unwrap());
        of_body(None, &headers).map_err(|refusal| refusal.status())
    }

    #[test]
    fn the_media_type_with_the_greatest_weight_is_chosen() {
        for accept in [
            "*/*",
            "",
            "application/*",
            "application/x-ndjson",
            "Application/NDJSON;q=0.2",
            "text/event-stream;q=0.5, application/x-ndjson",
            "application/jsonl, */*;q=0.1",
            "text/event-stream;q=0, */*",
        ] {
            assert_eq!(accepted(accept), Ok(BodyDialect::Ndjson), "{accept}");
        }
        for accept in [
            "text/event-stream",
            "text/event-stream, */*;q=0.5",
            "text/*",
            "text/html, text/event-stream;q=0.1",
        ] {
            assert_eq!(accepted(accept), Ok(BodyDialect::Sse), "{accept}");
        }
        for accept in [
            "text/html",
            "application/json",
            "text/event-stream;q=0",
            "x",
        ] {
            assert_eq!(accepted(accept), Err(406), "{accept}");
        }
    }

    #[test]
    fn a_format_counts_before_accept_and_only_where_it_is_one() {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, "text/html".parse().unwrap());
        assert_eq!(of_body(Some("sse"), &headers), Ok(BodyDialect::Sse));
        assert_eq!(
            of_messages(Some("json"), &headers),
            Ok(MessageDialect::Json)
        );
        for (format, reason) in [
            ("dss", OF_MESSAGES),
            ("json", OF_MESSAGES),
            ("xml", UNKNOWN),
        ] {
            assert_eq!(of_body(Some(format), &headers), Err(reason), "{format}");
        }
        for (format, reason) in [("sse", OF_BODIES), ("ndjson", OF_BODIES), ("xml", UNKNOWN)] {
            assert_eq!(of_messages(Some(format), &headers), Err(reason), "{format}");
        }
    }
}

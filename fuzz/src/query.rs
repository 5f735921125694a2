//! The query of a request for a stream: every parameter once, as it was written, and blank ones as if they were not there.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::time::Duration;

use datastream_gateway::{Credential, StreamRequest};
use datastream_routing::names::decode_subscription;

const PARAMETERS: [&str; 11] = [
    "subscription",
    "stream_key",
    "seq_start",
    "seq_end",
    "time_start",
    "on_gap",
    "markers",
    "ack",
    "format",
    "limit",
    "wait",
];

/// Reads a query.
pub fn run(data: &[u8]) {
    let Ok(query) = std::str::from_utf8(data) else {
        return;
    };
    let pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
    let values = PARAMETERS.map(|parameter| {
        let named = pairs.iter().filter(|(name, _)| name == parameter);
        named
            .map(|(_, value)| value.trim().to_owned())
            .collect::<Vec<_>>()
    });
    let is_twice = values.iter().any(|values| values.len() > 1);
    let read = StreamRequest::parse(query).ok();
    let given = values.map(|values| values.into_iter().find(|value| !value.is_empty()));
    let [
        subscription,
        key,
        start,
        end,
        time,
        on_gap,
        markers,
        ack,
        format,
        limit,
        wait,
    ] = given;
    let named = subscription.as_deref().map(decode_subscription);
    let limit = limit.map(|text| number(&text, 1..=1_000_000));
    let wait = wait.map(|text| number(&text, 0..=300));
    let is_unreadable = matches!(named, Some(None))
        || matches!(limit, Some(None))
        || matches!(wait, Some(None))
        || !matches!(markers.as_deref(), None | Some("0" | "1"));
    let is_misspelt = pairs.iter().any(|(name, _)| is_misspelt(name));
    let is_refused = is_twice || is_unreadable || is_misspelt;
    assert_eq!(read.is_none(), is_refused, "{query:?}");
    let Some(read) = read else { return };

    let expected = StreamRequest {
        key: key.as_deref().map(Credential::key),
        subscription: named.flatten(),
        start,
        end,
        time,
        on_gap,
        markers: markers.as_deref() == Some("1"),
        ack,
        format,
        limit: limit.flatten(),
        wait: wait.flatten().map(Duration::from_secs),
        last_event_id: None,
    };
    assert_eq!(read, expected, "{query:?}");
    assert_eq!(
        StreamRequest::parse(&written(&pairs)),
        Ok(read),
        "{query:?}"
    );
}

/// Returns whether a name is that of a parameter but for its case, `_` and `-`.
fn is_misspelt(name: &str) -> bool {
    let plain = |name: &str| name.replace(['_', '-'], "").to_ascii_lowercase();
    let mut parameters = PARAMETERS.iter();
    !PARAMETERS.contains(&name) && parameters.any(|known| plain(known) == plain(name))
}

/// A number within its bounds.
fn number(text: &str, bounds: RangeInclusive<u64>) -> Option<u64> {
    let number = text.parse().ok();
    number.filter(|number| bounds.contains(number))
}

/// The same query as another library of a client would write it.
fn written(pairs: &[(Cow<'_, str>, Cow<'_, str>)]) -> String {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}

//! Lists in the headers of requests.

use hyper::header::{HeaderMap, HeaderName};

/// Items of the lists in all headers of this name (RFC 9110, section 5.6.1).
pub(crate) fn items<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'a str> + use<'a> {
    let values = headers.get_all(name).into_iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).map(str::trim)
}

/// An item that has a weight, and its weight: 1 unless it says otherwise (RFC 9110, section 12.4.2).
pub(crate) fn weighed(item: &str) -> (&str, f32) {
    let mut parts = item.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let weight = parts.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then_some(value)
    });
    let weight = weight.map_or(1.0, |value| value.trim().parse().unwrap_or(0.0));
    (name, weight)
}

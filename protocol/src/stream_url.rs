//! The URL of a stream.

use std::fmt;
use std::str::FromStr;

/// The URL of a stream. Debug and Display show it with its key masked.
#[derive(Clone, PartialEq, Eq)]
pub struct StreamUrl {
    /// Scheme, host and path.
    base: String,
    /// The query, in order, as given: still percent-encoded.
    query: Vec<(String, String)>,
    /// The key, once it is no part of the URL.
    bearer: Option<String>,
}

/// Fault in a stream's URL. Never shows the key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamUrlError {
    /// The URL is not `ws://…` or `wss://…`.
    #[error(
        "a stream's URL starts with ws:// or wss:// (http:// and https:// are taken for them), as in ws://HOST:PORT/stream?stream_key=KEY"
    )]
    Scheme,
    /// Neither `stream_key=…` nor `subscription=…`.
    #[error(
        "the URL has no stream_key parameter, as in ws://HOST:PORT/stream?stream_key=KEY, nor says by subscription=NAMESPACE/NAME whose stream a token or a certificate is to open"
    )]
    NoKey,
}

impl FromStr for StreamUrl {
    type Err = StreamUrlError;

    /// Reads a URL with the key in it, or the subscription.
    fn from_str(text: &str) -> Result<Self, StreamUrlError> {
        let url = Self::locate(text)?;
        if url.key().is_none() && url.subscription().is_none() {
            return Err(StreamUrlError::NoKey);
        }
        Ok(url)
    }
}

const KEY: &str = "stream_key";
const SUBSCRIPTION: &str = "subscription";

impl StreamUrl {
    /// Reads a URL with or without a key. `http` and `https` are taken for `ws` and `wss`; without a path it is `/stream`.
    pub fn locate(text: &str) -> Result<Self, StreamUrlError> {
        let (scheme, rest) = text
            .trim()
            .split_once("://")
            .ok_or(StreamUrlError::Scheme)?;
        let scheme = match scheme {
            "ws" | "http" => "ws",
            "wss" | "https" => "wss",
            _ => return Err(StreamUrlError::Scheme),
        };
        let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (host, path) = place.split_once('/').unwrap_or((place, "stream"));
        if host.is_empty() {
            return Err(StreamUrlError::Scheme);
        }
        // The path of the same stream over HTTP, in dialects that are not spoken here.
        let path = match path {
            "" | "events" => "stream",
            path => path,
        };
        let query: Vec<_> = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Ok(Self {
            base: format!("{scheme}://{host}/{path}"),
            query,
            bearer: None,
        })
    }

    /// The key, if it has one.
    pub fn key(&self) -> Option<&str> {
        self.bearer().or_else(|| self.get(KEY))
    }

    /// Sets the key.
    pub fn set_key(&mut self, key: &str) {
        self.set(KEY, key);
    }

    /// Takes the key out of the query, where proxies log it, so that it is sent as `Authorization: Bearer KEY`. The Datastream
    /// Service itself does not read it there.
    pub fn move_key_to_header(&mut self) {
        let key = self.key().map(str::to_owned);
        self.unset(KEY);
        self.bearer = key;
    }

    /// The key that is to be sent as `Authorization: Bearer KEY`.
    pub fn bearer(&self) -> Option<&str> {
        self.bearer.as_deref()
    }

    /// The subscription whose stream it is, NAMESPACE/NAME, if it says so for a token or a certificate.
    pub fn subscription(&self) -> Option<&str> {
        self.get(SUBSCRIPTION)
    }

    /// Sets the subscription.
    pub fn set_subscription(&mut self, subscription: &str) {
        self.set(SUBSCRIPTION, subscription);
    }

    /// The first digits of the key, which distinguish streams.
    pub fn masked_key(&self) -> String {
        mask(self.key().unwrap_or_default())
    }

    /// The full URL, with the key that is in its query: for connecting, never for printing.
    pub fn expose(&self) -> String {
        self.render(|_, value| value.to_owned())
    }

    /// A parameter of the query.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Sets a parameter of the query.
    pub fn set(&mut self, name: &str, value: &str) {
        match self.query.iter_mut().find(|(n, _)| n == name) {
            Some((_, old)) => value.clone_into(old),
            None => self.query.push((name.to_owned(), value.to_owned())),
        }
    }

    /// Takes a parameter out of the query.
    pub fn unset(&mut self, name: &str) {
        self.query.retain(|(n, _)| n != name);
    }

    fn render(&self, value_of: impl Fn(&str, &str) -> String) -> String {
        let query: Vec<_> = self
            .query
            .iter()
            .map(|(name, value)| format!("{name}={}", value_of(name, value)))
            .collect();
        if query.is_empty() {
            return self.base.clone();
        }
        format!("{}?{}", self.base, query.join("&"))
    }
}

impl fmt::Display for StreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let masked = self.render(|name, value| match name {
            KEY => mask(value),
            _ => value.to_owned(),
        });
        f.write_str(&masked)
    }
}

impl fmt::Debug for StreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The first four characters of a key that is long enough to lose them: 16 of 128 bits, to distinguish streams.
fn mask(key: &str) -> String {
    let shown = if key.len() >= 16 { 4 } else { 0 };
    format!("{}…", key.chars().take(shown).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "ws://localhost:8080/stream?stream_key=0123456789abcdef0123456789abcdef";

    #[test]
    fn a_stream_url_is_parsed_and_rendered_unchanged() {
        let mut url: StreamUrl = format!("{URL}&seq_start=7&seq_end=").parse().unwrap();
        assert_eq!(url.masked_key(), "0123…");
        assert_eq!(url.get("seq_start"), Some("7"));
        assert_eq!(url.get("seq_end"), None);
        url.unset("x");
        url.set("seq_start", "10000000000000000000000");
        url.set("seq_end", "20000000000000000000000");
        assert_eq!(
            url.expose(),
            format!("{URL}&seq_start=10000000000000000000000&seq_end=20000000000000000000000")
        );
    }

    #[test]
    fn http_schemes_and_bare_hosts_are_accepted() {
        let url: StreamUrl = "https://example.org?stream_key=k".parse().unwrap();
        assert_eq!(url.expose(), "wss://example.org/stream?stream_key=k");
        let url: StreamUrl = "ws://h:1/?stream_key=a&x=leds=1".parse().unwrap();
        assert_eq!(url.expose(), "ws://h:1/stream?stream_key=a&x=leds=1");
    }

    #[test]
    fn a_key_can_be_set_after_parsing_the_url() {
        let mut url = StreamUrl::locate("wss://example.org").unwrap();
        assert_eq!(url.key(), None);
        url.set_key("k");
        assert_eq!(url.expose(), "wss://example.org/stream?stream_key=k");
    }

    #[test]
    fn a_key_for_the_header_is_no_part_of_the_url() {
        let mut url: StreamUrl = format!("{URL}&markers=1").parse().unwrap();
        assert_eq!(url.bearer(), None);
        for _ in 0..2 {
            url.move_key_to_header();
            assert_eq!(url.bearer(), Some("0123456789abcdef0123456789abcdef"));
            assert_eq!(url.key(), url.bearer());
            assert_eq!(url.masked_key(), "0123…");
            for text in [url.expose(), url.to_string(), format!("{url:?}")] {
                assert_eq!(text, "ws://localhost:8080/stream?markers=1");
            }
        }
    }

    #[test]
    fn the_key_is_never_shown() {
        let url: StreamUrl = URL.parse().unwrap();
        for text in [format!("{url}"), format!("{url:?}")] {
            assert_eq!(text, "ws://localhost:8080/stream?stream_key=0123…");
        }
        let url: StreamUrl = "ws://h/stream?stream_key=short".parse().unwrap();
        assert_eq!(url.to_string(), "ws://h/stream?stream_key=…");
    }

    #[test]
    fn malformed_stream_urls_are_rejected() {
        assert_eq!(
            "localhost:8080".parse::<StreamUrl>(),
            Err(StreamUrlError::Scheme)
        );
        assert_eq!(
            "ftp://h/?stream_key=k".parse::<StreamUrl>(),
            Err(StreamUrlError::Scheme)
        );
        assert_eq!(
            "ws://?stream_key=k".parse::<StreamUrl>(),
            Err(StreamUrlError::Scheme)
        );
        assert_eq!(
            "ws://h/stream".parse::<StreamUrl>(),
            Err(StreamUrlError::NoKey)
        );
        assert_eq!(
            "ws://h?stream_key=".parse::<StreamUrl>(),
            Err(StreamUrlError::NoKey)
        );
    }
}

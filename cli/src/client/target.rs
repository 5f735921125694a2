//! What a user names: a stream's URL, perhaps with a label.

use std::fmt;
use std::str::FromStr;

/// One stream to follow. Debug and Display show the URL with its key masked.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Target {
    label: Option<String>,
    /// Scheme, host and path.
    base: String,
    /// The query, in order, as given: still percent-encoded.
    query: Vec<(String, String)>,
}

/// What is wrong with a stream's URL. Never shows the key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TargetError {
    /// Not `ws://…` or `wss://…`.
    #[error(
        "a stream's URL starts with ws:// or wss://, as in ws://HOST:PORT/stream?stream_key=KEY"
    )]
    Scheme,
    /// No `stream_key=…`.
    #[error("the URL has no stream_key parameter, as in ws://HOST:PORT/stream?stream_key=KEY")]
    NoKey,
}

impl FromStr for Target {
    type Err = TargetError;

    /// `[LABEL=]URL`, with the key in it.
    fn from_str(text: &str) -> Result<Self, TargetError> {
        let target = Self::locate(text)?;
        if target.key().is_none() {
            return Err(TargetError::NoKey);
        }
        Ok(target)
    }
}

const KEY: &str = "stream_key";

impl Target {
    /// `[LABEL=]URL`, with or without a key. `http` and `https` are taken for `ws` and `wss`; without a path it is
    /// `/stream`.
    pub(crate) fn locate(text: &str) -> Result<Self, TargetError> {
        let scheme_end = text.find("://").ok_or(TargetError::Scheme)?;
        let (label, url) = match text[..scheme_end].rsplit_once('=') {
            Some((label, scheme)) => (Some(label), &text[scheme_end - scheme.len()..]),
            None => (None, text),
        };
        let (scheme, rest) = url.split_once("://").ok_or(TargetError::Scheme)?;
        let scheme = match scheme {
            "ws" | "http" => "ws",
            "wss" | "https" => "wss",
            _ => return Err(TargetError::Scheme),
        };
        let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (host, path) = place.split_once('/').unwrap_or((place, "stream"));
        if host.is_empty() {
            return Err(TargetError::Scheme);
        }
        let path = if path.is_empty() { "stream" } else { path };
        let query: Vec<_> = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Ok(Self {
            label: label.map(str::to_owned).filter(|l| !l.is_empty()),
            base: format!("{scheme}://{host}/{path}"),
            query,
        })
    }

    /// The key, if it has one.
    pub(crate) fn key(&self) -> Option<&str> {
        self.get(KEY)
    }

    /// Sets the key.
    pub(crate) fn set_key(&mut self, key: &str) {
        self.set(KEY, key);
    }

    /// What the stream is called in the output: the label that was given, or else the first digits of the key.
    pub(crate) fn label(&self) -> String {
        self.label
            .clone()
            .unwrap_or_else(|| mask(self.key().unwrap_or_default()))
    }

    /// The full URL, key and all: for connecting, never for printing.
    pub(crate) fn url(&self) -> String {
        self.render(|_, value| value.to_owned())
    }

    /// A parameter of the query.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Sets a parameter of the query.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        match self.query.iter_mut().find(|(n, _)| n == name) {
            Some((_, old)) => value.clone_into(old),
            None => self.query.push((name.to_owned(), value.to_owned())),
        }
    }

    /// Takes a parameter out of the query.
    pub(crate) fn unset(&mut self, name: &str) {
        self.query.retain(|(n, _)| n != name);
    }

    fn render(&self, value_of: impl Fn(&str, &str) -> String) -> String {
        let query: Vec<_> = self
            .query
            .iter()
            .map(|(name, value)| format!("{name}={}", value_of(name, value)))
            .collect();
        format!("{}?{}", self.base, query.join("&"))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let masked = self.render(|name, value| match name {
            KEY => mask(value),
            _ => value.to_owned(),
        });
        f.write_str(&masked)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The first four characters of a key that is long enough to lose them: 16 of 128 bits, to tell streams apart.
fn mask(key: &str) -> String {
    let shown = if key.len() >= 16 { 4 } else { 0 };
    format!("{}…", key.chars().take(shown).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "ws://localhost:8080/stream?stream_key=0123456789abcdef0123456789abcdef";

    #[test]
    fn a_url_is_taken_apart_and_put_together() {
        let mut target: Target = format!("{URL}&seq_start=7&seq_end=").parse().unwrap();
        assert_eq!(target.label(), "0123…");
        assert_eq!(target.get("seq_start"), Some("7"));
        assert_eq!(target.get("seq_end"), None);
        target.unset("x");
        target.set("seq_start", "10000000000000000000000");
        target.set("seq_end", "20000000000000000000000");
        assert_eq!(
            target.url(),
            format!("{URL}&seq_start=10000000000000000000000&seq_end=20000000000000000000000")
        );
    }

    #[test]
    fn labels_other_schemes_and_bare_hosts_are_understood() {
        let target: Target = "leds=https://example.org?stream_key=k".parse().unwrap();
        assert_eq!(target.label(), "leds");
        assert_eq!(target.url(), "wss://example.org/stream?stream_key=k");
        let target: Target = "ws://h:1/?stream_key=a&x=leds=1".parse().unwrap();
        assert_eq!(target.url(), "ws://h:1/stream?stream_key=a&x=leds=1");
    }

    #[test]
    fn a_key_may_come_later() {
        let mut target = Target::locate("wss://example.org").unwrap();
        assert_eq!(target.key(), None);
        target.set_key("k");
        assert_eq!(target.url(), "wss://example.org/stream?stream_key=k");
    }

    #[test]
    fn the_key_is_never_shown() {
        let target: Target = URL.parse().unwrap();
        for text in [format!("{target}"), format!("{target:?}")] {
            assert_eq!(text, "ws://localhost:8080/stream?stream_key=0123…");
        }
        let target: Target = "ws://h/stream?stream_key=short".parse().unwrap();
        assert_eq!(target.to_string(), "ws://h/stream?stream_key=…");
    }

    #[test]
    fn what_is_no_stream_is_refused() {
        assert_eq!("localhost:8080".parse::<Target>(), Err(TargetError::Scheme));
        assert_eq!(
            "ftp://h/?stream_key=k".parse::<Target>(),
            Err(TargetError::Scheme)
        );
        assert_eq!(
            "ws://?stream_key=k".parse::<Target>(),
            Err(TargetError::Scheme)
        );
        assert_eq!("ws://h/stream".parse::<Target>(), Err(TargetError::NoKey));
        assert_eq!(
            "ws://h?stream_key=".parse::<Target>(),
            Err(TargetError::NoKey)
        );
    }
}

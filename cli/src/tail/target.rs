//! The streams that a user names: URLs, perhaps with labels.

use std::str::FromStr;

use datastream_protocol::{StreamUrl, StreamUrlError};

/// One stream to follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    label: Option<String>,
    /// The stream's URL.
    pub url: StreamUrl,
}

impl FromStr for Target {
    type Err = StreamUrlError;

    /// Reads `[LABEL=]URL`, with the key or the subscription in it.
    fn from_str(text: &str) -> Result<Self, StreamUrlError> {
        let scheme_end = text.find("://").ok_or(StreamUrlError::Scheme)?;
        let (label, url) = match text[..scheme_end].rsplit_once('=') {
            Some((label, scheme)) => (Some(label), &text[scheme_end - scheme.len()..]),
            None => (None, text),
        };
        Ok(Self {
            label: label.map(str::to_owned).filter(|l| !l.is_empty()),
            url: url.parse()?,
        })
    }
}

impl Target {
    /// The stream's name in the output: the label that was given, or else the subscription or the first digits of the key.
    pub(crate) fn label(&self) -> String {
        let subscription = || self.url.subscription().map(str::to_owned);
        let named = self.label.clone().or_else(subscription);
        named.unwrap_or_else(|| self.url.masked_key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_labelled_by_its_prefix_or_else_by_its_key() {
        let target: Target = "leds=https://example.org?stream_key=k".parse().unwrap();
        assert_eq!(target.label(), "leds");
        assert_eq!(target.url.expose(), "wss://example.org/stream?stream_key=k");
        let by_token: Target = "ws://h?subscription=team/leds".parse().unwrap();
        assert_eq!(by_token.label(), "team/leds");
        let url = "ws://h/?stream_key=0123456789abcdef0123456789abcdef&x=leds=1";
        for unnamed in [url.to_owned(), format!("={url}")] {
            assert_eq!(unnamed.parse::<Target>().unwrap().label(), "0123…");
        }
        assert_eq!(
            "localhost:8080".parse::<Target>(),
            Err(StreamUrlError::Scheme)
        );
    }
}

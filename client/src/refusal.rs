//! The answer of a server that gives no stream.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use tokio_tungstenite::tungstenite::http::Response;
use tokio_tungstenite::tungstenite::http::header::RETRY_AFTER;

/// A longer `Retry-After` is not waited for.
const LONGEST_WAIT: Duration = Duration::from_mins(5);

/// The meaning of a successful answer that is no stream.
const NO_UPGRADE: &str = "instead of a stream: a proxy on the way removed the Upgrade header, so that the server saw a plain GET \
     (nginx needs proxy_http_version 1.1 and proxy_set_header for Upgrade and Connection)";

/// A refusal: an HTTP status and, if the server explains itself, why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// Time after which the server asks to be tried again.
    pub retry_after: Option<Duration>,
    /// The server's name for it, such as `gone`; empty if it gave none.
    pub error: String,
    /// The server's explanation, a sentence; the name of the status if it gave none.
    pub message: String,
    reason: String,
}

/// The JSON body of a refusal.
#[derive(Deserialize)]
struct Explanation {
    error: String,
    message: String,
}

impl Refusal {
    /// A refusal with this message.
    pub fn new(status: u16, retry_after: Option<Duration>, reason: &str) -> Self {
        Self {
            status,
            retry_after,
            error: String::new(),
            message: reason.to_owned(),
            reason: reason.to_owned(),
        }
    }

    /// Reads the response to a handshake that was not accepted.
    pub(super) fn of(response: &Response<Option<Vec<u8>>>) -> Self {
        let status = response.status();
        let body = response.body().as_deref().unwrap_or_default();
        let (reason, error, message) = match serde_json::from_slice(body) {
            _ if status.is_success() => {
                let reason = format!("{status} {NO_UPGRADE}");
                (reason, String::new(), NO_UPGRADE.to_owned())
            }
            Ok(Explanation { error, message }) => {
                (format!("{status}: {message} ({error})"), error, message)
            }
            Err(_) => {
                let name = status.canonical_reason();
                let name = name.unwrap_or("the server gives no reason");
                (status.to_string(), String::new(), name.to_owned())
            }
        };
        let retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.trim().parse().ok())
            .map(|seconds| Duration::from_secs(seconds).min(LONGEST_WAIT));
        Self {
            status: status.as_u16(),
            retry_after,
            error,
            message,
            reason,
        }
    }

    /// Returns whether it passes by itself: in use, too many, or not now. An unknown key, a suspension, and a bad position do
    /// not, unless somebody changes something.
    pub const fn passes(&self) -> bool {
        matches!(self.status, 408 | 409 | 425 | 429 | 500..=599)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, retry_after: Option<&str>, body: &str) -> Refusal {
        let mut response = Response::builder().status(status);
        if let Some(value) = retry_after {
            response = response.header(RETRY_AFTER, value);
        }
        Refusal::of(&response.body(Some(body.into())).unwrap())
    }

    #[test]
    fn a_refusal_keeps_the_servers_message_and_retry_after() {
        let body = r#"{"error":"busy","message":"too many"}"#;
        let busy = refusal(503, Some("7"), body);
        assert_eq!(busy.to_string(), "503 Service Unavailable: too many (busy)");
        assert_eq!(
            (busy.error.as_str(), busy.message.as_str()),
            ("busy", "too many")
        );
        assert_eq!(busy.retry_after, Some(Duration::from_secs(7)));
        assert!(busy.passes());
        let unknown = refusal(401, None, "<html>");
        assert_eq!(unknown.to_string(), "401 Unauthorized");
        assert_eq!(
            (unknown.error.as_str(), unknown.message.as_str()),
            ("", "Unauthorized")
        );
        assert!(!unknown.passes());
    }

    #[test]
    fn a_success_without_a_stream_is_a_proxy_that_removed_the_upgrade() {
        let answer = refusal(200, None, r#"{"namespace":"default","name":"all"}"#);
        let expected = "200 OK instead of a stream: a proxy on the way removed the Upgrade header";
        assert!(answer.to_string().starts_with(expected), "{answer}");
        assert!(!answer.passes());
    }

    #[test]
    fn a_malformed_retry_after_is_ignored_and_a_long_one_is_capped() {
        let date = "Wed, 21 Oct 2026 07:28:00 GMT";
        assert_eq!(refusal(503, Some(date), "").retry_after, None);
        assert_eq!(refusal(429, Some("-1"), "").retry_after, None);
        assert_eq!(
            refusal(429, Some("86400"), "").retry_after,
            Some(LONGEST_WAIT)
        );
    }
}

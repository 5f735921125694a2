//! Errors that a gateway answers with: their statuses, names and causes.

/// An error that a gateway answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorKind {
    /// The HTTP status.
    pub status: u16,
    /// The name, `error` in the body.
    pub name: &'static str,
    /// The cases in which the answer has the header `Retry-After`.
    pub retry_after: RetryAfter,
    /// The cases in which it is given.
    pub when: &'static str,
}

/// The cases in which an answer says after how many seconds to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    /// Never.
    No,
    /// If the gateway knows it.
    Sometimes,
    /// Always.
    Always,
}

const fn error(
    status: u16,
    name: &'static str,
    retry_after: RetryAfter,
    when: &'static str,
) -> ErrorKind {
    ErrorKind {
        status,
        name,
        retry_after,
        when,
    }
}

/// Errors that a gateway answers with, by status. A test compares them with those of the gateway.
pub const ERRORS: [ErrorKind; 15] = [
    error(
        400,
        "bad_position",
        RetryAfter::No,
        "A start or end is no number or time of this topic, or there are several starts.",
    ),
    error(
        400,
        "bad_handshake",
        RetryAfter::No,
        "The request asks for a WebSocket in a wrong way.",
    ),
    error(
        400,
        "bad_request",
        RetryAfter::No,
        "A parameter or credential is malformed, unknown, or there twice.",
    ),
    error(
        401,
        "unauthorized",
        RetryAfter::No,
        "No subscription has this key, or the request has none.",
    ),
    error(
        401,
        "invalid_token",
        RetryAfter::No,
        "The token is not good, or this gateway takes none.",
    ),
    error(
        403,
        "forbidden",
        RetryAfter::No,
        "The credentials are good, and do not open this stream.",
    ),
    error(
        403,
        "suspended",
        RetryAfter::No,
        "The subscription is suspended.",
    ),
    error(
        403,
        "access_denied",
        RetryAfter::No,
        "Access rules deny what the subscription asks for.",
    ),
    error(404, "not_found", RetryAfter::No, "Nothing is at this path."),
    error(
        405,
        "method_not_allowed",
        RetryAfter::No,
        "The path does not take this method; `Allow` names those that it takes.",
    ),
    error(
        406,
        "not_acceptable",
        RetryAfter::No,
        "`Accept` names none of the media types that there are.",
    ),
    error(
        409,
        "in_use",
        RetryAfter::Sometimes,
        "Another client has the stream; `Retry-After` says when it will be released, if its gateway does not respond.",
    ),
    error(
        410,
        "gone",
        RetryAfter::No,
        "The first of the events asked for have expired; the message names the earliest that is left.",
    ),
    error(
        503,
        "busy",
        RetryAfter::Always,
        "There is no room now: too many clients, requests or streams.",
    ),
    error(
        503,
        "unavailable",
        RetryAfter::Always,
        "The gateway is starting or shutting down, or what it needs cannot be asked.",
    ),
];

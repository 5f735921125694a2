//! Control messages: what a gateway says about a stream, among its events.

use serde::{Deserialize, Serialize};

message! {
    #[cfg_attr(feature = "schema", schemars(transform = crate::describe::Tagged("live")))]
    /// Everything stored has been sent, and what follows is live. Sent once, with `markers=1`.
    Live {
        /// The number to start with to get what follows.
        ["12", "pattern" = "^[0-9]+$"] seq_start: String,
    }
}

message! {
    #[cfg_attr(feature = "schema", schemars(transform = crate::describe::Tagged("gap")))]
    /// Events before the first one that follows have expired. Sent first, with `markers=1`.
    Gap {
        /// The number to start with to get what follows.
        ["12", "pattern" = "^[0-9]+$"] seq_start: String,
    }
}

message! {
    #[cfg_attr(feature = "schema", schemars(transform = crate::describe::Tagged("close")))]
    /// The stream ends here: the last message of a body of `/events`, in NDJSON with `markers=1`. WebSockets have their close frame
    /// instead.
    Close {
        /// The reason as a code, as WebSockets have them.
        #[cfg_attr(feature = "schema", schemars(schema_with = "crate::describe::close_code"))]
        [1000] code: u16,
        /// The reason as text.
        ["limit or wait reached"] reason: String,
        /// The number to start with to get what follows.
        ["12", "pattern" = "^[0-9]+$"] seq_start: String,
    }
}

message! {
    #[cfg_attr(feature = "schema", schemars(transform = crate::describe::Tagged("refused")))]
    /// There is no stream now, and there may be one later. Server-sent events only: an `EventSource` would give up on a status.
    Refused {
        /// The status that another client would have got.
        #[cfg_attr(feature = "schema", schemars(schema_with = "crate::describe::passing_status"))]
        [409] status: u16,
        /// Name of the error, for programs.
        #[cfg_attr(feature = "schema", schemars(schema_with = "crate::describe::error_name"))]
        ["in_use"] error: String,
        /// Explanation, for people.
        ["the subscription already has an open stream, and its client answers; only one is allowed: close it first"] message: String,
    }
}

/// A control message of any kind, which its member `control` names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "control", rename_all = "lowercase")]
pub enum Control {
    /// Everything that follows is live.
    Live(Live),
    /// Events have expired.
    Gap(Gap),
    /// The stream ends.
    Close(Close),
    /// There is no stream now.
    Refused(Refused),
}

#[cfg(feature = "schema")]
one_of!(
    Control,
    "Control message of any kind, which its member `control` names.",
    [Live, Gap, Close, Refused]
);

//! Messages that a client sends on a WebSocket, beside answers to heartbeats (`Z`).

message! {
    #[cfg_attr(feature = "schema", schemars(extend("additionalProperties" = false)))]
    /// Acknowledgement, in JSON and CloudEvents: the client has handled this event and those before. For subscriptions with
    /// `resume: Committed`.
    Ack {
        /// Sequence number of the event.
        ["12", "pattern" = "^[0-9]+$"] ack: String,
    }
}

message! {
    #[cfg_attr(feature = "schema", schemars(extend("additionalProperties" = false)))]
    /// New token, in every dialect, for a stream that one opened. It has no answer; one that does not open the stream closes it.
    Token {
        /// The token: a JWT. The message has at most 4 KiB.
        ["eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln"] token: String,
    }
}

//! The end of a stream: its cause, the WebSocket code and the reason that the client gets (RFC 6455, section 7.4.1).

/// Close codes (RFC 6455, section 7.4.1, and the registry of the IANA).
pub mod code {
    /// Done.
    pub const NORMAL: u16 = 1000;
    /// The server goes away.
    pub const AWAY: u16 = 1001;
    /// The client broke the WebSocket protocol.
    pub const PROTOCOL: u16 = 1002;
    /// A kind of message that is not taken.
    pub const UNSUPPORTED: u16 = 1003;
    /// A text that is not UTF-8.
    pub const INVALID: u16 = 1007;
    /// A message that is not allowed, or a client that is not.
    pub const POLICY: u16 = 1008;
    /// A message that is too large.
    pub const SIZE: u16 = 1009;
    /// The server cannot continue.
    pub const ERROR: u16 = 1011;
    /// Connect again, maybe elsewhere.
    pub const RESTART: u16 = 1012;
    /// Connect again later.
    pub const AGAIN: u16 = 1013;
}

/// Returns whether what a stream was closed with passes by itself: its client does well to connect again at once.
pub const fn is_passing(code: u16) -> bool {
    matches!(code, code::AWAY | code::ERROR | code::RESTART | code::AGAIN)
}

/// The close frame of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// One of the [codes](code).
    pub code: u16,
    /// The reason as text, of at most 123 bytes.
    pub reason: String,
}

/// Cause for which a stream ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseCause {
    /// The client said goodbye.
    ClientLeft,
    /// The connection broke, or the client took nothing for too long.
    ConnectionLost,
    /// Too many heartbeats in a row were not answered.
    HeartbeatsMissed {
        /// Number of them.
        missed: u32,
    },
    /// The subscription was deleted, or what opened the stream opens it no longer.
    Revoked,
    /// The token or the client certificate that opened the stream has expired.
    CredentialExpired,
    /// The token that was to replace the one before it was refused.
    RenewalRefused,
    /// The subscription was suspended.
    Suspended,
    /// The access rules deny what the subscription asks for.
    Denied,
    /// Another client wants the stream, and this one does not answer.
    TakenOver,
    /// The gateway has more streams than its fair share.
    Shed,
    /// The gateway is shutting down.
    Draining,
    /// `seq_end` has been reached.
    ReplayDone,
    /// `limit` or `wait` has been reached.
    BatchDone,
    /// An acknowledgement of what was not sent on this stream.
    BadAck,
    /// Events were removed from the topic before they could be sent.
    Expired,
    /// The client is further behind than the gateway allows.
    TooFarBehind {
        /// The number to resume with.
        seq_start: Box<str>,
    },
    /// A text that is no answer to a heartbeat.
    UnexpectedText,
    /// A binary message.
    UnexpectedBinary,
    /// A message larger than a client may send.
    TooLarge,
    /// A text that is not UTF-8.
    NotUtf8,
    /// The client broke the WebSocket protocol.
    Protocol,
    /// The client took nothing while others waited for the memory that it held.
    Stalled,
    /// The client sends far more messages than it has anything to say.
    Flooded,
    /// Events behind the committed position have expired, and the client has not asked for markers.
    CommittedGap {
        /// The number that the stream continues with.
        seq_start: Box<str>,
    },
}

impl CloseCause {
    /// Every cause's name in metrics.
    pub const NAMES: [&'static str; 24] = [
        "client_left",
        "connection_lost",
        "heartbeats_missed",
        "revoked",
        "suspended",
        "draining",
        "replay_done",
        "expired",
        "unexpected_text",
        "unexpected_binary",
        "too_large",
        "not_utf8",
        "protocol",
        "too_far_behind",
        "taken_over",
        "shed",
        "stalled",
        "flooded",
        "committed_gap",
        "credential_expired",
        "renewal_refused",
        "denied",
        "batch_done",
        "bad_ack",
    ];

    /// The name in metrics and logs.
    pub const fn name(&self) -> &'static str {
        Self::NAMES[match self {
            Self::ClientLeft => 0,
            Self::ConnectionLost => 1,
            Self::HeartbeatsMissed { .. } => 2,
            Self::Revoked => 3,
            Self::Suspended => 4,
            Self::Draining => 5,
            Self::ReplayDone => 6,
            Self::Expired => 7,
            Self::UnexpectedText => 8,
            Self::UnexpectedBinary => 9,
            Self::TooLarge => 10,
            Self::NotUtf8 => 11,
            Self::Protocol => 12,
            Self::TooFarBehind { .. } => 13,
            Self::TakenOver => 14,
            Self::Shed => 15,
            Self::Stalled => 16,
            Self::Flooded => 17,
            Self::CommittedGap { .. } => 18,
            Self::CredentialExpired => 19,
            Self::RenewalRefused => 20,
            Self::Denied => 21,
            Self::BatchDone => 22,
            Self::BadAck => 23,
        }]
    }

    /// Returns whether what opened the stream opens it no longer.
    pub const fn is_revocation(&self) -> bool {
        matches!(
            self,
            Self::Revoked | Self::Suspended | Self::Denied | Self::CredentialExpired
        )
    }

    /// The close frame to send; none if there is nobody to send one to.
    pub fn frame(&self) -> Option<Close> {
        let (code, reason) = match self {
            Self::ClientLeft | Self::ConnectionLost => return None,
            Self::HeartbeatsMissed { missed } => (
                code::POLICY,
                format!("{missed} heartbeats were not answered: answer each 1|Z with Z"),
            ),
            Self::Revoked => (
                code::POLICY,
                "the subscription was deleted, or its key or whom it admits has changed".to_owned(),
            ),
            Self::CredentialExpired => (
                code::POLICY,
                "the token or client certificate has expired: connect again with a new one"
                    .to_owned(),
            ),
            Self::RenewalRefused => (
                code::POLICY,
                "the new token does not open this stream: connect again with a good one".to_owned(),
            ),
            Self::Suspended => (code::POLICY, "the subscription is suspended".to_owned()),
            Self::Denied => (
                code::POLICY,
                "access rules deny what the subscription asks for: see its condition Accepted"
                    .to_owned(),
            ),
            Self::TakenOver => (
                code::POLICY,
                "another client connected and this one did not answer a heartbeat".to_owned(),
            ),
            Self::Shed => (
                code::RESTART,
                "streams are spread over more gateways: connect again with the last seq + 1"
                    .to_owned(),
            ),
            Self::Draining => (
                code::AWAY,
                "the gateway is shutting down: connect again".to_owned(),
            ),
            Self::ReplayDone => (code::NORMAL, "seq_end reached".to_owned()),
            Self::BatchDone => (code::NORMAL, "limit or wait reached".to_owned()),
            Self::BadAck => (
                code::POLICY,
                "an ack must have the seq of an event that was sent on this stream".to_owned(),
            ),
            Self::Expired => (
                code::ERROR,
                "events expired in the topic before they could be sent: connect again".to_owned(),
            ),
            Self::TooFarBehind { seq_start } => (code::POLICY, behind(seq_start)),
            Self::UnexpectedText => (
                code::POLICY,
                r#"the only texts to send are Z, in answer to 1|Z (in JSON {"ack":"SEQ"}), and {"token":"JWT"}"#
                    .to_owned(),
            ),
            Self::UnexpectedBinary => (code::UNSUPPORTED, "only text is understood".to_owned()),
            Self::TooLarge => (code::SIZE, "message too large".to_owned()),
            Self::NotUtf8 => (code::INVALID, "text is not UTF-8".to_owned()),
            Self::Protocol => (code::PROTOCOL, "not the WebSocket protocol".to_owned()),
            Self::Stalled => (
                code::AGAIN,
                "nothing was read while memory is short: connect again with the last seq + 1"
                    .to_owned(),
            ),
            Self::Flooded => (
                code::POLICY,
                "too many messages: the only one to send is Z, in answer to 1|Z".to_owned(),
            ),
            Self::CommittedGap { seq_start } => (code::ERROR, expired_before(seq_start)),
        };
        Some(Close { code, reason })
    }
}

/// The protocol allows 123 bytes; the number of a topic with many partitions is longer.
fn behind(seq_start: &str) -> String {
    let number = if seq_start.len() <= 64 {
        seq_start
    } else {
        "the last seq + 1"
    };
    format!("too far behind: connect again with seq_start={number}")
}

/// The same bound, for a stream whose committed position has expired.
fn expired_before(seq_start: &str) -> String {
    let number = if seq_start.len() <= 64 {
        seq_start
    } else {
        "the earliest that is left"
    };
    format!("events before {number} have expired: connect again to go on there")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_fit_into_a_close_frame() {
        let causes = [
            CloseCause::HeartbeatsMissed { missed: u32::MAX },
            CloseCause::Revoked,
            CloseCause::CredentialExpired,
            CloseCause::RenewalRefused,
            CloseCause::UnexpectedText,
            CloseCause::Suspended,
            CloseCause::Denied,
            CloseCause::Draining,
            CloseCause::TakenOver,
            CloseCause::Shed,
            CloseCause::Expired,
            CloseCause::TooFarBehind {
                seq_start: "1".repeat(64).into(),
            },
            CloseCause::TooFarBehind {
                seq_start: "1".repeat(65).into(),
            },
            CloseCause::CommittedGap {
                seq_start: "1".repeat(64).into(),
            },
            CloseCause::CommittedGap {
                seq_start: "1".repeat(65).into(),
            },
            CloseCause::Stalled,
            CloseCause::Flooded,
            CloseCause::BatchDone,
            CloseCause::BadAck,
        ];
        for cause in causes {
            let frame = cause.frame().unwrap();
            assert!(frame.reason.len() <= 123, "{cause:?}");
        }
    }
}

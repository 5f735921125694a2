//! Close codes that a gateway sends, with their reasons, from the causes for which streams end.

use std::collections::BTreeMap;

use datastream_protocol::close::{CloseCause, is_passing};

/// A code with which a gateway closes streams (RFC 6455, section 7.4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseCode {
    /// The code.
    pub code: u16,
    /// The reasons that the gateway gives with it. Numbers in them are examples.
    pub reasons: Vec<String>,
    /// A client does well to connect again at once.
    pub is_passing: bool,
}

/// All causes, with numbers as examples.
fn causes() -> [CloseCause; CloseCause::NAMES.len()] {
    let seq_start = || "12".into();
    [
        CloseCause::ClientLeft,
        CloseCause::ConnectionLost,
        CloseCause::HeartbeatsMissed { missed: 3 },
        CloseCause::Revoked,
        CloseCause::CredentialExpired,
        CloseCause::RenewalRefused,
        CloseCause::Suspended,
        CloseCause::Denied,
        CloseCause::TakenOver,
        CloseCause::Shed,
        CloseCause::Draining,
        CloseCause::ReplayDone,
        CloseCause::BatchDone,
        CloseCause::BadAck,
        CloseCause::Expired,
        CloseCause::TooFarBehind {
            seq_start: seq_start(),
        },
        CloseCause::UnexpectedText,
        CloseCause::UnexpectedBinary,
        CloseCause::TooLarge,
        CloseCause::NotUtf8,
        CloseCause::Protocol,
        CloseCause::Stalled,
        CloseCause::Flooded,
        CloseCause::CommittedGap {
            seq_start: seq_start(),
        },
    ]
}

/// Returns the codes that a gateway closes streams with, in ascending order.
pub fn close_codes() -> Vec<CloseCode> {
    let mut reasons: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    for close in causes().iter().filter_map(CloseCause::frame) {
        reasons.entry(close.code).or_default().push(close.reason);
    }
    let codes = reasons.into_iter().map(|(code, reasons)| CloseCode {
        code,
        reasons,
        is_passing: is_passing(code),
    });
    codes.collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_cause_is_among_those_that_codes_come_from() {
        let causes = causes();
        let listed: BTreeSet<_> = causes.iter().map(CloseCause::name).collect();
        assert_eq!(listed, CloseCause::NAMES.into_iter().collect());
    }
}

//! Lists in the documents: they have all that the gateway has, and nothing else.

use std::collections::BTreeSet;

use datastream_contracts::documents::PARAMETERS;
use datastream_contracts::error_kind::{ERRORS, RetryAfter};
use datastream_gateway::{Refusal, StreamRequest};

/// Errors of the HTTP server, which no refusal of a stream has.
const ELSEWHERE: [&str; 2] = ["not_found", "method_not_allowed"];

/// A refusal of each kind.
fn refusals() -> Vec<Refusal> {
    let refusals = vec![
        Refusal::NoCredential,
        Refusal::Unauthorized,
        Refusal::TokenRefused(String::new()),
        Refusal::Forbidden(""),
        Refusal::Suspended,
        Refusal::Denied("".into()),
        Refusal::InUse { pod: None },
        Refusal::HolderUnreachable {
            pod: String::new(),
            seconds: 1,
        },
        Refusal::BadPosition {
            parameter: "",
            reason: String::new(),
        },
        Refusal::Gone {
            parameter: "",
            earliest: String::new(),
        },
        Refusal::Busy {
            limit: "",
            reason: "",
            retry_seconds: 1,
        },
        Refusal::Unavailable(""),
        Refusal::BadHandshake(""),
        Refusal::NotAcceptable,
        Refusal::BadRequest("".into()),
    ];
    for refusal in &refusals {
        // A new one is to be added above.
        match refusal {
            Refusal::NoCredential
            | Refusal::Unauthorized
            | Refusal::TokenRefused(_)
            | Refusal::Forbidden(_)
            | Refusal::Suspended
            | Refusal::Denied(_)
            | Refusal::InUse { .. }
            | Refusal::HolderUnreachable { .. }
            | Refusal::BadPosition { .. }
            | Refusal::Gone { .. }
            | Refusal::Busy { .. }
            | Refusal::Unavailable(_)
            | Refusal::BadHandshake(_)
            | Refusal::NotAcceptable
            | Refusal::BadRequest(_) => (),
        }
    }
    refusals
}

#[test]
fn errors_are_those_of_the_gateway() {
    let refusals = refusals();
    let given: BTreeSet<_> = refusals.iter().map(|r| (r.status(), r.name())).collect();
    let listed = ERRORS.iter().map(|error| (error.status, error.name));
    let listed: BTreeSet<_> = listed
        .filter(|(_, name)| !ELSEWHERE.contains(name))
        .collect();
    assert_eq!(listed, given);
    for error in ERRORS {
        let of_name = refusals
            .iter()
            .filter(|refusal| refusal.name() == error.name);
        let retries: BTreeSet<_> = of_name.map(|r| r.retry_after().is_some()).collect();
        let expected = match (retries.contains(&true), retries.contains(&false)) {
            (true, true) => RetryAfter::Sometimes,
            (true, false) => RetryAfter::Always,
            (false, _) => RetryAfter::No,
        };
        assert_eq!(error.retry_after, expected, "{}", error.name);
    }
}

#[test]
fn parameters_are_those_of_the_gateway() {
    for parameter in PARAMETERS {
        let name = parameter.name;
        let twice = StreamRequest::parse(&format!("{name}=&{name}=")).unwrap_err();
        assert!(twice.to_string().contains("twice"), "{name}: {twice}");
    }
    let listed: BTreeSet<_> = PARAMETERS.iter().map(|parameter| parameter.name).collect();
    assert_eq!(listed, StreamRequest::PARAMETERS.into());
}

//! The conditions of a status, and what many of them say.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

/// The types of the conditions, in the order in which they are written.
pub(crate) const CONDITIONS: [&str; 3] = ["Accepted", "Programmed", "Ready"];

/// Something that conditions of many subscriptions say.
#[derive(Debug)]
pub(crate) struct Usual {
    pub is_true: bool,
    pub reason: &'static str,
    pub message: &'static str,
    /// The name of the Secret comes after the message.
    names_secret: bool,
}

const fn usually(is_true: bool, reason: &'static str, message: &'static str) -> Usual {
    Usual {
        is_true,
        reason,
        message,
        names_secret: false,
    }
}

pub(crate) static ACCEPTED: Usual = Usual {
    names_secret: true,
    ..usually(true, "Accepted", "the stream key is in Secret ")
};
pub(crate) static PROGRAMMED: Usual = usually(true, "Programmed", "every live gateway serves it");
pub(crate) static NO_GATEWAYS: Usual = usually(
    false,
    "NoGateways",
    "no gateway is ready: look at the gateway pods",
);
pub(crate) static UNKNOWN: Usual =
    usually(false, "Pending", "no gateway has shown yet that it lives");
pub(crate) static NOT_PUBLISHED: Usual = usually(
    false,
    "Pending",
    "it is about to be published to the gateways",
);
pub(crate) static READY: Usual = usually(true, "Ready", "clients can connect");
pub(crate) static SUSPENDED: Usual = usually(
    false,
    "Suspended",
    "every gateway refuses its stream, as asked",
);

/// All that conditions of many subscriptions say.
pub(crate) static USUAL: [&Usual; 7] = [
    &ACCEPTED,
    &PROGRAMMED,
    &READY,
    &NO_GATEWAYS,
    &SUSPENDED,
    &UNKNOWN,
    &NOT_PUBLISHED,
];

impl Usual {
    /// The status of the condition.
    pub(crate) const fn status(&self) -> &'static str {
        status_of(self.is_true)
    }

    /// The message for a subscription with this Secret.
    pub(crate) fn message(&self, secret: &str) -> String {
        let secret = if self.names_secret { secret } else { "" };
        format!("{}{secret}", self.message)
    }

    /// Returns whether a condition of a subscription with this Secret says it.
    pub(crate) fn is_said_by(&self, condition: &Condition, secret: &str) -> bool {
        let rest = condition.message.strip_prefix(self.message);
        condition.status == self.status()
            && condition.reason == self.reason
            && rest == Some(if self.names_secret { secret } else { "" })
    }
}

/// The status of a condition.
pub(crate) const fn status_of(is_true: bool) -> &'static str {
    if is_true { "True" } else { "False" }
}

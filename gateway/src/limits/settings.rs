//! Settings of the limits.

use std::num::NonZeroU32;
use std::str::FromStr;

use super::scope::Scope;

/// A limit for each scope; none where there is none. As text, `SCOPE=NUMBER,…` as in `subscription=500,namespace=5000`, where 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerScope([Option<NonZeroU32>; Scope::ALL.len()]);

/// A text that is not a limit for each scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no limit: limits are SCOPE=NUMBER, with commas between them, where SCOPE is subscription, namespace, address or gateway, each once, and 0 is no limit"
)]
pub struct PerScopeError(String);

impl PerScope {
    /// The limit of a scope.
    pub(crate) const fn of(&self, scope: Scope) -> Option<NonZeroU32> {
        self.0[scope as usize]
    }

    /// Returns whether there is no limit at all.
    pub(crate) fn is_none(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// The smallest limit.
    fn least(&self) -> Option<u32> {
        self.0.iter().flatten().map(|limit| limit.get()).min()
    }
}

impl FromStr for PerScope {
    type Err = PerScopeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut limits = Self::default();
        let mut seen = [false; Scope::ALL.len()];
        for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let malformed = || PerScopeError(part.to_owned());
            let (name, number) = part.split_once('=').ok_or_else(malformed)?;
            let scope = Scope::ALL.into_iter().find(|scope| scope.name() == name);
            let scope = scope.ok_or_else(malformed)?;
            let number: u32 = number.parse().map_err(|_| malformed())?;
            if std::mem::replace(&mut seen[scope as usize], true) {
                return Err(malformed());
            }
            limits.0[scope as usize] = NonZeroU32::new(number);
        }
        Ok(limits)
    }
}

/// The limits of a gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Streams that may be open at once, of a namespace and from an address.
    pub streams: PerScope,
    /// Requests a second from an address, whatever they bring.
    pub requests: PerScope,
    /// Events a second that are sent.
    pub events: PerScope,
    /// KiB a second that are sent, of event frames.
    pub sent_kib: PerScope,
    /// KiB a second that are read from the topic for streams that replay or catch up.
    pub replayed_kib: PerScope,
}

/// The least rates that can be set: a batch that is sent at once, 1,024 events or a frame of 1 MiB, must not take longer than some 10 s,
/// for which the next one waits.
const LEAST_EVENTS: u32 = 100;
const LEAST_KIB: u32 = 128;

impl Limits {
    /// Checks that the limits can be kept.
    ///
    /// # Errors
    /// One that cannot, and what to set instead.
    pub fn check(&self) -> anyhow::Result<()> {
        let only = |limits: PerScope, scopes: &[Scope], flag: &str| {
            let others = Scope::ALL.into_iter().filter(|s| !scopes.contains(s));
            let mut others = others.filter(|scope| limits.of(*scope).is_some());
            let names: Vec<_> = scopes.iter().map(|scope| scope.name()).collect();
            match others.next() {
                None => Ok(()),
                Some(other) => anyhow::bail!(
                    "{flag}: there is no limit for each {}: set one for {}",
                    other.name(),
                    names.join(" or ")
                ),
            }
        };
        only(
            self.streams,
            &[Scope::Namespace, Scope::Address],
            "--limit-streams",
        )?;
        only(self.requests, &[Scope::Address], "--limit-requests")?;
        for (limits, least, flag) in [
            (self.events, LEAST_EVENTS, "--limit-events"),
            (self.sent_kib, LEAST_KIB, "--limit-sent-kib"),
            (self.replayed_kib, LEAST_KIB, "--limit-replayed-kib"),
        ] {
            if let Some(lowest) = limits.least().filter(|lowest| *lowest < least) {
                anyhow::bail!(
                    "{flag}: {lowest} a second is too little to send what comes at once: set {least} or more"
                );
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_by_scope_and_zero_is_none() {
        let limits: PerScope = "subscription=500, gateway=9,namespace=0".parse().unwrap();
        let of = |scope| limits.of(scope).map(NonZeroU32::get);
        assert_eq!(of(Scope::Subscription), Some(500));
        assert_eq!(of(Scope::Gateway), Some(9));
        assert_eq!((of(Scope::Namespace), of(Scope::Address)), (None, None));
        assert!("".parse::<PerScope>().unwrap().is_none());
        for bad in [
            "500",
            "pod=1",
            "address=-1",
            "address=1,address=2",
            "address=",
        ] {
            let error = bad.parse::<PerScope>().unwrap_err().to_string();
            let last = bad.rsplit(',').next().unwrap();
            assert!(
                error.starts_with(&format!("{last:?} is no limit")),
                "{error}"
            );
        }
    }

    #[test]
    fn limits_that_cannot_be_kept_are_refused_by_name() {
        let refused = |limits: Limits| limits.check().unwrap_err().to_string();
        let streams = refused(Limits {
            streams: "gateway=5".parse().unwrap(),
            ..Limits::default()
        });
        assert_eq!(
            streams,
            "--limit-streams: there is no limit for each gateway: set one for namespace or address"
        );
        let events = refused(Limits {
            events: "namespace=1000,address=99".parse().unwrap(),
            ..Limits::default()
        });
        assert!(
            events.starts_with("--limit-events: 99 a second"),
            "{events}"
        );
        Limits::default().check().unwrap();
    }
}

//! One stream per subscription among all gateways, as `docs/decisions/0006` promises it: two gateways serve one at the same time
//! only if one of them could not be asked when the other began, and not for long after all is well.

use std::fmt;
use std::time::{Duration, Instant};

/// Time that passes between a gateway's last message and a client's record of it.
const SLACK: Duration = Duration::from_millis(700);
/// Time within which, once nothing is done to two gateways any more, one of them must have found out that the stream is the
/// other's: it renews its own Lease, looks every second, and a request to the API server takes 5 s at most.
const FOUND_OUT: Duration = Duration::from_secs(12);

/// A stream that a client had, as far as what it got proves it.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    pub subscription: usize,
    pub gateway: usize,
    /// The time at which the client asked for it.
    pub asked: Instant,
    pub opened: Instant,
    /// The time at which the last frame came.
    pub last: Instant,
}

/// A disruption that a gateway can be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disruption {
    /// Other gateways cannot ask it.
    Unreachable,
    /// Its clients cannot answer it, or what it has sent comes late.
    Deaf,
    /// It cannot read or write claims, or not all of them, nor hear of other gateways.
    NoApi,
    /// It has ended. Whoever cannot hear of other gateways does not know of the next one in its place.
    Ended,
}

/// A time in which a gateway was in disruption.
#[derive(Clone, Debug)]
pub(crate) struct Disrupted {
    pub gateway: usize,
    pub disruption: Disruption,
    pub from: Instant,
    /// End; absent while it lasts.
    pub until: Option<Instant>,
    /// Description for people.
    pub what: String,
}

impl Disrupted {
    fn meets(&self, from: Instant, until: Instant) -> bool {
        self.from <= until && self.until.is_none_or(|end| end >= from)
    }
}

/// Two streams of one subscription at the same time that nothing explains.
pub(crate) struct Overlap {
    one: Served,
    other: Served,
    around: Vec<Disrupted>,
    why: &'static str,
}

/// Checks all streams. Returns how many served at the same time as another one for a reason that is allowed.
pub(crate) fn check_claims(
    served: &[Served],
    disrupted: &[Disrupted],
) -> Result<usize, Box<Overlap>> {
    let mut sorted: Vec<_> = served.iter().collect();
    sorted.sort_by_key(|s| s.opened);
    let mut explained = 0;
    for (index, other) in sorted.iter().enumerate() {
        let before = sorted[..index].iter();
        let overlapping = before.filter(|one| {
            one.subscription == other.subscription && one.last > other.opened + SLACK
        });
        for one in overlapping {
            let around = || {
                let meets = |t: &&Disrupted| t.meets(one.opened, one.last.max(other.last));
                let gateways = [one.gateway, other.gateway];
                let all = disrupted.iter().filter(|t| gateways.contains(&t.gateway));
                all.filter(meets).cloned().collect()
            };
            let fail = |why| {
                Box::new(Overlap {
                    one: (*one).clone(),
                    other: (*other).clone(),
                    around: around(),
                    why,
                })
            };
            if !may_begin(one, other, disrupted) {
                return Err(fail("the gateway of the first could be asked"));
            }
            if !may_last(one, other, disrupted) {
                return Err(fail("nothing was wrong any more"));
            }
            explained += 1;
        }
    }
    Ok(explained)
}

/// Time it may take, on a busy machine, until others know of a gateway that was started.
const KNOWN_AFTER: Duration = Duration::from_secs(5);

/// Two times without the API server so close to each other are one: what was missed was not made up for in between. A gateway
/// tries again within 5 s.
const CATCHES_UP: Duration = Duration::from_secs(8);

/// Time since which a gateway had heard nothing of others, nor they of it, when a stream was taken, if so.
fn blind_since(gateway: usize, taken: &Served, disrupted: &[Disrupted]) -> Option<Instant> {
    let none = |t: &&Disrupted| t.gateway == gateway && t.disruption == Disruption::NoApi;
    let outages = || disrupted.iter().filter(none);
    let now = outages().filter(|t| t.meets(taken.asked, taken.opened));
    let mut since = now.map(|t| t.from).min()?;
    let joins = |t: &&Disrupted, since: Instant| {
        t.from < since && t.until.is_some_and(|until| until + CATCHES_UP >= since)
    };
    while let Some(before) = outages().find(|t| joins(t, since)) {
        since = before.from;
    }
    Some(since)
}

fn may_begin(one: &Served, other: &Served, disrupted: &[Disrupted]) -> bool {
    let of = |served: &Served| served.gateway;
    let meets = |disruption: Disruption, gateway: usize, from: Instant, until: Instant| {
        let mut same = disrupted
            .iter()
            .filter(|t| (t.gateway, t.disruption) == (gateway, disruption));
        same.any(|t| t.meets(from, until))
    };
    // `asker` could not ask the gateway of `asked`, or did not know of it.
    let unasked = |asker: &Served, asked: &Served| {
        let reached = |gateway| !meets(Disruption::Unreachable, gateway, asker.asked, asker.opened);
        // The one cannot read of the next process, or that one cannot say that it is there.
        let blind = [of(asker), of(asked)].map(|gateway| blind_since(gateway, asker, disrupted));
        let unknown = |t: &Disrupted| {
            let was_missed =
                |since: &Instant| t.until.is_none_or(|until| until + KNOWN_AFTER >= *since);
            (t.gateway, t.disruption) == (of(asked), Disruption::Ended)
                && t.from <= asker.opened
                && blind.iter().flatten().any(was_missed)
        };
        !reached(of(asked)) || !reached(of(asker)) || disrupted.iter().any(unknown)
    };
    // The first was taken without a claim, which could not be written yet, and the other gateway did not learn of it.
    let unreported = || {
        let written_by = other.opened.checked_sub(FOUND_OUT).unwrap_or(one.opened);
        meets(Disruption::NoApi, of(one), one.asked, one.opened)
            && meets(Disruption::NoApi, of(one), written_by, other.opened)
            && unasked(one, other)
    };
    unasked(other, one) || unreported() || meets(Disruption::Deaf, of(one), one.opened, one.last)
}

fn may_last(one: &Served, other: &Served, disrupted: &[Disrupted]) -> bool {
    let both_until = one.last.min(other.last);
    let Some(since) = both_until.checked_sub(FOUND_OUT) else {
        return true;
    };
    other.opened >= since
        || disrupted.iter().any(|t| {
            [one.gateway, other.gateway].contains(&t.gateway) && t.meets(since, both_until)
        })
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = self.one.asked;
        let at = |t: Instant| {
            let ahead = t.saturating_duration_since(origin).as_secs_f64();
            ahead - origin.saturating_duration_since(t).as_secs_f64()
        };
        writeln!(
            f,
            "subscription {} was served twice at the same time, although {}; seconds since the first was asked for:",
            self.one.subscription, self.why
        )?;
        for served in [&self.one, &self.other] {
            let Served {
                gateway,
                asked,
                opened,
                last,
                ..
            } = served;
            let [asked, opened, last] = [asked, opened, last].map(|t| at(*t));
            writeln!(
                f,
                "  gateway {gateway}: asked {asked:.2}, opened {opened:.2}, last frame {last:.2}"
            )?;
        }
        for disruption in &self.around {
            let (from, until) = (at(disruption.from), disruption.until.map(at));
            writeln!(
                f,
                "  gateway {} {:?} from {from:.2} to {until:.2?}: {}",
                disruption.gateway, disruption.disruption, disruption.what
            )?;
        }
        Ok(())
    }
}

impl fmt::Debug for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Clock(Instant);

    impl Clock {
        fn at(&self, seconds: f64) -> Instant {
            self.0 + Duration::from_secs_f64(seconds)
        }

        fn served(&self, gateway: usize, opened: f64, last: f64) -> Served {
            Served {
                subscription: 0,
                gateway,
                asked: self.at(opened - 0.1),
                opened: self.at(opened),
                last: self.at(last),
            }
        }

        fn disrupted(
            &self,
            gateway: usize,
            disruption: Disruption,
            from: f64,
            until: f64,
        ) -> Disrupted {
            Disrupted {
                gateway,
                disruption,
                from: self.at(from),
                until: Some(self.at(until)),
                what: String::new(),
            }
        }
    }

    #[test]
    fn overlapping_streams_are_violations_unless_a_gateway_was_unreachable() {
        let clock = Clock(Instant::now() + Duration::from_secs(100));
        let both = [clock.served(0, 10.0, 20.0), clock.served(1, 15.0, 30.0)];
        assert!(check_claims(&both, &[]).is_err());
        let one_after_the_other = [clock.served(0, 10.0, 20.0), clock.served(1, 20.0, 30.0)];
        assert_eq!(check_claims(&one_after_the_other, &[]).unwrap(), 0);
        let of_two = [
            both[0].clone(),
            Served {
                subscription: 1,
                ..both[1].clone()
            },
        ];
        assert_eq!(check_claims(&of_two, &[]).unwrap(), 0);
        let explains = |gateway, disruption, from, until| {
            let disrupted = clock.disrupted(gateway, disruption, from, until);
            check_claims(&both, &[disrupted]).is_ok()
        };
        assert!(explains(0, Disruption::Unreachable, 14.0, 16.0));
        assert!(explains(0, Disruption::Deaf, 12.0, 13.0));
        assert!(!explains(0, Disruption::Ended, 6.0, 7.0));
        for (blind, found) in [
            ((6.5, 15.0), true),
            ((11.5, 15.0), true),
            ((12.5, 15.0), false),
            ((6.5, 11.0), false),
        ] {
            for gateway in [0, 1] {
                let ended = clock.disrupted(0, Disruption::Ended, 6.0, 7.0);
                let blind = clock.disrupted(gateway, Disruption::NoApi, blind.0, blind.1);
                assert_eq!(check_claims(&both, &[ended, blind]).is_ok(), found);
            }
        }
        assert!(!explains(0, Disruption::Unreachable, 12.0, 13.0));
        assert!(!explains(0, Disruption::NoApi, 14.0, 16.0));
        assert!(!explains(1, Disruption::Deaf, 12.0, 16.0));
        assert!(!explains(2, Disruption::Unreachable, 14.0, 16.0));
        assert!(!explains(1, Disruption::Unreachable, 9.0, 11.0));
        for (without, found) in [
            ((9.0, 16.0), true),
            ((9.0, 9.5), false),
            ((11.0, 16.0), false),
        ] {
            let unasked = clock.disrupted(1, Disruption::Unreachable, 9.0, 11.0);
            let without = clock.disrupted(0, Disruption::NoApi, without.0, without.1);
            assert_eq!(check_claims(&both, &[unasked, without]).is_ok(), found);
        }
    }

    #[test]
    fn overlapping_streams_are_violations_once_the_fault_is_over() {
        let clock = Clock(Instant::now() + Duration::from_secs(100));
        let both = [clock.served(0, 10.0, 40.0), clock.served(1, 15.0, 45.0)];
        let began = clock.disrupted(0, Disruption::Unreachable, 14.0, 16.0);
        assert!(check_claims(&both, std::slice::from_ref(&began)).is_err());
        for (gateway, until, found) in [(0, 30.0, true), (1, 30.0, true), (0, 20.0, false)] {
            let lasts = clock.disrupted(gateway, Disruption::NoApi, 14.0, until);
            let all = [began.clone(), lasts];
            assert_eq!(check_claims(&both, &all).is_ok(), found);
        }
    }
}

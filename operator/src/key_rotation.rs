//! Rules for the replacement of a stream key, and for how long the one before it stays good.

use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::stream_secret::{Notes, ObservedSecret, PreviousKey, REQUEST_CHARS, ROTATE};

/// Time for which the key before stays good, unless the subscription says otherwise.
const OVERLAP: SignedDuration = SignedDuration::from_hours(24);

/// Longest time without another look: no timer has to reach far, and a clock that is set is noticed.
const LOOK_AGAIN: Duration = Duration::from_hours(24);

/// The wishes of a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyRotation {
    /// The age at which a key is replaced, if it is by itself.
    every: Option<SignedDuration>,
    overlap: SignedDuration,
    /// The value of the annotation.
    request: Option<String>,
}

/// Decision on the key in a Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It stays, with what is to be noted.
    Keep(Notes),
    /// It is replaced.
    Replace(Notes),
}

impl KeyRotation {
    /// Reads the wishes of a subscription: `spec.keyRotation`, and the value of the annotation [`ROTATE`](crate::stream_secret::ROTATE).
    ///
    /// # Errors
    /// The path of a field that is wrong, and why.
    pub(crate) fn of(
        spec: Option<&datastream_crds::KeyRotation>,
        request: Option<&str>,
    ) -> Result<Self, (String, String)> {
        const EVERY: &str = "spec.keyRotation.every";
        let read = |path, text: Option<&String>| {
            let read = text.map(|text| duration(text)).transpose();
            read.map_err(|reason| (String::from(path), reason))
        };
        let every = read(EVERY, spec.and_then(|s| s.every.as_ref()))?;
        let overlap = read(
            "spec.keyRotation.overlap",
            spec.and_then(|s| s.overlap.as_ref()),
        )?;
        let overlap = overlap.unwrap_or(OVERLAP);
        if let Some(every) = every
            && every <= overlap
        {
            let reason = format!(
                "must be longer than overlap ({overlap:#}), or more than two keys would be good at once"
            );
            return Err((EVERY.to_owned(), reason));
        }
        if request.is_some_and(|request| request.chars().nth(REQUEST_CHARS).is_some()) {
            let reason = format!(
                "has more than {REQUEST_CHARS} characters: any text that is not the last one asks for a new key, such as the time"
            );
            return Err((format!("metadata.annotations[{ROTATE}]"), reason));
        }
        Ok(Self {
            every,
            overlap,
            request: request.map(str::to_owned),
        })
    }

    /// Notes for a Secret whose key is a new one without a predecessor.
    pub(crate) fn first(&self, now: Timestamp) -> Notes {
        Notes {
            issued: self.every.map(|_| whole(now)),
            previous: None,
            request: self.request.clone(),
        }
    }

    /// Decides on the key in a Secret. Times of another clock, ahead of this one, count as now.
    pub(crate) fn decide(&self, found: &ObservedSecret, now: Timestamp) -> Decision {
        let notes = found.notes();
        let issued = notes.issued.map(|issued| issued.min(whole(now)));
        let request = self.request.clone().or_else(|| notes.request.clone());
        let is_asked = self.request.is_some() && self.request != notes.request;
        let is_old = issued
            .zip(self.every)
            .is_some_and(|(issued, every)| now >= after(issued, every));
        if is_asked || is_old {
            let until = after(whole(now), self.overlap);
            let hash = found.key.as_ref().map(Into::into);
            let previous = hash.map(|hash| PreviousKey { hash, until });
            return Decision::Replace(Notes {
                issued: Some(whole(now)),
                previous: previous.filter(|_| !self.overlap.is_zero()),
                request,
            });
        }
        let previous = notes.previous.clone();
        // An overlap that was shortened ends earlier.
        let is_good = |previous: &PreviousKey| {
            let shortened = issued.is_some_and(|issued| now >= after(issued, self.overlap));
            now < previous.until && !shortened
        };
        Decision::Keep(Notes {
            issued: issued.or_else(|| self.every.map(|_| whole(now))),
            previous: previous.filter(is_good),
            request,
        })
    }

    /// The time until there is something to decide again, for a Secret with these notes.
    pub(crate) fn next(&self, notes: &Notes, now: Timestamp) -> Option<Duration> {
        let replaced = notes
            .issued
            .zip(self.every)
            .map(|(issued, every)| after(issued, every));
        let ended = notes.previous.as_ref().map(|previous| {
            let shortened = notes.issued.map(|issued| after(issued, self.overlap));
            shortened.map_or(previous.until, |shortened| shortened.min(previous.until))
        });
        let next = replaced.into_iter().chain(ended).min()?;
        let wait = Duration::try_from(next.duration_since(now)).unwrap_or(Duration::ZERO);
        Some(wait.min(LOOK_AGAIN))
    }
}

/// A time in whole seconds, as it is written.
fn whole(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

fn after(time: Timestamp, duration: SignedDuration) -> Timestamp {
    time.checked_add(duration).unwrap_or(Timestamp::MAX)
}

fn duration(text: &str) -> Result<SignedDuration, String> {
    let read: Result<SignedDuration, _> = text.parse();
    match read {
        Ok(duration) if !duration.is_negative() => Ok(duration),
        _ => Err(format!("{text:?} is no duration, as in 720h or 90m")),
    }
}

#[cfg(test)]
mod tests {
    use datastream_protocol::StreamKey;
    use datastream_routing::KeyHash;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::stream_secret::kept_request;

    const HOUR: i64 = 3600;

    fn rotation(spec: &serde_json::Value, request: Option<&str>) -> KeyRotation {
        KeyRotation::of(wishes(spec).as_ref(), request).unwrap()
    }

    fn wishes(spec: &serde_json::Value) -> Option<datastream_crds::KeyRotation> {
        serde_json::from_value(spec.clone()).unwrap()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn secret(notes: Notes) -> ObservedSecret {
        ObservedSecret {
            key: Some(StreamKey::from_random([7; 16])),
            notes: Some(Box::new(notes)),
            ..ObservedSecret::default()
        }
    }

    fn hash() -> KeyHash {
        (&StreamKey::from_random([7; 16])).into()
    }

    #[test]
    fn without_wishes_nothing_is_written_and_nothing_is_due() {
        let rotation = rotation(&json!(null), None);
        let notes = rotation.first(at(0));
        assert_eq!(notes, Notes::default());
        let kept = rotation.decide(&secret(Notes::default()), at(0));
        assert_eq!(kept, Decision::Keep(Notes::default()));
        assert_eq!(rotation.next(&notes, at(0)), None);
    }

    #[test]
    fn a_key_is_replaced_at_its_age_and_the_one_before_ends_with_the_overlap() {
        let rotation = rotation(&json!({"every": "720h", "overlap": "2h"}), None);
        let notes = rotation.first(at(0));
        let month = 720 * HOUR;
        assert_eq!(
            rotation.next(&notes, at(month - 9)),
            Some(Duration::from_secs(9))
        );
        assert_eq!(rotation.next(&notes, at(0)), Some(LOOK_AGAIN));
        let kept = rotation.decide(&secret(notes.clone()), at(month - 1));
        assert_eq!(kept, Decision::Keep(notes.clone()));
        let replaced = Notes {
            issued: Some(at(month)),
            previous: Some(PreviousKey {
                hash: hash(),
                until: at(month + 2 * HOUR),
            }),
            request: None,
        };
        let decision = rotation.decide(&secret(notes), at(month));
        assert_eq!(decision, Decision::Replace(replaced.clone()));
        assert_eq!(
            rotation.next(&replaced, at(month)),
            Some(Duration::from_hours(2))
        );
        let kept = rotation.decide(&secret(replaced.clone()), at(month + 2 * HOUR - 1));
        assert_eq!(kept, Decision::Keep(replaced.clone()));
        let ended = Notes {
            previous: None,
            ..replaced.clone()
        };
        let kept = rotation.decide(&secret(replaced), at(month + 2 * HOUR));
        assert_eq!(kept, Decision::Keep(ended));
    }

    #[test]
    fn a_changed_annotation_asks_for_a_new_key_once() {
        let notes = rotation(&json!(null), Some("1")).first(at(0));
        assert_eq!(notes.request.as_deref(), Some("1"));
        let again = rotation(&json!(null), Some("1")).decide(&secret(notes.clone()), at(9));
        assert_eq!(again, Decision::Keep(notes.clone()));
        let removed = rotation(&json!(null), None).decide(&secret(notes.clone()), at(9));
        assert_eq!(removed, Decision::Keep(notes.clone()));
        let Decision::Replace(replaced) =
            rotation(&json!(null), Some("2")).decide(&secret(notes), at(9))
        else {
            panic!("kept");
        };
        assert_eq!(replaced.previous.unwrap().until, at(9 + 24 * HOUR));
        assert_eq!(replaced.request.as_deref(), Some("2"));
    }

    #[test]
    fn an_overlap_of_nothing_revokes_the_key_before_at_once_then_and_later() {
        let none = rotation(&json!({"overlap": "0s"}), Some("1"));
        let Decision::Replace(replaced) = none.decide(&secret(Notes::default()), at(0)) else {
            panic!("kept");
        };
        assert_eq!(replaced.previous, None);
        let overlapping = Notes {
            issued: Some(at(0)),
            previous: Some(PreviousKey {
                hash: hash(),
                until: at(24 * HOUR),
            }),
            request: Some("1".to_owned()),
        };
        let Decision::Keep(kept) = none.decide(&secret(overlapping), at(1)) else {
            panic!("replaced");
        };
        assert_eq!(kept.previous, None);
    }

    #[test]
    fn times_of_a_clock_that_is_ahead_count_as_now() {
        let rotation = rotation(&json!({"every": "2h", "overlap": "1h"}), None);
        let ahead = Notes {
            issued: Some(at(1_000_000)),
            ..Notes::default()
        };
        let kept = rotation.decide(&secret(ahead), at(0));
        assert_eq!(
            kept,
            Decision::Keep(Notes {
                issued: Some(at(0)),
                ..Notes::default()
            })
        );
    }

    #[test]
    fn wrong_durations_are_named() {
        let fault = |spec| KeyRotation::of(wishes(&spec).as_ref(), None).unwrap_err();
        assert_eq!(
            fault(json!({"every": "a month"})).0,
            "spec.keyRotation.every"
        );
        assert_eq!(
            fault(json!({"overlap": "-1h"})).0,
            "spec.keyRotation.overlap"
        );
        let (path, reason) = fault(json!({"every": "24h"}));
        assert!(
            path == "spec.keyRotation.every" && reason.contains("longer than overlap (24h)"),
            "{reason}"
        );
    }

    #[test]
    fn a_request_that_is_too_long_is_refused_also_by_what_is_kept_of_it() {
        let longest = "ä".repeat(REQUEST_CHARS);
        assert_eq!(kept_request(&longest), longest);
        assert!(KeyRotation::of(None, Some(&longest)).is_ok());
        let longer = "ä".repeat(100_000);
        assert_eq!(kept_request(&longer).chars().count(), REQUEST_CHARS + 1);
        for request in [longer.as_str(), kept_request(&longer)] {
            let (path, reason) = KeyRotation::of(None, Some(request)).unwrap_err();
            assert_eq!(path, "metadata.annotations[datastream.dev/rotate-key]");
            assert!(
                reason.starts_with("has more than 256 characters"),
                "{reason}"
            );
        }
    }

    proptest! {
        /// Whenever it is looked at, there are never more than two keys, and none is good for longer than it may be.
        #[test]
        fn keys_end_in_time_however_often_they_are_looked_at(
            every in 2..100_i64, overlap in 0..100_i64, looks in proptest::collection::vec(0..7_200_i64, 1..100),
        ) {
            prop_assume!(overlap < every);
            let spec = json!({"every": format!("{every}m"), "overlap": format!("{overlap}m")});
            let rotation = rotation(&spec, None);
            let (mut now, mut notes) = (0, rotation.first(at(0)));
            for look in looks {
                now += look;
                // Looked at no later than when it asks for it.
                let due = rotation.next(&notes, at(now - look)).unwrap().as_secs() as i64;
                now = now.min(now - look + due);
                let (Decision::Keep(decided) | Decision::Replace(decided)) = rotation.decide(&secret(notes.clone()), at(now));
                let age = now - (decided.issued.unwrap().as_second() - at(0).as_second());
                prop_assert!(age < every * 60, "a key of {age} s");
                if let Some(previous) = &decided.previous {
                    prop_assert!(at(now) < previous.until && age < overlap * 60);
                }
                notes = decided;
            }
        }
    }
}

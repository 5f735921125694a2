//! The time from which stored events are wanted.

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

/// The RFC 3339 time that `text` means: such a time itself, or how long before `now`, as in `15m`, `2h` or `1d`.
///
/// # Errors
/// The text is neither.
pub(super) fn since(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let ago = text.parse::<Span>().map_err(|_| {
        "a time (2026-11-24T08:00:00Z), or how long ago (30s, 15m, 2h, 1d)".to_owned()
    })?;
    let before = now.to_zoned(TimeZone::UTC).checked_sub(ago.abs());
    before
        .map(|time| time.timestamp())
        .map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_accepts_a_time_or_an_age() {
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        let now = time("2026-11-24T12:00:00Z");
        for (text, expected) in [
            ("2026-11-24T08:00:00+01:00", "2026-11-24T07:00:00Z"),
            ("15m", "2026-11-24T11:45:00Z"),
            ("2h30m", "2026-11-24T09:30:00Z"),
            ("1d", "2026-11-23T12:00:00Z"),
        ] {
            assert_eq!(since(text, now), Ok(time(expected)), "{text}");
        }
        for text in ["", "yesterday", "15", "99999y"] {
            assert!(since(text, now).is_err(), "{text}");
        }
    }
}

//! Sizes and durations as people write them.

use std::time::Duration;

use jiff::SignedDuration;

/// `1048576`, `512Ki`, `64Mi`, `1Gi`.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let shift = match unit {
        "" => 0,
        "Ki" => 10,
        "Mi" => 20,
        "Gi" => 30,
        _ => return Err(no_size(text)),
    };
    let number: u64 = number.parse().map_err(|_| no_size(text))?;
    match number.checked_mul(1 << shift) {
        Some(bytes) if bytes > 0 => Ok(bytes),
        _ => Err(no_size(text)),
    }
}

fn no_size(text: &str) -> String {
    format!("{text:?} is no size: write a number of bytes, or 512Ki, 64Mi, 1Gi")
}

/// Ten years.
const LONGEST: Duration = Duration::from_hours(10 * 366 * 24);

/// `30s`, `15m`, `1h 30m`, `24h`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<SignedDuration>().ok();
    parsed
        .and_then(|d| Duration::try_from(d).ok())
        .filter(|d| (Duration::from_secs(1)..=LONGEST).contains(d))
        .ok_or_else(|| {
            format!("{text:?} is no duration of a second or more, and at most 10 years: write 30s, 15m, 1h or 24h")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_parsed_with_their_units() {
        for (text, expected) in [
            ("1", 1),
            ("512Ki", 512 << 10),
            ("64Mi", 64 << 20),
            ("2Gi", 2 << 30),
        ] {
            assert_eq!(bytes(text), Ok(expected));
        }
        for text in ["", "0", "-1", "1.5Mi", "64MB", "Mi", "99999999999Gi"] {
            assert!(bytes(text).unwrap_err().contains("is no size"), "{text}");
        }
    }

    #[test]
    fn durations_are_parsed_with_their_units() {
        for (text, seconds) in [("30s", 30), ("15m", 900), ("1h 30m", 5400), ("24h", 86400)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)));
        }
        for text in ["", "0s", "10", "-1h", "soon", "10ms"] {
            assert!(
                duration(text).unwrap_err().contains("is no duration"),
                "{text}"
            );
        }
    }
}

//! Numbers for people.

/// A count: grouped by thousands from 1,000 on, with decimals below 10.
pub(super) fn count(value: f64) -> String {
    if value > 0.0 && value < 10.0 && value.fract() != 0.0 {
        return decimals(value, 2);
    }
    if value >= 1e15 {
        return format!("{value:.1e}");
    }
    let digits = format!("{value:.0}");
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Cores, with two decimals.
pub(super) fn cores(value: f64) -> String {
    if value >= 1000.0 {
        count(value)
    } else if value > 0.0 && value < 0.01 {
        "less than 0.01".to_owned()
    } else {
        format!("{value:.2}")
    }
}

/// Cores of a pod.
pub(super) fn whole_cores(number: u32) -> String {
    match number {
        1 => "1 core".to_owned(),
        _ => format!("{number} cores"),
    }
}

/// Bytes, in units of 1,000.
pub(super) fn bytes(value: f64) -> String {
    for (unit, name) in [(1e9, "GB"), (1e6, "MB"), (1e3, "kB")] {
        if value >= unit {
            let value = value / unit;
            let digits = usize::from(value < 10.0);
            return if value >= 1000.0 {
                format!("{} {name}", count(value))
            } else {
                format!("{value:.digits$} {name}")
            };
        }
    }
    format!("{value:.0} B")
}

/// A number with so many decimals at the most.
fn decimals(value: f64, most: usize) -> String {
    let text = format!("{value:.most$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_grouped() {
        for (value, text) in [
            (0.0, "0"),
            (0.5, "0.5"),
            (1.25, "1.25"),
            (20.0, "20"),
            (999.0, "999"),
            (1_000.0, "1,000"),
            (1_234_567.0, "1,234,567"),
            (1e19, "1.0e19"),
        ] {
            assert_eq!(count(value), text);
        }
        assert_eq!(
            [0.0, 0.004, 1.456, 12_345.0].map(cores),
            ["0.00", "less than 0.01", "1.46", "12,345"]
        );
        assert_eq!(
            [12.0, 1_500.0, 98e6, 1.25e9].map(bytes),
            ["12 B", "1.5 kB", "98 MB", "1.2 GB"]
        );
    }
}

//! Values of tables, between their rows, too.

use super::costs::Table;

/// The value at `at`: on a straight line between the nearest rows on logarithmic scales, and outside of the table that of its end.
pub(super) fn value(table: Table, at: f64) -> f64 {
    let above = table.iter().position(|(place, _)| *place > at);
    let ((low, from), (high, to)) = match (above, table.last()) {
        (Some(0), _) => return table.first().map_or(0.0, |(_, value)| *value),
        (Some(above), _) => (table[above - 1], table[above]),
        (None, last) => return last.map_or(0.0, |(_, value)| *value),
    };
    between((low, from), (high, to), at)
}

/// The time of one of so many things a second. All of them together never take less than fewer of them would: what is saved by handling
/// many at once is counted, but no more.
pub(super) fn time(table: Table, rate: f64) -> f64 {
    let fewer = table.iter().take_while(|(place, _)| *place < rate);
    let least = fewer.map(|(place, value)| place * value / rate);
    least.fold(value(table, rate), f64::max)
}

/// The value at `at` on the line through two points, on logarithmic scales.
pub(super) fn between((low, from): (f64, f64), (high, to): (f64, f64), at: f64) -> f64 {
    let part = (at / low).ln() / (high / low).ln();
    from * (to / from).powf(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_on_logarithmic_lines_and_constant_outside_of_the_table() {
        let table: Table = &[(10.0, 1.0), (1_000.0, 100.0)];
        for (at, expected) in [
            (0.0, 1.0),
            (10.0, 1.0),
            (100.0, 10.0),
            (1_000.0, 100.0),
            (f64::MAX, 100.0),
        ] {
            assert!((value(table, at) - expected).abs() < 1e-9, "{at}");
        }
    }

    #[test]
    fn more_never_take_less_time_in_all() {
        let table: Table = &[(10.0, 100.0), (100.0, 1.0)];
        for (rate, expected) in [(0.0, 100.0), (10.0, 100.0), (100.0, 10.0), (1_000.0, 1.0)] {
            assert!((time(table, rate) - expected).abs() < 1e-9, "{rate}");
        }
    }
}

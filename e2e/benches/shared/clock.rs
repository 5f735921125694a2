//! The clock of this process.

use std::sync::LazyLock;
use std::time::Instant;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Microseconds, with the same number of digits all the time: JSON has no leading zeros.
pub(crate) fn clock() -> u64 {
    1_000_000_000_000 + START.elapsed().as_micros() as u64
}

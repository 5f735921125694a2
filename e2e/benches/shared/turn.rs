//! The measurement of a server during a turn of the load generator.

use std::time::{Duration, Instant};

use crate::figures;
use crate::generator::Generator;
use crate::pattern::Pattern;
use crate::process::{cpu_seconds, cpu_ticks};

/// Time in which a server settles, without clients and with them, before memory is looked at.
pub(crate) const STARTING: Duration = Duration::from_secs(3);
pub(crate) const SETTLING: Duration = Duration::from_secs(2);
/// Ticks of [`cpu_ticks`] in a second.
const TICKS: f64 = 100.0;

/// The figures of a turn, by their names, and what went wrong in it.
pub(crate) struct Turn {
    pub(crate) figures: [(&'static str, f64); 9],
    pub(crate) deliveries: u64,
    /// CPU time of the server, in seconds.
    #[allow(dead_code, reason = "not every bench asks")]
    pub(crate) cpu: f64,
    /// Deliveries that have not come, or too often.
    pub(crate) wrong: u64,
    /// Connections that the server has closed.
    pub(crate) closed: usize,
}

/// Sends events to the server of this process for this time, and waits for all deliveries.
pub(crate) fn measure(
    generator: &mut Generator,
    (pid, crowd): (u32, usize),
    pattern: Pattern,
    time: Duration,
) -> Turn {
    let me = std::process::id();
    let usage = || (cpu_seconds(pid), cpu_ticks(me), cpu_ticks(pid));
    let start = Instant::now();
    let (cpu, own, ticks) = usage();
    let delivered = generator.turn(crowd, pattern, time);
    let (cpu_after, own_after, ticks_after) = usage();
    let wall = start.elapsed().as_secs_f64();
    let cpu = cpu_after - cpu;
    let [user, system] = [0, 1].map(|at| ticks_after[at] - ticks[at]);
    let own: f64 = [0, 1].map(|at| own_after[at] - own[at]).iter().sum();
    // Ticks are coarse: they only say how the exact time is to be split.
    let user = user / (user + system).max(1.0);
    let per_million = cpu * 1e6 / delivered.deliveries as f64;
    let age = |quantile: f64| {
        let at = (delivered.ages.len() as f64 * quantile) as usize;
        let age = delivered.ages.get(at).or(delivered.ages.last());
        age.map_or(f64::NAN, |age| f64::from(*age) / 1000.0)
    };
    Turn {
        figures: [
            (figures::CPU, per_million),
            (figures::CPU_USER, per_million * user),
            (figures::CPU_SYSTEM, per_million * (1.0 - user)),
            (figures::P50, age(0.5)),
            (figures::P99, age(0.99)),
            (figures::P999, age(0.999)),
            (
                figures::RATE,
                delivered.deliveries as f64 / delivered.seconds,
            ),
            (figures::SERVER_BUSY, cpu / wall),
            (figures::LOAD_BUSY, own / TICKS / wall),
        ],
        deliveries: delivered.deliveries,
        cpu,
        wrong: delivered.wrong,
        closed: delivered.closed,
    }
}

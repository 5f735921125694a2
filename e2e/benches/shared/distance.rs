//! The distance between two cores.
//!
//! A hypervisor moves virtual cores: a cache line takes 13 ns from one to the other on one machine, as between threads of one core, 25 as
//! where a cache is shared, or 160 as where none is. In the last case, what the kernel hands from one to the other takes up to twice the
//! time: more than most servers differ.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::cores::Cores;

/// Times that a cache line goes to the other core and back in a sample, and samples, of which the shortest counts.
const TRIPS: u32 = 10_000;
const SAMPLES: usize = 3;
/// The most that near cores take, in times of the least that was seen, which may be that of threads of one core.
pub(crate) const NEAR: f64 = 4.0;
/// Time for which is waited in a run, and between two looks.
const PATIENCE: Duration = Duration::from_mins(3);
const PAUSE: Duration = Duration::from_millis(500);

/// The distance between the cores of a run: nanoseconds that a cache line takes from one to the other.
pub(crate) struct Distance {
    cores: Option<Cores>,
    /// The least that was seen.
    least: Cell<f64>,
    /// Time for which was waited.
    waited: Cell<Duration>,
}

impl Distance {
    pub(crate) const fn new(cores: Option<Cores>) -> Self {
        Self {
            cores,
            least: Cell::new(f64::INFINITY),
            waited: Cell::new(Duration::ZERO),
        }
    }

    /// Waits until the cores are near each other, as they have been before in this run. Meanwhile `idle` does what clients have to do
    /// without events, such as to answer heartbeats, for the time that it is given.
    pub(crate) fn wait_until_near(&self, mut idle: impl FnMut(Duration)) {
        while self.measure() > NEAR * self.least.get() && self.waited.get() < PATIENCE {
            idle(PAUSE);
            self.waited.set(self.waited.get() + PAUSE);
        }
    }

    /// Nanoseconds; 0 where there is one core only.
    pub(crate) fn measure(&self) -> f64 {
        let Some(cores) = self.cores else { return 0.0 };
        let samples = (0..SAMPLES).map(|_| sample(cores));
        let nanoseconds = samples.fold(f64::INFINITY, f64::min);
        self.least.set(self.least.get().min(nanoseconds));
        nanoseconds
    }
}

fn sample(cores: Cores) -> f64 {
    let line = AtomicU32::new(0);
    // Each player waits for its number, and sets the next one.
    let play = |core: usize, first: u32| {
        Cores::bind_thread(core);
        let start = Instant::now();
        for number in (first..2 * TRIPS).step_by(2) {
            while line.load(Ordering::Acquire) != number {
                std::hint::spin_loop();
            }
            line.store(number + 1, Ordering::Release);
        }
        start.elapsed()
    };
    let took = std::thread::scope(|scope| {
        let players = [(cores.load, 0), (cores.server, 1)];
        let players = players.map(|(core, first)| scope.spawn(move || play(core, first)));
        let [one, other] = players.map(|player| player.join().unwrap());
        // The one that was ready first has waited for the other.
        one.min(other)
    });
    took.as_nanos() as f64 / f64::from(2 * TRIPS)
}

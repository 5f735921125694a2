//! The times at which each fault begins and ends: decided by the seed before anything starts.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::StdRng;

/// A fault that begins or ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step<F> {
    /// Time after the start of the faults.
    pub at: Duration,
    pub fault: F,
    pub begins: bool,
    /// The duration of the fault.
    pub lasts: Duration,
}

/// Faults of one target, one after the other, so that each has ended before the next begins, and all before `length`
/// is over. `gap` is the time between two, `pick` returns the fault and how long it may last, both in seconds.
pub(crate) fn timeline<F: Clone>(
    rng: &mut StdRng,
    length: Duration,
    gap: Range<f64>,
    mut pick: impl FnMut(&mut StdRng) -> (F, Range<f64>),
) -> Vec<Step<F>> {
    let mut steps = vec![];
    let mut now = Duration::ZERO;
    loop {
        now += Duration::from_secs_f64(rng.random_range(gap.clone()));
        let (fault, lasts) = pick(rng);
        let lasts = Duration::from_secs_f64(rng.random_range(lasts));
        if now + lasts > length {
            return steps;
        }
        for (at, begins) in [(now, true), (now + lasts, false)] {
            let fault = fault.clone();
            steps.push(Step {
                at,
                fault,
                begins,
                lasts,
            });
        }
        now += lasts;
    }
}

/// All timelines as one.
pub(crate) fn merge<F>(timelines: impl IntoIterator<Item = Vec<Step<F>>>) -> Vec<Step<F>> {
    let mut steps: Vec<_> = timelines.into_iter().flatten().collect();
    steps.sort_by_key(|step| step.at);
    steps
}

impl<F: fmt::Debug> fmt::Display for Step<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            at,
            fault,
            begins,
            lasts,
        } = self;
        write!(f, "{:6.2} s: ", at.as_secs_f64())?;
        if *begins {
            write!(f, "{fault:?} for {:.2} s", lasts.as_secs_f64())
        } else {
            write!(f, "end of {fault:?}")
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn a_seed_makes_the_same_faults_and_all_of_them_end() {
        let length = Duration::from_mins(1);
        let make = |seed| {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut line = |_| {
                timeline(&mut rng, length, 1.0..3.0, |r| {
                    (r.random_range(0..9), 0.1..2.0)
                })
            };
            merge([0, 1].map(&mut line))
        };
        let steps = make(7);
        assert_eq!(steps, make(7));
        assert_ne!(steps, make(8));
        assert!(steps.len() > 40 && steps.is_sorted_by_key(|s| s.at));
        assert_eq!(steps.iter().filter(|s| s.begins).count() * 2, steps.len());
        assert!(steps.iter().all(|s| s.at <= length));
    }
}

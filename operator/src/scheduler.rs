//! The schedule of reconciles: each subscription waits once, is reconciled once at a time, and only so many are at the same time.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::future::Future;
use std::time::Duration;

use anyhow::Context as _;
use datastream_routing::SubscriptionId;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// Subscriptions to reconcile, and when. Plain data.
#[derive(Debug, Default)]
struct Schedule {
    /// Those that wait, and until when; absent for those that are due.
    waiting: HashMap<SubscriptionId, Option<Instant>>,
    /// Those that are due, first come first served: all of them are when the operator begins.
    due: VecDeque<SubscriptionId>,
    /// The others that wait, in the order in which they will be due.
    later: BTreeSet<(Instant, SubscriptionId)>,
    /// Those that are being reconciled, and when they are due again.
    running: HashMap<SubscriptionId, Option<Instant>>,
}

impl Schedule {
    /// The subscription is to be reconciled at this time, or at an earlier one at which it is anyway.
    fn add(&mut self, id: SubscriptionId, at: Instant, now: Instant) {
        if let Some(again) = self.running.get_mut(&id) {
            *again = Some(again.map_or(at, |earlier| earlier.min(at)));
            return;
        }
        match self.waiting.get(&id) {
            Some(None) => return,
            Some(Some(known)) if *known <= at => return,
            Some(Some(known)) => {
                self.later.remove(&(*known, id.clone()));
            }
            None => (),
        }
        let until = Some(at).filter(|at| *at > now);
        self.waiting.insert(id.clone(), until);
        match until {
            None => self.due.push_back(id),
            Some(until) => {
                self.later.insert((until, id));
            }
        }
    }

    /// The time at which the first one is due.
    fn next(&self, now: Instant) -> Option<Instant> {
        if self.due.is_empty() {
            self.later.first().map(|(due, _)| *due)
        } else {
            Some(now)
        }
    }

    /// Begins with the first one that is due.
    fn begin(&mut self, now: Instant) -> Option<SubscriptionId> {
        while self.later.first().is_some_and(|(due, _)| *due <= now)
            && let Some((_, id)) = self.later.pop_first()
        {
            self.waiting.insert(id.clone(), None);
            self.due.push_back(id);
        }
        let id = self.due.pop_front()?;
        self.waiting.remove(&id);
        self.running.insert(id.clone(), None);
        Some(id)
    }

    /// A reconcile has ended, and asks for another one at this time.
    fn ended(&mut self, id: SubscriptionId, again: Option<Instant>, now: Instant) {
        let asked = self.running.remove(&id).flatten();
        if let Some(at) = asked.into_iter().chain(again).min() {
            self.add(id, at, now);
        }
    }
}

/// Reconciles what is queued, at most `concurrency` at the same time, for as long as something can be queued. A reconcile returns the
/// time until the next one, if there is to be one whether or not something changes.
///
/// # Errors
/// Nothing can be queued any more, or a reconcile panicked.
pub(crate) async fn run<F>(
    mut queued: mpsc::Receiver<SubscriptionId>,
    concurrency: usize,
    reconcile: impl Fn(SubscriptionId) -> F,
) -> anyhow::Result<()>
where
    F: Future<Output = Option<Duration>> + Send + 'static,
{
    let mut schedule = Schedule::default();
    let mut running = JoinSet::new();
    loop {
        let now = Instant::now();
        while running.len() < concurrency
            && let Some(id) = schedule.begin(now)
        {
            let reconciled = reconcile(id.clone());
            running.spawn(async move { (id, reconciled.await) });
        }
        let due = schedule.next(now).filter(|_| running.len() < concurrency);
        tokio::select! {
            id = queued.recv() => {
                let id = id.context("the queue of reconciles ended")?;
                let now = Instant::now();
                schedule.add(id, now, now);
            }
            Some(ended) = running.join_next() => {
                let (id, again) = ended?;
                let now = Instant::now();
                schedule.ended(id, again.map(|again| now + again), now);
            }
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => (),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    fn id(name: &str) -> SubscriptionId {
        SubscriptionId::new("team", name)
    }

    #[test]
    fn the_earliest_of_several_times_counts_and_each_subscription_waits_once() {
        let now = Instant::now();
        let later = now + Duration::from_secs(10);
        let mut schedule = Schedule::default();
        schedule.add(id("a"), later, now);
        schedule.add(id("b"), now + Duration::from_secs(1), now);
        assert_eq!(schedule.begin(now), None);
        schedule.add(id("a"), now, now);
        schedule.add(id("a"), later, now);
        assert_eq!(schedule.begin(now), Some(id("a")));
        assert_eq!(schedule.begin(now), None);
        assert_eq!(schedule.begin(later), Some(id("b")));
        assert_eq!(schedule.begin(later), None);
    }

    #[test]
    fn what_is_queued_during_its_reconcile_waits_for_the_end_of_it() {
        let now = Instant::now();
        let later = now + Duration::from_secs(10);
        let mut schedule = Schedule::default();
        schedule.add(id("a"), now, now);
        assert_eq!(schedule.begin(now), Some(id("a")));
        schedule.add(id("a"), now, now);
        assert_eq!(schedule.begin(now), None);
        schedule.ended(id("a"), Some(later), now);
        assert_eq!(schedule.begin(now), Some(id("a")));
        schedule.ended(id("a"), Some(later), now);
        assert_eq!(
            (schedule.begin(now), schedule.next(now)),
            (None, Some(later))
        );
        assert_eq!(schedule.begin(later), Some(id("a")));
        schedule.ended(id("a"), None, later);
        assert_eq!(schedule.next(later), None);
        assert!(schedule.waiting.is_empty() && schedule.running.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn reconciles_run_at_a_bounded_number_and_again_when_they_ask() {
        const CONCURRENCY: usize = 3;
        let (queue, queued) = mpsc::channel(16);
        // The number that runs, the most that ever did, and how often each was reconciled.
        let seen = Arc::new(Mutex::new((0, 0, HashMap::new())));
        let log = seen.clone();
        let reconcile = move |id: SubscriptionId| {
            let log = log.clone();
            async move {
                {
                    let mut log = log.lock().unwrap();
                    log.0 += 1;
                    log.1 = log.1.max(log.0);
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
                let mut log = log.lock().unwrap();
                log.0 -= 1;
                let count = log.2.entry(id).or_insert(0);
                *count += 1;
                (*count < 3).then_some(Duration::from_secs(5))
            }
        };
        let running = tokio::spawn(run(queued, CONCURRENCY, reconcile));
        for number in 0..10 {
            queue.send(id(&number.to_string())).await.unwrap();
        }
        tokio::time::sleep(Duration::from_mins(1)).await;
        {
            let seen = seen.lock().unwrap();
            assert_eq!((seen.0, seen.1), (0, CONCURRENCY));
            assert!(seen.2.len() == 10 && seen.2.values().all(|count| *count == 3));
        }
        drop(queue);
        let error = running.await.unwrap().unwrap_err();
        assert_eq!(error.to_string(), "the queue of reconciles ended");
    }
}

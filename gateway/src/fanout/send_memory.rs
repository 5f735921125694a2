//! The memory that all streams together may take for what waits to be sent, beyond the little that each has of its own.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// A number of bytes that queues borrow from and give back to. Whoever gets none reads on from the log later.
#[derive(Debug)]
pub(crate) struct SendMemory {
    limit: usize,
    free: AtomicUsize,
    /// Number of those that wait, so that nobody looks for them where there are none.
    waiting: AtomicUsize,
    waiters: Mutex<Waiters>,
}

/// Those that wait, by the bytes that they need, and in the order in which they came.
#[derive(Debug, Default)]
struct Waiters {
    next: u64,
    by_need: BTreeMap<usize, BTreeMap<u64, Arc<Notify>>>,
}

/// A place among those that wait for memory. It is kept for as long as what is needed is not there.
#[derive(Debug)]
pub(super) struct MemoryWait {
    memory: Arc<SendMemory>,
    number: u64,
    /// Bytes that it waits for, where it waits.
    need: Option<usize>,
    woken: Arc<Notify>,
}

impl SendMemory {
    /// So many bytes, all free.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            free: AtomicUsize::new(limit),
            waiting: AtomicUsize::new(0),
            waiters: Mutex::default(),
        }
    }

    /// Takes these bytes, if they are free.
    pub(crate) fn borrow(&self, bytes: usize) -> bool {
        self.free
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |free| {
                free.checked_sub(bytes)
            })
            .is_ok()
    }

    /// Gives borrowed bytes back, and wakes those that wait and find enough.
    pub(crate) fn give_back(&self, bytes: usize) {
        if bytes > 0 {
            self.free.fetch_add(bytes, Ordering::SeqCst);
            self.wake();
        }
    }

    /// A place among those that wait.
    pub(super) fn waiter(self: &Arc<Self>) -> MemoryWait {
        let mut waiters = self.waiters();
        let number = waiters.next;
        waiters.next += 1;
        MemoryWait {
            memory: self.clone(),
            number,
            need: None,
            woken: Arc::default(),
        }
    }

    /// Wakes those for whom there is enough, in the order in which they came. Whoever finds that others were quicker waits on in its place.
    fn wake(&self) {
        if self.waiting.load(Ordering::SeqCst) == 0 {
            return;
        }
        let mut waiters = self.waiters();
        let mut left = self.free.load(Ordering::SeqCst);
        while let Some((need, number)) = waiters.first_within(left) {
            left -= need;
            if let Some(woken) = waiters.remove(need, number) {
                self.waiting.fetch_sub(1, Ordering::SeqCst);
                woken.notify_one();
            }
        }
    }

    fn waiters(&self) -> MutexGuard<'_, Waiters> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether so little is left that streams whose clients take nothing are in the way of the others.
    pub(crate) fn is_short(&self) -> bool {
        self.free.load(Ordering::Acquire) < self.limit / 4
    }

    /// Bytes that are borrowed.
    pub(crate) fn borrowed(&self) -> usize {
        self.limit - self.free.load(Ordering::Acquire).min(self.limit)
    }
}

impl Waiters {
    /// The one that has waited longest of those that need no more than this.
    fn first_within(&self, bytes: usize) -> Option<(usize, u64)> {
        let first = |(need, waiters): (&usize, &BTreeMap<u64, Arc<Notify>>)| {
            let (number, _) = waiters.first_key_value()?;
            Some((*need, *number))
        };
        let firsts = self.by_need.range(..=bytes).filter_map(first);
        firsts.min_by_key(|(_, number)| *number)
    }

    fn remove(&mut self, need: usize, number: u64) -> Option<Arc<Notify>> {
        let waiters = self.by_need.get_mut(&need)?;
        let woken = waiters.remove(&number);
        if waiters.is_empty() {
            self.by_need.remove(&need);
        }
        woken
    }
}

impl MemoryWait {
    /// Asks to be woken as soon as so many bytes are free. Who has asked looks once more before waiting.
    pub(super) fn ask(&mut self, need: usize) {
        self.withdraw();
        let mut waiters = self.memory.waiters();
        let same = waiters.by_need.entry(need).or_default();
        same.insert(self.number, self.woken.clone());
        self.memory.waiting.fetch_add(1, Ordering::SeqCst);
        self.need = Some(need);
    }

    /// Waits until it is woken.
    pub(super) async fn woken(&self) {
        self.woken.notified().await;
    }

    fn withdraw(&mut self) {
        if let Some(need) = self.need.take() {
            let mut waiters = self.memory.waiters();
            if waiters.remove(need, self.number).is_some() {
                self.memory.waiting.fetch_sub(1, Ordering::SeqCst);
            }
        }
    }
}

impl Drop for MemoryWait {
    fn drop(&mut self) {
        self.withdraw();
        // It may have been woken for what it does not take, or not all of.
        self.memory.wake();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn is_woken(wait: &MemoryWait) -> bool {
        wait.woken().now_or_never().is_some()
    }

    #[test]
    fn those_who_wait_are_woken_in_their_order_for_what_is_enough() {
        let memory = Arc::new(SendMemory::new(100));
        assert!(memory.borrow(100));
        let mut waits = [80, 30, 20, 10].map(|need| {
            let mut wait = memory.waiter();
            wait.ask(need);
            wait
        });
        memory.give_back(5);
        assert!(!waits.iter().any(is_woken));
        // The second one and the last one fit; who waits for more holds up nobody.
        memory.give_back(40);
        assert_eq!(waits.each_ref().map(is_woken), [false, true, false, true]);
        // One that was woken and finds that others were quicker has its place still.
        assert!(memory.borrow(45));
        waits[1].ask(30);
        memory.give_back(30);
        assert_eq!(waits.each_ref().map(is_woken), [false, true, false, false]);
        // One that leaves without what it was woken for leaves it to the next.
        let [first, second, third, last] = waits;
        drop(second);
        assert!(!is_woken(&first) && is_woken(&third));
        memory.give_back(70);
        assert!(is_woken(&first));
        drop((first, third, last));
        assert_eq!(memory.waiting.load(Ordering::SeqCst), 0);
    }
}

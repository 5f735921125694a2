//! Subscriptions that are to be looked at again because access rules changed, group by group and in pieces.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datastream_routing::SubscriptionId;
use tokio::sync::Notify;

use crate::groups::Group;

/// Subscriptions of one piece.
const TOGETHER: usize = 16;

/// The subscriptions that wait, each once.
#[derive(Clone, Default)]
pub(crate) struct LookAgain(Arc<Waiting>);

#[derive(Default)]
struct Waiting {
    groups: Mutex<VecDeque<(Group, BTreeSet<SubscriptionId>)>>,
    added: Notify,
}

impl LookAgain {
    /// Adds subscriptions of groups.
    pub(crate) fn add(&self, of_groups: Vec<(Group, Vec<SubscriptionId>)>) {
        let mut groups = self.lock();
        for (group, ids) in of_groups.into_iter().filter(|(_, ids)| !ids.is_empty()) {
            match groups.iter_mut().find(|(other, _)| other.is_same(&group)) {
                Some((_, waiting)) => waiting.extend(ids),
                None => groups.push_back((group, ids.into_iter().collect())),
            }
        }
        self.0.added.notify_one();
    }

    /// Waits for some of one group, which do not wait any more; each group has its turn.
    pub(crate) async fn some(&self) -> (Group, Vec<SubscriptionId>) {
        loop {
            if let Some(some) = self.take() {
                return some;
            }
            self.0.added.notified().await;
        }
    }

    fn take(&self) -> Option<(Group, Vec<SubscriptionId>)> {
        let mut groups = self.lock();
        let (group, mut ids) = groups.pop_front()?;
        let some = std::iter::from_fn(|| ids.pop_first())
            .take(TOGETHER)
            .collect();
        if !ids.is_empty() {
            groups.push_back((group.clone(), ids));
        }
        Some((group, some))
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Group, BTreeSet<SubscriptionId>)>> {
        let groups = self.0.groups.lock();
        groups.unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::access::AccessMode;
    use crate::groups::{Groups, Limits};

    fn ids(numbers: std::ops::Range<usize>) -> Vec<SubscriptionId> {
        let id = |n| SubscriptionId::new("team", format!("s{n:02}"));
        numbers.map(id).collect()
    }

    #[test]
    fn groups_take_turns_and_what_waits_is_there_once() {
        let settings = ["a=ws://a/stream", "b=ws://b/stream"].map(|text| text.parse().unwrap());
        let groups = Groups::new(&settings, [], Limits::default(), AccessMode::default());
        let [a, b] = ["a", "b"].map(|name| groups.of(name).unwrap().0.clone());
        let again = LookAgain::default();
        assert!(again.some().now_or_never().is_none());
        again.add(vec![(a.clone(), ids(0..20)), (b.clone(), ids(0..1))]);
        again.add(vec![(a.clone(), ids(10..30)), (b.clone(), vec![])]);
        for (group, expected) in [(&a, 0..16), (&b, 0..1), (&a, 16..30)] {
            let (found, some) = again.some().now_or_never().unwrap();
            assert!(found.is_same(group));
            assert_eq!(some, ids(expected));
        }
        assert!(again.some().now_or_never().is_none());
    }
}

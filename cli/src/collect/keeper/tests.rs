use std::sync::Mutex;

use datastream_gateway::position::Seq;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::collect::event::tests::event;
use crate::collect::metrics::Metrics;

/// What a store in memory has, and how often it shall fail yet.
#[derive(Default)]
struct Memory {
    seqs: Vec<String>,
    position: Option<Position>,
    gaps: Vec<Gap>,
    /// For each call: whether it fails, and if so, whether what was asked for is done all the same.
    failures: Vec<Option<bool>>,
}

#[derive(Clone, Default)]
struct MemoryStore(Arc<Mutex<Memory>>);

impl MemoryStore {
    fn call(&self, action: impl FnOnce(&mut Memory)) -> Result<(), StoreError> {
        let mut memory = self.0.lock().unwrap();
        let failure = memory.failures.pop().flatten();
        if failure != Some(false) {
            action(&mut memory);
        }
        match failure {
            Some(_) => Err(StoreError::lasting("no")),
            None => Ok(()),
        }
    }
}

impl Store for MemoryStore {
    fn describe(&self) -> String {
        "memory".to_owned()
    }

    fn open(&mut self) -> BoxFuture<'_, Result<Option<Position>, StoreError>> {
        let position = self.0.lock().unwrap().position.clone();
        async { Ok(position) }.boxed()
    }

    fn append(&mut self, batch: Arc<Batch>) -> BoxFuture<'_, Result<(), StoreError>> {
        let done = self.call(|memory| {
            let seqs = batch.events.iter().map(|e| e.seq.to_string());
            memory.seqs.extend(seqs);
            memory.position = Some(batch.after.clone());
        });
        async { done }.boxed()
    }

    fn mark(&mut self, mark: Mark) -> BoxFuture<'_, Result<(), StoreError>> {
        let done = self.call(|memory| {
            memory.gaps.extend(mark.gap);
            memory.position = Some(mark.position);
        });
        async { done }.boxed()
    }
}

fn keeper(stores: &[&MemoryStore]) -> Keeper {
    let status = Arc::new(Metrics::new().unwrap().stream("a"));
    let stores = stores
        .iter()
        .map(|s| Box::new((*s).clone()) as Box<dyn Store>);
    Keeper::new(stores.collect(), status)
}

fn events(numbers: impl IntoIterator<Item = u64>) -> Vec<Event> {
    let event = |n: u64| event(&format!(r#"{{"seq":"{n}"}}"#));
    numbers.into_iter().map(event).collect()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_fails_and_whatever_is_replayed_every_store_has_every_event_once(
        failures in vec(vec(proptest::option::of(any::<bool>()), 0..12), 2),
        replays in vec((0_u64..40, 1_u64..15), 1..12),
    ) {
        let stores = [MemoryStore::default(), MemoryStore::default()];
        for (store, failures) in stores.iter().zip(failures) {
            store.0.lock().unwrap().failures = failures;
        }
        let mut sent = 0;
        runtime().block_on(async {
            let mut keeper = keeper(&[&stores[0], &stores[1]]);
            keeper.open().await.unwrap();
            for (back, more) in replays {
                // As after a reconnect: from somewhere in the past, to somewhere beyond.
                let from = sent - back.min(sent) + 1;
                keeper.append(&events(from..=sent + more)).await;
                sent += more;
            }
            assert_eq!(keeper.status.stored.get(), sent);
            assert_eq!(keeper.position(), Some(Position::new([sent])));
        });
        let expected: Vec<_> = (1..=sent).map(|n| n.to_string()).collect();
        for store in &stores {
            prop_assert_eq!(&store.0.lock().unwrap().seqs, &expected);
        }
    }
}

#[tokio::test]
async fn another_merge_of_the_partitions_brings_no_event_twice() {
    let store = MemoryStore::default();
    let mut keeper = keeper(&[&store]);
    keeper.open().await.unwrap();
    let merge = |order: [u32; 4]| {
        let mut position = Position::start(2);
        order.map(|own| {
            position.advance(own, position.next(own) + 1);
            event(&format!(r#"{{"seq":"{}"}}"#, Seq::of(&position, own)))
        })
    };
    keeper.append(&merge([0, 0, 1, 1])[..3]).await;
    // A server that goes back to the beginning, and merges in another order.
    keeper.append(&merge([1, 1, 0, 0])).await;
    assert_eq!(keeper.status.stored.get(), 4);
    assert_eq!(keeper.status.duplicates.get(), 3);
    assert_eq!(keeper.position(), Some(Position::new([2, 2])));
}

#[tokio::test]
async fn a_store_that_is_added_goes_on_where_the_other_is() {
    let (old, new) = (MemoryStore::default(), MemoryStore::default());
    old.0.lock().unwrap().position = Some(Position::new([7]));
    let mut keeper = keeper(&[&old, &new]);
    keeper.open().await.unwrap();
    assert_eq!(keeper.position(), Some(Position::new([7])));
    assert_eq!(new.0.lock().unwrap().position, Some(Position::new([7])));
    keeper.append(&events([7, 8])).await;
    assert_eq!(new.0.lock().unwrap().seqs, ["8"]);
}

#[tokio::test]
async fn marks_only_move_on_and_gaps_are_recorded() {
    let store = MemoryStore::default();
    let mut keeper = keeper(&[&store]);
    keeper.open().await.unwrap();
    keeper.mark(&Position::new([5])).await;
    keeper.mark(&Position::new([3])).await;
    assert_eq!(keeper.position(), Some(Position::new([5])));
    let gap = Gap {
        from: "6".to_owned(),
    };
    keeper.record_gap(&Position::new([9]), gap.clone()).await;
    assert_eq!(keeper.position(), Some(Position::new([9])));
    assert_eq!(store.0.lock().unwrap().gaps, [gap]);
    assert_eq!(keeper.status.gaps.get(), 1);
}

#[tokio::test]
async fn what_will_not_pass_is_an_error_at_the_start() {
    struct Broken;
    impl Store for Broken {
        fn describe(&self) -> String {
            String::new()
        }
        fn open(&mut self) -> BoxFuture<'_, Result<Option<Position>, StoreError>> {
            async { Err(StoreError::lasting("no such folder")) }.boxed()
        }
        fn append(&mut self, _: Arc<Batch>) -> BoxFuture<'_, Result<(), StoreError>> {
            async { Ok(()) }.boxed()
        }
        fn mark(&mut self, _: Mark) -> BoxFuture<'_, Result<(), StoreError>> {
            async { Ok(()) }.boxed()
        }
    }
    let status = Arc::new(Metrics::new().unwrap().stream("a"));
    let mut keeper = Keeper::new(vec![Box::new(Broken)], status);
    let error = keeper.open().await.unwrap_err();
    assert_eq!(error.reason, "no such folder");
}

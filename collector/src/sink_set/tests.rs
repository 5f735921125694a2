use std::sync::Mutex;

use datastream_protocol::position::Seq;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::event::tests::event;
use crate::metrics::Metrics;
use crate::store::{Batch, ErrorKind, Opened};

/// The content of a store in memory, and its failures to come.
#[derive(Default)]
struct Memory {
    seqs: Vec<String>,
    position: Option<Position>,
    gaps: Vec<Gap>,
    /// Failure of each call, if any: true if the request is carried out all the same.
    failures: Vec<Option<bool>>,
    /// Events that are not taken.
    poison: Vec<String>,
    /// It is not where it was.
    moved: bool,
    /// Number of further calls until the process is killed, before the call or after it.
    killed_after: Option<(usize, bool)>,
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

    /// The same, for ever if the process is killed in it.
    fn killable(&self, action: impl FnOnce(&mut Memory)) -> BoxFuture<'_, Result<(), StoreError>> {
        let kill = self.0.lock().unwrap().killed_after.take();
        match kill {
            Some((0, is_done)) => {
                if is_done {
                    action(&mut self.0.lock().unwrap());
                }
                std::future::pending().boxed()
            }
            kill => {
                self.0.lock().unwrap().killed_after =
                    kill.map(|(calls, is_done)| (calls - 1, is_done));
                let done = self.call(action);
                async { done }.boxed()
            }
        }
    }

    /// Loses what it has, as when it is deleted.
    fn empty(&self) {
        *self.0.lock().unwrap() = Memory {
            moved: true,
            ..Memory::default()
        };
    }

    fn seqs(&self) -> Vec<String> {
        self.0.lock().unwrap().seqs.clone()
    }
}

impl Store for MemoryStore {
    fn describe(&self) -> String {
        "memory".to_owned()
    }

    fn open(&mut self) -> BoxFuture<'_, Result<Opened, StoreError>> {
        let mut memory = self.0.lock().unwrap();
        memory.moved = false;
        let opened = Opened {
            position: memory.position.clone(),
            damaged_lines: 0,
        };
        async { Ok(opened) }.boxed()
    }

    fn append(&mut self, batch: Arc<Batch>) -> BoxFuture<'_, Result<(), StoreError>> {
        let poison = self.0.lock().unwrap().poison.clone();
        if batch
            .events
            .iter()
            .any(|e| poison.contains(&e.seq.to_string()))
        {
            let refused = StoreError {
                reason: "no such character".to_owned(),
                kind: ErrorKind::Refused,
            };
            return async { Err(refused) }.boxed();
        }
        self.killable(|memory| {
            let seqs = batch.events.iter().map(|e| e.seq.to_string());
            memory.seqs.extend(seqs);
            memory.position = Some(batch.after.clone());
        })
    }

    fn mark(&mut self, mark: Mark) -> BoxFuture<'_, Result<(), StoreError>> {
        self.killable(|memory| {
            memory.gaps.extend(mark.gap);
            memory.position = Some(mark.position);
        })
    }

    fn verify(&mut self) -> BoxFuture<'_, Result<(), StoreError>> {
        let moved = self.0.lock().unwrap().moved;
        let verified = if moved {
            Err(StoreError::lasting("moved"))
        } else {
            Ok(())
        };
        async { verified }.boxed()
    }
}

fn sinks(stores: &[&MemoryStore]) -> SinkSet {
    sink_set_that(stores, StartOver::Origin, None)
}

fn sink_set_that(
    stores: &[&MemoryStore],
    start_over: StartOver,
    dead_letters: Option<DeadLetters>,
) -> SinkSet {
    let status = Arc::new(Metrics::new().unwrap().stream("a"));
    let stores = stores
        .iter()
        .map(|s| Box::new((*s).clone()) as Box<dyn Store>);
    SinkSet::new(stores.collect(), status, start_over, dead_letters)
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
    fn every_store_gets_every_event_once_despite_failures_and_replays(
        failures in vec(vec(proptest::option::of(any::<bool>()), 0..12), 2),
        replays in vec((0_u64..40, 1_u64..15), 1..12),
    ) {
        let stores = [MemoryStore::default(), MemoryStore::default()];
        for (store, failures) in stores.iter().zip(failures) {
            store.0.lock().unwrap().failures = failures;
        }
        let mut sent = 0;
        runtime().block_on(async {
            let mut sinks = sinks(&[&stores[0], &stores[1]]);
            sinks.open().await.unwrap();
            for (back, more) in replays {
                // As after a reconnect: from somewhere in the past, to somewhere beyond.
                let from = sent - back.min(sent) + 1;
                sinks.append(&events(from..=sent + more)).await.unwrap();
                sent += more;
            }
            assert_eq!(sinks.status.stored.get(), sent);
            assert_eq!(sinks.position(), Some(Position::new([sent])));
        });
        let expected: Vec<_> = (1..=sent).map(|n| n.to_string()).collect();
        for store in &stores {
            prop_assert_eq!(&store.0.lock().unwrap().seqs, &expected);
        }
    }
}

/// Trouble, if any, between two connections of a stream.
#[derive(Clone, Copy, Debug)]
enum Between {
    Nothing,
    /// The process is killed in one of the next calls of a store, which is done or not.
    Kill(usize, usize, bool),
    /// A store is emptied while the process is killed.
    Empty(usize),
}

fn between() -> impl Strategy<Value = Between> {
    prop_oneof![
        Just(Between::Nothing),
        (0_usize..2, 0_usize..4, any::<bool>())
            .prop_map(|(store, calls, is_done)| Between::Kill(store, calls, is_done)),
        (0_usize..2).prop_map(Between::Empty),
    ]
}

/// A process that has come up, however often it was killed before.
async fn restarted(stores: &[MemoryStore; 2], start_over: StartOver) -> SinkSet {
    loop {
        let mut sinks = sink_set_that(&[&stores[0], &stores[1]], start_over, None);
        let opened = tokio::time::timeout(Duration::from_mins(5), sinks.open()).await;
        if let Ok(opened) = opened {
            opened.unwrap();
            return sinks;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn every_store_gets_every_event_once_despite_kills_and_emptied_stores(
        steps in vec((between(), 1_u64..9), 1..8),
        starts_at_a_number in any::<bool>(),
    ) {
        let stores = [MemoryStore::default(), MemoryStore::default()];
        let start_over = if starts_at_a_number { StartOver::Start } else { StartOver::Beginning };
        let mut sent = 0;
        let last = (Between::Nothing, 1);
        runtime().block_on(async {
            let mut sinks = restarted(&stores, start_over).await;
            for (between, more) in steps.into_iter().chain([last]) {
                match between {
                    Between::Nothing => (),
                    Between::Kill(store, calls, is_done) => {
                        stores[store].0.lock().unwrap().killed_after = Some((calls, is_done));
                    }
                    Between::Empty(store) => {
                        drop(sinks);
                        *stores[store].0.lock().unwrap() = Memory::default();
                        sinks = restarted(&stores, start_over).await;
                    }
                }
                sent += more;
                loop {
                    // What the gateway sends: all from where the stores say, or from the start.
                    let from = sinks.position().map_or(1, |position| position.next(0) + 1);
                    let events = events(from..=sent);
                    let stored = async {
                        if events.is_empty() {
                            return Ok(());
                        }
                        sinks.append(&events).await
                    };
                    match tokio::time::timeout(Duration::from_mins(5), stored).await {
                        Ok(Ok(())) => break,
                        Ok(Err(WentBack)) => (),
                        Err(_) => sinks = restarted(&stores, start_over).await,
                    }
                }
            }
        });
        let expected: Vec<_> = (1..=sent).map(|n| n.to_string()).collect();
        for store in &stores {
            prop_assert_eq!(&store.seqs(), &expected);
        }
    }
}

#[tokio::test]
async fn another_interleaving_of_partitions_duplicates_no_event() {
    let store = MemoryStore::default();
    let mut sinks = sinks(&[&store]);
    sinks.open().await.unwrap();
    let merge = |order: [u32; 4]| {
        let mut position = Position::start(2);
        order.map(|own| {
            position.advance(own, position.next(own) + 1);
            event(&format!(r#"{{"seq":"{}"}}"#, Seq::of(&position, own)))
        })
    };
    sinks.append(&merge([0, 0, 1, 1])[..3]).await.unwrap();
    // A server that goes back to the beginning, and merges in another order.
    sinks.append(&merge([1, 1, 0, 0])).await.unwrap();
    assert_eq!(sinks.status.stored.get(), 4);
    assert_eq!(sinks.status.duplicates.get(), 3);
    assert_eq!(sinks.position(), Some(Position::new([2, 2])));
}

#[tokio::test]
async fn an_added_store_starts_at_the_position_of_the_others() {
    let (old, new) = (MemoryStore::default(), MemoryStore::default());
    old.0.lock().unwrap().position = Some(Position::new([7]));
    let mut sinks = sinks(&[&old, &new]);
    sinks.open().await.unwrap();
    assert_eq!(sinks.position(), Some(Position::new([7])));
    assert_eq!(new.0.lock().unwrap().position, Some(Position::new([7])));
    // What came before is missing there, and it says so.
    let gap = Gap {
        from: String::new(),
        to: Position::new([7]),
    };
    assert_eq!(new.0.lock().unwrap().gaps, [gap]);
    sinks.append(&events([7, 8])).await.unwrap();
    assert_eq!(new.0.lock().unwrap().seqs, ["8"]);
}

#[tokio::test]
async fn a_gap_is_recorded_only_in_stores_that_lack_the_events() {
    let (whole, behind) = (MemoryStore::default(), MemoryStore::default());
    whole.0.lock().unwrap().position = Some(Position::new([9]));
    behind.0.lock().unwrap().position = Some(Position::new([2]));
    let mut sinks = sinks(&[&whole, &behind]);
    sinks.open().await.unwrap();
    let gap = Gap {
        from: "3".to_owned(),
        to: Position::new([5]),
    };
    let recorded = sinks.record_gap(&Position::new([5]), gap.clone()).await;
    assert_eq!(recorded, Ok(()));
    assert_eq!(whole.0.lock().unwrap().gaps, []);
    assert_eq!(behind.0.lock().unwrap().gaps, [gap]);
    assert_eq!(sinks.position(), Some(Position::new([5])));
}

#[tokio::test]
async fn marks_never_move_back_and_gaps_are_recorded() {
    let store = MemoryStore::default();
    let mut sinks = sinks(&[&store]);
    sinks.open().await.unwrap();
    sinks.mark(&Position::new([5])).await.unwrap();
    sinks.mark(&Position::new([3])).await.unwrap();
    assert_eq!(sinks.position(), Some(Position::new([5])));
    let gap = Gap {
        from: "6".to_owned(),
        to: Position::new([9]),
    };
    sinks
        .record_gap(&Position::new([9]), gap.clone())
        .await
        .unwrap();
    assert_eq!(sinks.position(), Some(Position::new([9])));
    assert_eq!(store.0.lock().unwrap().gaps, [gap]);
    assert_eq!(sinks.status.gaps.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_permanent_store_error_that_repeats_fails_the_start() {
    /// Store that fails to open this many times.
    struct Broken(usize);
    impl Store for Broken {
        fn describe(&self) -> String {
            String::new()
        }
        fn open(&mut self) -> BoxFuture<'_, Result<Opened, StoreError>> {
            let opened = match self.0 {
                0 => Ok(Opened {
                    position: None,
                    damaged_lines: 0,
                }),
                _ => Err(StoreError::lasting("no such folder")),
            };
            self.0 = self.0.saturating_sub(1);
            async { opened }.boxed()
        }
        fn append(&mut self, _: Arc<Batch>) -> BoxFuture<'_, Result<(), StoreError>> {
            async { Ok(()) }.boxed()
        }
        fn mark(&mut self, _: Mark) -> BoxFuture<'_, Result<(), StoreError>> {
            async { Ok(()) }.boxed()
        }
        fn verify(&mut self) -> BoxFuture<'_, Result<(), StoreError>> {
            async { Ok(()) }.boxed()
        }
    }
    let opened = async |times| {
        let status = Arc::new(Metrics::new().unwrap().stream("a"));
        let stores: Vec<Box<dyn Store>> = vec![Box::new(Broken(times))];
        let mut sinks = SinkSet::new(stores, status, StartOver::Origin, None);
        sinks.open().await.map_err(|error| error.reason)
    };
    assert_eq!(opened(1).await, Ok(()));
    assert_eq!(opened(2).await, Err("no such folder".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_lost_its_events_gets_them_again() {
    let (lost, whole) = (MemoryStore::default(), MemoryStore::default());
    let mut sinks = sinks(&[&lost, &whole]);
    sinks.open().await.unwrap();
    sinks.mark(&Position::new([4])).await.unwrap();
    sinks.append(&events(5..=9)).await.unwrap();
    lost.empty();
    assert_eq!(sinks.verify().await, Err(WentBack));
    assert_eq!(sinks.position(), Some(Position::new([4])));
    assert_eq!(sinks.status.losses.get(), 1);
    // What the stream sends from there on.
    sinks.append(&events(5..=10)).await.unwrap();
    let expected: Vec<_> = (5..=10).map(|n| n.to_string()).collect();
    assert_eq!((lost.seqs(), whole.seqs()), (expected.clone(), expected));
}

#[tokio::test(start_paused = true)]
async fn a_loss_detected_during_an_append_leaves_no_gap() {
    let store = MemoryStore::default();
    let mut sinks = sinks(&[&store]);
    sinks.open().await.unwrap();
    sinks.append(&events(5..=6)).await.unwrap();
    store.empty();
    store.0.lock().unwrap().failures = vec![Some(false)];
    assert_eq!(sinks.append(&events(7..=8)).await, Err(WentBack));
    assert_eq!(store.seqs(), [""; 0]);
    assert_eq!(sinks.position(), Some(Position::new([4])));
}

#[tokio::test(start_paused = true)]
async fn a_stream_with_a_configured_start_begins_there_when_its_store_is_empty() {
    let (lost, whole) = (MemoryStore::default(), MemoryStore::default());
    let mut sinks = sink_set_that(&[&lost, &whole], StartOver::Start, None);
    sinks.open().await.unwrap();
    sinks.append(&events(5..=6)).await.unwrap();
    lost.empty();
    assert_eq!(sinks.verify().await, Err(WentBack));
    assert_eq!(sinks.position(), None);
    sinks.append(&events(1..=7)).await.unwrap();
    assert_eq!(lost.seqs().len(), 7);
    assert_eq!(whole.seqs(), ["5", "6", "7"]);
    assert_eq!(sinks.position(), Some(Position::new([7])));
}

/// A start of 0 begins wherever the topic begins now, without a gap marker for what has expired.
#[tokio::test(start_paused = true)]
async fn a_store_that_lost_everything_restarts_from_the_first_event() {
    let store = MemoryStore::default();
    let mut sinks = sink_set_that(&[&store], StartOver::Beginning, None);
    sinks.open().await.unwrap();
    assert_eq!(sinks.position(), None);
    sinks.append(&events(5..=6)).await.unwrap();
    store.empty();
    assert_eq!(sinks.verify().await, Err(WentBack));
    assert_eq!(sinks.position(), Some(Position::new([0])));
}

#[tokio::test(start_paused = true)]
async fn only_the_rejected_event_becomes_a_dead_letter() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dead.jsonl");
    let store = MemoryStore::default();
    store.0.lock().unwrap().poison = vec!["3".to_owned(), "4".to_owned(), "9".to_owned()];
    let letters = Some(DeadLetters::new(path.clone()));
    let mut sinks = sink_set_that(&[&store], StartOver::Origin, letters);
    sinks.open().await.unwrap();
    sinks.append(&events(1..=9)).await.unwrap();
    assert_eq!(store.seqs(), ["1", "2", "5", "6", "7", "8"]);
    assert_eq!(sinks.position(), Some(Position::new([9])));
    assert_eq!(sinks.status.stored.get(), 6);
    assert_eq!(sinks.status.dead_letters.get(), 3);
    let text = std::fs::read_to_string(path).unwrap();
    let letters: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let seqs: Vec<_> = letters.iter().map(|l| l["seq"].as_str().unwrap()).collect();
    assert_eq!(seqs, ["3", "4", "9"]);
    assert_eq!(letters[0]["event"]["seq"], "3");
    assert_eq!(letters[0]["reason"], "no such character");
    assert_eq!(letters[0]["stream"], "a");
}

#[tokio::test(start_paused = true)]
async fn without_a_dead_letter_file_a_rejected_event_stops_the_stream_before_it() {
    let store = MemoryStore::default();
    store.0.lock().unwrap().poison = vec!["3".to_owned()];
    let mut sinks = sinks(&[&store]);
    sinks.open().await.unwrap();
    let events = events(1..=9);
    let storing = tokio::time::timeout(Duration::from_mins(5), sinks.append(&events));
    assert!(storing.await.is_err());
    assert_eq!(store.seqs(), ["1", "2"]);
    assert_eq!(sinks.status.store_open.get(), 0);
    let error = sinks.status.detail().error.unwrap();
    assert!(
        error.starts_with("the event with seq 3 cannot be stored: no such character"),
        "{error}"
    );
}

//! The live fan-out as a whole: several partitions, several dispatchers, streams that come at any time and are slow or not.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use datastream_protocol::close::CloseCause;
use datastream_protocol::position::Position;
use datastream_routing::{Field, Filter, KeyHash, Route, SubscriptionId, buckets};
use datastream_source::{Bounds, EventSource, Record, RecordStream, SourceError};
use futures_util::future::{BoxFuture, ready};
use futures_util::{FutureExt as _, StreamExt as _, stream};
use proptest::prelude::*;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::*;
use crate::access::{Admission, Principal};
use crate::config::{ConfigStore, ConfigUpdate};
use crate::event::CloudHeads;
use crate::ingest::{Batch, BatchSink as _};
use crate::metrics::Metrics;

const STREAMS: usize = 7;
const DEVICES: usize = 3;
/// Bytes of a ring that holds all events.
const LARGE: usize = 1 << 30;
/// Time that all deliveries of a case may take.
const LIMIT: Duration = Duration::from_secs(20);

/// A topic in memory, of which the beginning expires.
#[derive(Default)]
struct Topic(Vec<Mutex<Log>>);

#[derive(Default)]
struct Log {
    /// The first record that is left.
    available: u64,
    /// The device of each record.
    devices: Vec<usize>,
}

impl Topic {
    fn new(partitions: u32) -> Self {
        Self((0..partitions).map(|_| Mutex::default()).collect())
    }

    fn log(&self, partition: u32) -> MutexGuard<'_, Log> {
        self.0[partition as usize].lock().unwrap()
    }

    /// A position at which nothing is missing in what is left.
    fn behind_expired(&self, position: &Position) -> Position {
        let start = |partition| self.log(partition).available;
        let start = (0..position.partitions()).map(start).collect::<Vec<_>>();
        position.union(&Position::new(start))
    }
}

impl EventSource for Topic {
    fn describe(&self) -> String {
        "a topic in memory".to_owned()
    }

    fn bounds(&self) -> BoxFuture<'_, Result<Vec<Bounds>, SourceError>> {
        unreachable!()
    }

    fn tail(&self, _: u32, _: u64, _: u32) -> BoxFuture<'_, Result<RecordStream, SourceError>> {
        unreachable!()
    }

    fn replay(
        &self,
        partition: u32,
        from: u64,
        _: u32,
    ) -> BoxFuture<'_, Result<RecordStream, SourceError>> {
        let log = self.log(partition);
        let available = log.available;
        if from < available {
            let wanted = from;
            return ready(Err(SourceError::Expired { wanted, available })).boxed();
        }
        let records = (0..).zip(&log.devices).skip(from as usize);
        let records = records.map(|(offset, device)| record(offset, *device));
        let records = stream::iter([Ok(records.collect())]);
        ready(Ok(records.chain(stream::pending()).boxed())).boxed()
    }
}

/// A batch of one partition: so many records, of which the first is of this device, behind so many that nobody has read when they and
/// all before them expire.
#[derive(Clone, Copy, Debug)]
struct Given {
    partition: u32,
    expired: usize,
    records: usize,
    device: usize,
}

#[derive(Clone, Debug)]
struct Case {
    partitions: u32,
    dispatchers: usize,
    /// Bytes of the ring.
    ring: usize,
    batches: Vec<Given>,
    /// Number of batches before each stream comes, and milliseconds that its client takes between two looks.
    streams: Vec<(usize, u64)>,
}

fn case() -> impl Strategy<Value = Case> {
    // Some hold all events, others less than what comes while a stream joins.
    let ring = prop_oneof![2 => Just(LARGE), 1 => 50_000..1_000_000_usize];
    (1..4_u32, 1..4_usize, ring).prop_flat_map(|(partitions, dispatchers, ring)| {
        let expired = prop_oneof![9 => Just(0_usize), 1 => 1..50_usize];
        let batch = (0..partitions, expired, 0..400_usize, 0..DEVICES);
        let batch = batch.prop_map(|(partition, expired, records, device)| Given {
            partition,
            expired,
            records,
            device,
        });
        let stream = (0..20_usize, prop_oneof![3 => Just(0_u64), 1 => 1..20_u64]);
        let batches = proptest::collection::vec(batch, 1..20);
        let streams = proptest::collection::vec(stream, STREAMS);
        (batches, streams).prop_map(move |(batches, streams)| Case {
            partitions,
            dispatchers,
            ring,
            batches,
            streams,
        })
    })
}

/// The device that a stream wants; the first stream wants all of them.
fn wanted(stream: usize) -> Option<usize> {
    (stream > 0).then_some(stream % DEVICES)
}

fn route(stream: usize) -> Route {
    let id = SubscriptionId::new("default", format!("s{stream}"));
    let device = wanted(stream).map(|device| device.to_string());
    let filter = device.map(|d| Filter::default().with(Field::Dsn, [d.as_str().into()]));
    Route {
        filters: filter.into_iter().collect(),
        ..Route::new(id, KeyHash::of(&stream.to_string()))
    }
}

fn config() -> Arc<ConfigStore> {
    let store = ConfigStore::new();
    let objects = buckets((0..STREAMS).map(route)).into_iter();
    let updates = objects.map(|(id, bucket)| ConfigUpdate::Set {
        object: id.to_string(),
        bytes: bucket.encode().unwrap(),
    });
    store.apply(updates.chain([ConfigUpdate::Synced]).collect());
    Arc::new(store)
}

fn record(offset: u64, device: usize) -> Record {
    let value = format!(
        r#"{{"metadata":{{"oem_id":"o","oem_model":"m","dsn":"{device}","property_name":"p","event_type":"datapoint"}},"datapoint":{{"value":1}}}}"#
    );
    Record {
        offset,
        timestamp_ms: 0,
        value: Bytes::from(value),
    }
}

fn batch(partition: u32, first: u64, records: Vec<Record>) -> Batch {
    Batch {
        partition,
        first,
        next: first + records.len() as u64,
        records,
        unreadable: None,
    }
}

/// Events by partition, in the order in which they came.
type Events = BTreeMap<u32, Vec<u64>>;

fn new_queue(context: &CatchUpContext, stream: usize) -> Arc<SendQueue> {
    let route = Arc::new(route(stream));
    let principal = Arc::new(Principal::of_key(route.key_sha256));
    let admission = Admission { route, principal };
    Arc::new(SendQueue::new(admission, false, context.memory.clone()))
}

fn catch_up(context: &Arc<CatchUpContext>, queue: &Arc<SendQueue>, position: Position) -> CatchUp {
    CatchUp {
        context: context.clone(),
        id: queue.route().id.clone(),
        queue: queue.clone(),
        position,
        end: None,
        paces: None,
        paced_until: None,
    }
}

/// Serves a stream from a position on until nothing more comes, as its task does, and takes down what it gets. Where it is closed, its
/// client opens the next one at the position that it is told, or behind what has expired.
async fn serve(
    Stand { context, topic, .. }: Stand,
    stream: usize,
    start: Position,
    pause_ms: u64,
    got: Arc<Mutex<Events>>,
) {
    let mut queue = new_queue(&context, stream);
    let mut position = start.clone();
    let mut reads_from = Some(start);
    loop {
        if let Some(position) = reads_from.take() {
            tokio::spawn(catch_up(&context, &queue, position).run());
        }
        queue.woken().await;
        sleep(Duration::from_millis(pause_ms)).await;
        let drained = queue.take(true);
        if let Some(come_to) = drained.fell_behind_at.as_ref().or(drained.head.as_ref()) {
            position.merge(come_to);
        }
        for event in drained.frames.iter().filter_map(QueuedFrame::event) {
            let partition = event.at.partition;
            let offset = event.at.after.next(partition) - 1;
            position.merge(&event.at.after);
            let mut got = got.lock().unwrap();
            got.entry(partition).or_default().push(offset);
        }
        reads_from = drained.fell_behind_at;
        if let Some(cause) = drained.close {
            assert_eq!(cause, CloseCause::Expired);
            queue.end();
            queue = new_queue(&context, stream);
            position = topic.behind_expired(&position);
            reads_from = Some(position.clone());
        }
    }
}

/// A fan-out that runs, from the decoder on.
#[derive(Clone)]
struct Stand {
    decoder: Decoder,
    context: Arc<CatchUpContext>,
    topic: Arc<Topic>,
}

impl Stand {
    /// A fan-out whose dispatchers are among these tasks.
    fn start(partitions: u32, dispatchers: usize, ring: usize, tasks: &mut JoinSet<()>) -> Self {
        let metrics = Arc::new(Metrics::new().unwrap());
        let heads = Arc::new(CloudHeads::new("test"));
        let ring = Arc::new(Ring::new(Position::start(partitions), ring, heads));
        let fan_out = FanOut::new(dispatchers, &config(), &ring, &metrics);
        let decoder = Decoder::new(metrics.clone(), 1 << 20, fan_out.sequencer);
        for dispatcher in fan_out.dispatchers {
            tasks.spawn(dispatcher.run());
        }
        let topic = Arc::new(Topic::new(partitions));
        let source = topic.clone();
        let replay_permits = Arc::new(Semaphore::new(1));
        let permits = replay_permits.clone();
        let reads = SharedReads::new(source.clone(), permits, 1 << 20, 1 << 20, metrics.clone());
        let context = Arc::new(CatchUpContext {
            ring,
            dispatcher: fan_out.handle,
            source,
            memory: Arc::new(SendMemory::new(64 << 20)),
            replay_permits,
            reads: Arc::new(reads),
            metrics,
        });
        Self {
            decoder,
            context,
            topic,
        }
    }
}

async fn run(case: &Case) -> Result<(), TestCaseError> {
    let mut tasks = JoinSet::new();
    let stand = Stand::start(case.partitions, case.dispatchers, case.ring, &mut tasks);
    let ring = stand.context.ring.clone();
    let got: Vec<Arc<Mutex<Events>>> = (0..STREAMS).map(|_| Arc::default()).collect();
    let mut starts = vec![None; STREAMS];
    // Each partition has a source of its own: they come to the fan-out at any time, and in any order.
    let channels = (0..case.partitions).map(|_| mpsc::channel(case.batches.len()));
    let (sources, queues): (Vec<_>, Vec<_>) = channels.unzip();
    for mut queue in queues {
        let decoder = stand.decoder.clone();
        tasks.spawn(async move {
            while let Some(batch) = queue.recv().await {
                assert!(decoder.send(batch).await);
            }
        });
    }
    for count in 0..=case.batches.len() {
        for (stream, (after, pause_ms)) in case.streams.iter().enumerate() {
            if (*after).min(case.batches.len()) == count {
                let start = ring.head();
                starts[stream] = Some(start.clone());
                let got = got[stream].clone();
                tasks.spawn(serve(stand.clone(), stream, start, *pause_ms, got));
            }
        }
        let Some(given) = case.batches.get(count) else {
            break;
        };
        let (first, records) = {
            let mut log = stand.topic.log(given.partition);
            let all = given.expired + given.records;
            let devices = (0..all).map(|n| (given.device + n) % DEVICES);
            log.devices.extend(devices);
            let first = (log.devices.len() - given.records) as u64;
            if given.expired > 0 {
                log.available = first;
            }
            let records = (0..).zip(&log.devices).skip(first as usize);
            (first, records.map(|(o, d)| record(o, *d)).collect())
        };
        let batch = batch(given.partition, first, records);
        let source = &sources[given.partition as usize];
        prop_assert!(source.send(batch).await.is_ok());
    }
    for (stream, start) in starts.into_iter().enumerate() {
        let start = start.unwrap();
        let wants = |device: usize| wanted(stream).is_none_or(|wanted| wanted == device);
        for partition in 0..case.partitions {
            // Of what has expired meanwhile, it may have got some.
            let (available, expected): (_, Vec<u64>) = {
                let log = stand.topic.log(partition);
                let events = (0..).zip(&log.devices);
                let events = events
                    .filter(|(offset, device)| *offset >= start.next(partition) && wants(**device));
                (log.available, events.map(|(offset, _)| offset).collect())
            };
            let got = || {
                let got = got[stream].lock().unwrap();
                got.get(&partition).cloned().unwrap_or_default()
            };
            let left = |events: &[u64]| {
                let left = events.iter().filter(|offset| **offset >= available);
                left.copied().collect::<Vec<_>>()
            };
            let all = async {
                while left(&got()) != left(&expected) {
                    sleep(Duration::from_millis(2)).await;
                }
            };
            let came = timeout(LIMIT, all).await;
            let got = got();
            prop_assert!(
                came.is_ok(),
                "stream {stream} from {start:?} got {got:?} of {partition} instead of {expected:?}, of which those from {available} on are left"
            );
            prop_assert!(got.is_sorted_by(|one, next| one < next), "{got:?}");
            prop_assert!(got.iter().all(|offset| expected.contains(offset)));
        }
    }
    // Nothing comes twice.
    tokio::task::yield_now().await;
    tasks.shutdown().await;
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn every_stream_gets_what_it_wants_once_and_in_order_from_any_dispatcher(case in case()) {
        let mut threads = tokio::runtime::Builder::new_multi_thread();
        let runtime = threads.worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(run(&case))?;
    }
}

/// Its client is told to go on there, and would miss what its dispatcher did without it.
#[tokio::test(start_paused = true)]
async fn a_stream_that_its_dispatcher_closes_has_come_no_further_than_that() {
    let mut tasks = JoinSet::new();
    let stand = Stand::start(2, 1, LARGE, &mut tasks);
    let queue = new_queue(&stand.context, 0);
    let head = stand.context.ring.head();
    tokio::spawn(catch_up(&stand.context, &queue, head).run());
    assert!(stand.decoder.send(batch(1, 0, vec![record(0, 0)])).await);
    sleep(Duration::from_secs(1)).await;
    assert!(queue.is_live());
    assert_eq!(queue.take(true).frames.len(), 1);

    // Of the first partition, five records have expired unread. The second one goes on.
    assert!(stand.decoder.send(batch(0, 5, vec![])).await);
    assert!(stand.decoder.send(batch(1, 1, vec![record(1, 0)])).await);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(stand.context.ring.head(), Position::new([5, 2]));
    let left = queue.take(true);
    assert_eq!(left.close, Some(CloseCause::Expired));
    assert!(left.frames.is_empty());
    assert_eq!(left.head, Some(Position::new([0, 1])));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_has_ended_does_not_take_the_place_of_the_next_one() {
    let mut tasks = JoinSet::new();
    let stand = Stand::start(1, 1, LARGE, &mut tasks);
    let (ended, next) = (new_queue(&stand.context, 0), new_queue(&stand.context, 0));
    let head = stand.context.ring.head();
    tokio::spawn(catch_up(&stand.context, &next, head.clone()).run());
    sleep(Duration::from_secs(1)).await;
    ended.end();
    tokio::spawn(catch_up(&stand.context, &ended, head).run());
    sleep(Duration::from_secs(1)).await;
    assert!(stand.decoder.send(batch(0, 0, vec![record(0, 0)])).await);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(next.take(true).frames.len(), 1);
    assert!(!ended.is_live());
}

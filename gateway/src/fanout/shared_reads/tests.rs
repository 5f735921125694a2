use std::sync::atomic::AtomicUsize;

use bytes::Bytes;
use datastream_source::{Bounds, Damage, Record, RecordStream};
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt as _};
use proptest::prelude::*;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::*;

/// Longer than anything takes here.
const STALL: Duration = Duration::from_mins(1);

/// An answer of the topic.
#[derive(Clone, Copy, Debug)]
enum Answer {
    /// Some records, the first of which may be before what was asked for.
    Records(u64),
    /// Nothing for some milliseconds first.
    Late(u64, u64),
    /// A record is left out in the middle.
    Hole(u64),
    /// The stream breaks off.
    Cut,
    /// The topic cannot be opened, or says nothing for so long that it is given up.
    Away,
}

/// A topic with a partition of `end` records, of which those from `damaged` on, 3 of them, cannot be read. Answers come round.
#[derive(Debug)]
struct Topic {
    end: u64,
    damaged: Option<u64>,
    answers: Vec<Answer>,
    asked: AtomicUsize,
    /// Records that were read.
    read: AtomicU64,
    /// Streams that are open, and the most that were.
    open: AtomicUsize,
    most_open: AtomicUsize,
}

impl Topic {
    fn new(end: u64, damaged: Option<u64>, answers: Vec<Answer>) -> Arc<Self> {
        Arc::new(Self {
            end,
            damaged,
            answers,
            asked: AtomicUsize::new(0),
            read: AtomicU64::new(0),
            open: AtomicUsize::new(0),
            most_open: AtomicUsize::new(0),
        })
    }

    fn answer(&self) -> Answer {
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        self.answers[number % self.answers.len()]
    }

    fn is_damaged(&self, offset: u64) -> bool {
        self.damaged
            .is_some_and(|first| (first..first + 3).contains(&offset))
    }

    /// The records from here on, up to so many, the end, or what is damaged.
    fn records(&self, from: u64, count: u64) -> Vec<Record> {
        let offsets = from..(from + count).min(self.end);
        let offsets = offsets.take_while(|offset| !self.is_damaged(*offset));
        let records: Vec<_> = offsets.map(record).collect();
        self.read.fetch_add(records.len() as u64, Ordering::Relaxed);
        records
    }

    /// The offsets that a reader gets.
    fn readable(&self, from: u64) -> Vec<u64> {
        (from..self.end).filter(|o| !self.is_damaged(*o)).collect()
    }
}

fn record(offset: u64) -> Record {
    let value = r#"{"metadata":{"oem_id":"o","oem_model":"m","dsn":"d","property_name":"p","event_type":"datapoint"},"datapoint":{"value":1}}"#;
    Record {
        offset,
        timestamp_ms: 0,
        value: Bytes::from_static(value.as_bytes()),
    }
}

/// A stream of a [`Topic`].
struct Opened {
    topic: Arc<Topic>,
    next: u64,
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.topic.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Opened {
    async fn answer(&mut self) -> Option<Result<Vec<Record>, SourceError>> {
        let (at, topic) = (self.next, self.topic.clone());
        if topic.is_damaged(at) {
            let first = topic.damaged.unwrap();
            self.next = first + 3;
            return Some(Err(SourceError::Unreadable(Unreadable {
                first,
                next: first + 3,
                damage: Damage::TooLarge,
                detail: String::new(),
            })));
        }
        let (before, mut records) = match topic.answer() {
            Answer::Records(count) => (count % 3, topic.records(at, count)),
            Answer::Late(ms, count) => {
                sleep(Duration::from_millis(ms)).await;
                (0, topic.records(at, count))
            }
            Answer::Hole(count) => {
                let mut records = topic.records(at, count);
                if records.len() > 2 {
                    records.remove(1);
                }
                (0, records)
            }
            Answer::Cut => return None,
            Answer::Away => std::future::pending().await,
        };
        self.next = records.last().map_or(at, |last| last.offset + 1);
        let earlier = (at.saturating_sub(before)..at).map(record);
        records.splice(0..0, earlier);
        if at >= topic.end {
            std::future::pending::<()>().await;
        }
        Some(Ok(records))
    }
}

/// The topic, as a source.
struct Source(Arc<Topic>);

impl EventSource for Source {
    fn describe(&self) -> String {
        "a topic".to_owned()
    }

    fn bounds(&self) -> BoxFuture<'_, Result<Vec<Bounds>, SourceError>> {
        unreachable!()
    }

    fn tail(&self, _: u32, _: u64, _: u32) -> BoxFuture<'_, Result<RecordStream, SourceError>> {
        unreachable!()
    }

    fn replay(
        &self,
        _: u32,
        from: u64,
        _: u32,
    ) -> BoxFuture<'_, Result<RecordStream, SourceError>> {
        Box::pin(async move {
            let topic = &self.0;
            tokio::task::yield_now().await;
            if matches!(topic.answer(), Answer::Away) {
                return Err(SourceError::NoTopic("away".to_owned()));
            }
            let open = topic.open.fetch_add(1, Ordering::Relaxed) + 1;
            topic.most_open.fetch_max(open, Ordering::Relaxed);
            let opened = Opened {
                topic: topic.clone(),
                next: from,
            };
            let answers = stream::unfold(opened, |mut opened| async {
                let answer = opened.answer().await?;
                Some((answer, opened))
            });
            Ok(answers.boxed())
        })
    }
}

fn reads(topic: &Arc<Topic>, permits: usize, limit: usize) -> Arc<SharedReads> {
    Arc::new(SharedReads::new(
        Arc::new(Source(topic.clone())),
        Arc::new(Semaphore::new(permits)),
        1 << 20,
        limit,
        Arc::new(Metrics::new().unwrap()),
    ))
}

/// Goes through the topic as a stream does, whose client takes some milliseconds for each piece.
async fn go_through(reads: Arc<SharedReads>, topic: Arc<Topic>, from: u64, pause: u64) -> Vec<u64> {
    let mut visitor = Visitor::new(reads);
    let (mut next, mut got) = (from, vec![]);
    while next < topic.end {
        match visitor.piece(0, next, STALL).await {
            Ok(piece) => {
                assert!(
                    (piece.first..piece.next).contains(&next),
                    "{next}: {piece:?}"
                );
                got.extend(piece.events_from(next).iter().map(|event| event.offset));
                next = piece.next;
            }
            Err(_) => sleep(Duration::from_millis(1)).await,
        }
        if pause > 0 {
            visitor.let_go();
            sleep(Duration::from_millis(pause)).await;
        }
    }
    got
}

#[tokio::test(start_paused = true)]
async fn a_hundred_streams_read_and_decode_a_range_once() {
    let topic = Topic::new(5000, None, vec![Answer::Records(400), Answer::Late(5, 400)]);
    let reads = reads(&topic, 8, 8 << 20);
    let mut streams = JoinSet::new();
    for _ in 0..100 {
        streams.spawn(go_through(reads.clone(), topic.clone(), 0, 0));
    }
    for got in streams.join_all().await {
        assert_eq!(got, topic.readable(0));
    }
    assert_eq!(topic.read.load(Ordering::Relaxed), 5000);
    assert_eq!(topic.most_open.load(Ordering::Relaxed), 1);
    assert_eq!(topic.open.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn who_begins_in_the_middle_goes_on_with_what_others_have_read() {
    let topic = Topic::new(4000, None, vec![Answer::Records(1000)]);
    let reads = reads(&topic, 2, 8 << 20);
    let mut streams = JoinSet::new();
    for from in [0, 10, 700, 1500, 1501] {
        streams.spawn(go_through(reads.clone(), topic.clone(), from, 0));
    }
    let mut got = streams.join_all().await;
    got.sort_by_key(Vec::len);
    let expected = [1501, 1500, 700, 10, 0].map(|from| topic.readable(from));
    assert_eq!(got, expected);
    assert!(topic.read.load(Ordering::Relaxed) <= 2 * 4000);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_ends_while_it_reads_or_has_read_holds_up_nobody() {
    let topic = Topic::new(1000, None, vec![Answer::Late(1000, 100)]);
    let reads = reads(&topic, 1, 8 << 20);
    // It is at work.
    let first = tokio::spawn(go_through(reads.clone(), topic.clone(), 0, 0));
    sleep(Duration::from_millis(500)).await;
    let second = tokio::spawn(go_through(reads.clone(), topic.clone(), 0, 0));
    sleep(Duration::from_millis(100)).await;
    first.abort();
    assert_eq!(second.await.unwrap(), topic.readable(0));
    // It has left its reader, and takes its time; the only permit is with that.
    let mut visitor = Visitor::new(reads.clone());
    reads.inner.lock().unwrap().pieces = Pieces::new(0);
    visitor.piece(0, 0, STALL).await.unwrap();
    assert_eq!(topic.open.load(Ordering::Relaxed), 1);
    let other = tokio::spawn(go_through(reads.clone(), topic.clone(), 500, 0));
    sleep(Duration::from_secs(3)).await;
    assert!(!other.is_finished());
    visitor.let_go();
    assert_eq!(other.await.unwrap(), topic.readable(500));
    assert!(reads.inner.lock().unwrap().spots.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_is_bounded() {
    let topic = Topic::new(20_000, None, vec![Answer::Records(1000)]);
    let limit = 200 << 10;
    let reads = reads(&topic, 1, limit);
    let got = go_through(reads.clone(), topic.clone(), 0, 0).await;
    assert_eq!(got, topic.readable(0));
    let inner = reads.inner.lock().unwrap();
    let kept: usize = inner.pieces.iter().map(|piece| piece.weight()).sum();
    assert!((1..=limit).contains(&kept), "{kept}");
    drop(inner);
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        6 => (1..300_u64).prop_map(Answer::Records),
        2 => (1..3000_u64, 1..300_u64).prop_map(|(ms, count)| Answer::Late(ms, count)),
        1 => (1..300_u64).prop_map(Answer::Hole),
        1 => Just(Answer::Cut),
        1 => Just(Answer::Away),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn each_stream_gets_each_event_once_whatever_the_topic_answers(
        answers in proptest::collection::vec(answer(), 1..12),
        end in 1..3000_u64,
        damaged in proptest::option::of(0..3000_u64),
        streams in proptest::collection::vec((0..3000_u64, 0..20_u64), 1..12),
        permits in 1..4_usize,
        limit in prop_oneof![Just(0_usize), 1000..1_000_000_usize],
    ) {
        // Somebody has to get something.
        let mut answers = answers;
        answers.extend([Answer::Records(100), Answer::Records(50), Answer::Records(70)]);
        let topic = Topic::new(end, damaged.filter(|d| d + 3 < end), answers);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let reads = reads(&topic, permits, limit);
            let mut running = vec![];
            for (from, pause) in streams {
                let run = go_through(reads.clone(), topic.clone(), from, pause);
                running.push((from, tokio::spawn(run)));
            }
            for (from, run) in running {
                prop_assert_eq!(run.await.unwrap(), topic.readable(from));
            }
            prop_assert!(topic.most_open.load(Ordering::Relaxed) <= permits);
            prop_assert_eq!(topic.open.load(Ordering::Relaxed), 0);
            prop_assert!(reads.inner.lock().unwrap().spots.is_empty());
            Ok(())
        })?;
    }
}

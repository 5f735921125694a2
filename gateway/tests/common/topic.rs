//! A topic in memory, with the habit of the real client to leave records out.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use datastream_source::CursorLog;
use datastream_source::{Bounds, EventSource, Record, RecordStream, SourceError};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use tokio::sync::watch;

#[derive(Clone)]
pub struct Topic {
    partitions: Arc<Vec<Partition>>,
    /// Every stream leaves out all records but this many, then one, then continues: as the real one does.
    cut_after: Option<usize>,
    pub down: Arc<watch::Sender<bool>>,
    /// Records that were read to replay them.
    replayed: Arc<AtomicUsize>,
}

struct Partition {
    log: Mutex<Log>,
    end: watch::Sender<u64>,
}

#[derive(Default)]
struct Log {
    start: u64,
    values: Vec<Bytes>,
    /// Time at which the first record was taken, in milliseconds since 1970, each later one a second after; 0 for unknown.
    since_ms: i64,
}

impl Topic {
    pub fn new(partitions: usize) -> Self {
        let partition = || Partition {
            log: Mutex::default(),
            end: watch::Sender::new(0),
        };
        let partitions = (0..partitions).map(|_| partition()).collect();
        Self {
            partitions: Arc::new(partitions),
            cut_after: None,
            down: Arc::new(watch::Sender::new(false)),
            replayed: Arc::default(),
        }
    }

    /// One partition with so many events of device `A`.
    #[allow(dead_code, reason = "not every test has events before it begins")]
    pub fn of(events: usize) -> Self {
        let topic = Self::new(1);
        topic.append_all(0, (0..events).map(|n| event("A", n)));
        topic
    }

    pub fn cut_after(self, records: usize) -> Self {
        Self {
            cut_after: Some(records),
            ..self
        }
    }

    pub fn append(&self, partition: usize, value: impl Into<Bytes>) {
        self.append_all(partition, [value]);
    }

    pub fn append_all<V: Into<Bytes>>(
        &self,
        partition: usize,
        values: impl IntoIterator<Item = V>,
    ) {
        let partition = &self.partitions[partition];
        let mut log = partition.log.lock().unwrap();
        log.values.extend(values.into_iter().map(Into::into));
        partition.end.send_replace(log.values.len() as u64);
    }

    /// Number of records that were read to replay them.
    pub fn replayed(&self) -> usize {
        self.replayed.load(Ordering::Relaxed)
    }

    /// Removes everything before `start`, as retention does.
    pub fn expire(&self, partition: usize, start: u64) {
        self.partitions[partition].log.lock().unwrap().start = start;
    }

    /// Says when the first record was taken; each later one was taken a second after the one before.
    pub fn taken_since(&self, partition: usize, since_ms: i64) {
        self.partitions[partition].log.lock().unwrap().since_ms = since_ms;
    }

    fn open(&self, number: u32, from: u64) -> RecordStream {
        let partition = &self.partitions[number as usize];
        let reader = Reader {
            topic: self.clone(),
            number,
            next: from,
            sent: 0,
            end: partition.end.subscribe(),
            down: self.down.subscribe(),
            failed: false,
        };
        stream::unfold(reader, |mut reader| async move {
            reader.next().await.map(|item| (item, reader))
        })
        .boxed()
    }

    fn bounds_now(&self) -> Result<Vec<Bounds>, SourceError> {
        if *self.down.borrow() {
            return Err(SourceError::Unreachable {
                what: "the test",
                reason: "it is down".to_owned(),
            });
        }
        let bounds = |p: &Partition| {
            let log = p.log.lock().unwrap();
            Bounds {
                start: log.start,
                end: log.values.len() as u64,
            }
        };
        Ok(self.partitions.iter().map(bounds).collect())
    }
}

struct Reader {
    topic: Topic,
    number: u32,
    next: u64,
    sent: usize,
    end: watch::Receiver<u64>,
    down: watch::Receiver<bool>,
    failed: bool,
}

impl Reader {
    async fn next(&mut self) -> Option<Result<Vec<Record>, SourceError>> {
        loop {
            if self.failed {
                return None;
            }
            let read = self.read();
            self.failed = read.is_err();
            if read.as_ref().map_or(true, |records| !records.is_empty()) {
                return Some(read);
            }
            tokio::select! {
                changed = self.end.changed() => changed.unwrap(),
                changed = self.down.changed() => changed.unwrap(),
            }
        }
    }

    fn read(&mut self) -> Result<Vec<Record>, SourceError> {
        if *self.down.borrow_and_update() {
            return Err(SourceError::Unreachable {
                what: "the test",
                reason: "it is down".to_owned(),
            });
        }
        self.end.borrow_and_update();
        let log = self.topic.partitions[self.number as usize]
            .log
            .lock()
            .unwrap();
        if self.next < log.start {
            return Err(SourceError::Expired {
                wanted: self.next,
                available: log.start,
            });
        }
        if self.next > log.values.len() as u64 {
            return Err(SourceError::Beyond { wanted: self.next });
        }
        let mut records = vec![];
        while (self.next as usize) < log.values.len() && records.len() < 100 {
            let left_out = self
                .topic
                .cut_after
                .is_some_and(|n| self.sent > 0 && self.sent.is_multiple_of(n));
            if !left_out {
                let value = log.values[self.next as usize].clone();
                let timestamp_ms = match log.since_ms {
                    0 => 0,
                    since => since + 1000 * self.next as i64,
                };
                records.push(Record {
                    offset: self.next,
                    timestamp_ms,
                    value,
                });
            }
            self.next += 1;
            self.sent += 1;
        }
        Ok(records)
    }
}

impl EventSource for Topic {
    fn describe(&self) -> String {
        "a topic in memory".to_owned()
    }

    fn bounds(&self) -> BoxFuture<'_, Result<Vec<Bounds>, SourceError>> {
        async { self.bounds_now() }.boxed()
    }

    fn tail(
        &self,
        partition: u32,
        from: u64,
        _: u32,
    ) -> BoxFuture<'_, Result<RecordStream, SourceError>> {
        async move { Ok(self.open(partition, from)) }.boxed()
    }

    fn replay(
        &self,
        partition: u32,
        from: u64,
        _: u32,
    ) -> BoxFuture<'_, Result<RecordStream, SourceError>> {
        let replayed = self.replayed.clone();
        let counted = move |read: &Result<Vec<Record>, SourceError>| {
            let records = read.as_ref().map_or(0, Vec::len);
            replayed.fetch_add(records, Ordering::Relaxed);
        };
        async move { Ok(self.open(partition, from).inspect(counted).boxed()) }.boxed()
    }
}

impl CursorLog for Topic {
    fn source(&self) -> Arc<dyn EventSource> {
        Arc::new(self.clone())
    }

    fn ensure(&self) -> BoxFuture<'_, Result<(), SourceError>> {
        async { self.bounds_now().map(|_| ()) }.boxed()
    }

    fn append(&self, record: Bytes) -> BoxFuture<'_, Result<(), SourceError>> {
        async move {
            self.bounds_now()?;
            Self::append(self, 0, record);
            Ok(())
        }
        .boxed()
    }

    fn kept_bytes(&self) -> u64 {
        64 << 20
    }
}

/// An event of a device, numbered so that a test knows which one it got.
pub fn event(dsn: &str, number: usize) -> String {
    format!(
        concat!(
            r#"{{"metadata":{{"oem_id":"0dfc7900","oem_model":"ledevb","dsn":"{}","property_name":"n","#,
            r#""resource_tags":[],"event_type":"datapoint"}},"datapoint":{{"value":{}}}}}"#
        ),
        dsn, number
    )
}

//! A topic that a gateway sees only in part: its live reader stops, the reported ends are stale, the server is away or stuck.

use std::sync::Mutex;

use datastream_source::{Bounds, EventSource, RecordStream, SourceError};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use tokio::sync::watch;

use super::topic::Topic;

pub struct Stopped {
    pub topic: Topic,
    /// The live reader reads.
    pub reads: watch::Sender<bool>,
    /// Bounds of the partitions that are reported instead of the true ones, if any.
    pub reported: Mutex<Option<Vec<Bounds>>>,
    /// Nobody can read anything but live.
    pub away: watch::Sender<bool>,
    /// Whoever reads anything but live gets no answer.
    pub stuck: watch::Sender<bool>,
}

impl Stopped {
    pub fn new(topic: Topic) -> Self {
        Self {
            topic,
            reads: watch::Sender::new(true),
            reported: Mutex::default(),
            away: watch::Sender::new(false),
            stuck: watch::Sender::new(false),
        }
    }
}

impl EventSource for Stopped {
    fn describe(&self) -> String {
        self.topic.describe()
    }

    fn bounds(&self) -> BoxFuture<'_, Result<Vec<Bounds>, SourceError>> {
        match self.reported.lock().unwrap().clone() {
            Some(reported) => async { Ok(reported) }.boxed(),
            None => self.topic.bounds(),
        }
    }

    fn tail(
        &self,
        partition: u32,
        from: u64,
        max_bytes: u32,
    ) -> BoxFuture<'_, Result<RecordStream, SourceError>> {
        let mut reads = self.reads.subscribe();
        async move {
            reads.wait_for(|reads| *reads).await.unwrap();
            let stream = self.topic.tail(partition, from, max_bytes).await?;
            let stopped = async move { drop(reads.wait_for(|reads| !*reads).await.unwrap()) };
            Ok(stream.take_until(Box::pin(stopped)).boxed())
        }
        .boxed()
    }

    fn replay(
        &self,
        partition: u32,
        from: u64,
        max_bytes: u32,
    ) -> BoxFuture<'_, Result<RecordStream, SourceError>> {
        if *self.away.borrow() {
            let what = "the test";
            let reason = "its server is away".to_owned();
            return async move { Err(SourceError::Unreachable { what, reason }) }.boxed();
        }
        if *self.stuck.borrow() {
            return async { Ok(stream::pending().boxed()) }.boxed();
        }
        self.topic.replay(partition, from, max_bytes)
    }
}

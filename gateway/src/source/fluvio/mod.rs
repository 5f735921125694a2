//! The Fluvio client, kept in this one folder (see `docs/decisions/0004-reading-fluvio.md` for what it does and
//! does not promise). Every connect and request is under a timeout; after any error the connection is made anew.

mod cursors;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use fluvio::consumer::{ConsumerConfigExtBuilder, RetryMode};
use fluvio::dataplane::link::ErrorCode;
use fluvio::metadata::partition::PartitionSpec;
use fluvio::{Fluvio, FluvioConfig, FluvioError, Isolation, Offset};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use tokio::time::timeout;

pub use cursors::FluvioCursorLog;

use super::{Bounds, EventSource, Record, RecordStream, SourceError};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Records that are handed on together if they are there.
const CHUNK: usize = 512;

/// One topic of a Fluvio cluster.
#[derive(Debug)]
pub struct FluvioSource {
    address: String,
    topic: String,
    /// The live path and the admin requests.
    live: Connection,
    /// Catching up: a reader that pauses here stalls its connection, so it is not the live one.
    replay: Connection,
}

/// A connection that is made when it is needed and dropped after an error.
#[derive(Default)]
struct Connection(ArcSwapOption<Fluvio>);

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Connection")
            .field(&self.0.load().is_some())
            .finish()
    }
}

impl FluvioSource {
    /// The topic at a cluster's SC address, `HOST:PORT`. Connects when first used.
    pub fn new(address: impl Into<String>, topic: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            topic: topic.into(),
            live: Connection::default(),
            replay: Connection::default(),
        }
    }

    async fn read_bounds(&self) -> Result<Vec<Bounds>, SourceError> {
        let client = self.live.get(&self.address).await?;
        let what = "asking Fluvio for the topic's partitions";
        let answer = in_time(what, async {
            client.admin().await.all::<PartitionSpec>().await
        })
        .await;
        let partitions = self.live.checked(answer)?;
        let mut bounds: Vec<(u32, Bounds)> = partitions
            .into_iter()
            .filter_map(|p| {
                // The object of partition N of topic T is named T-N.
                let (topic, number) = p.name.rsplit_once('-')?;
                let bounds = Bounds {
                    start: p.status.base_offset.max(0) as u64,
                    end: p.status.leader.hw.max(0) as u64,
                };
                (topic == self.topic).then_some((number.parse().ok()?, bounds))
            })
            .collect();
        bounds.sort_unstable_by_key(|(number, _)| *number);
        if bounds.is_empty() {
            return Err(SourceError::NoTopic(self.topic.clone()));
        }
        Ok(bounds.into_iter().map(|(_, b)| b).collect())
    }

    async fn open(
        &self,
        connection: &Connection,
        partition: u32,
        from: u64,
        max_bytes: u32,
        isolation: Isolation,
    ) -> Result<RecordStream, SourceError> {
        let client = connection.get(&self.address).await?;
        let broken = |reason: String| SourceError::Broken { at: from, reason };
        let offset = Offset::absolute(from as i64).map_err(|e| broken(e.to_string()))?;
        let config = ConsumerConfigExtBuilder::default()
            .topic(self.topic.as_str())
            .partition(partition)
            .offset_start(offset)
            .max_bytes(max_bytes as i32)
            .isolation(isolation)
            .retry_mode(RetryMode::Disabled)
            .build()
            .map_err(|e| broken(e.to_string()))?;
        let what = "opening a stream of the topic";
        let stream =
            connection.checked(in_time(what, client.consumer_with_config(config)).await)?;
        let chunks = stream
            .ready_chunks(CHUNK)
            .flat_map(move |chunk| stream::iter(split(from, chunk)));
        // The client's connection lives as long as somebody holds it.
        Ok(chunks
            .map(move |records| {
                let _ = &client;
                records
            })
            .boxed())
    }
}

impl EventSource for FluvioSource {
    fn describe(&self) -> String {
        format!("Fluvio at {}, topic {}", self.address, self.topic)
    }

    fn bounds(&self) -> BoxFuture<'_, Result<Vec<Bounds>, SourceError>> {
        self.read_bounds().boxed()
    }

    fn tail(
        &self,
        partition: u32,
        from: u64,
        max_bytes: u32,
    ) -> BoxFuture<'_, Result<RecordStream, SourceError>> {
        let isolation = Isolation::ReadCommitted;
        self.open(&self.live, partition, from, max_bytes, isolation)
            .boxed()
    }

    fn replay(
        &self,
        partition: u32,
        from: u64,
        max_bytes: u32,
    ) -> BoxFuture<'_, Result<RecordStream, SourceError>> {
        let isolation = Isolation::ReadCommitted;
        self.open(&self.replay, partition, from, max_bytes, isolation)
            .boxed()
    }

    fn peek(
        &self,
        partition: u32,
        from: u64,
        max_bytes: u32,
    ) -> BoxFuture<'_, Result<RecordStream, SourceError>> {
        let isolation = Isolation::ReadUncommitted;
        self.open(&self.replay, partition, from, max_bytes, isolation)
            .boxed()
    }
}

impl Connection {
    async fn get(&self, address: &str) -> Result<Arc<Fluvio>, SourceError> {
        if let Some(client) = self.0.load_full() {
            return Ok(client);
        }
        let config = FluvioConfig::new(address);
        let connect = Fluvio::connect_with_config(&config);
        let client = match timeout(CONNECT_TIMEOUT, connect).await {
            Ok(Ok(client)) => Arc::new(client),
            Ok(Err(error)) => {
                return Err(unreachable("connecting to Fluvio", format!("{error:#}")));
            }
            Err(_) => {
                return Err(unreachable(
                    "connecting to Fluvio",
                    format!("no answer within {CONNECT_TIMEOUT:?}"),
                ));
            }
        };
        // Two that connect at once make two connections; the later one stays for those who come next.
        self.0.store(Some(client.clone()));
        Ok(client)
    }

    /// Forgets the connection if the answer is an error, so that the next request makes a new one.
    fn checked<T>(&self, answer: Result<T, SourceError>) -> Result<T, SourceError> {
        if matches!(answer, Err(SourceError::Unreachable { .. })) {
            self.0.store(None);
        }
        answer
    }
}

async fn in_time<T>(
    what: &'static str,
    request: impl Future<Output = anyhow::Result<T>>,
) -> Result<T, SourceError> {
    match timeout(REQUEST_TIMEOUT, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => match error.downcast_ref::<FluvioError>() {
            Some(FluvioError::TopicNotFound(topic)) => Err(SourceError::NoTopic(topic.clone())),
            _ => Err(unreachable(what, format!("{error:#}"))),
        },
        Err(_) => Err(unreachable(
            what,
            format!("no answer within {REQUEST_TIMEOUT:?}"),
        )),
    }
}

fn unreachable(what: &'static str, reason: String) -> SourceError {
    SourceError::Unreachable { what, reason }
}

/// The records of a chunk up to its first error, and then that error: the client shows it only once.
fn split(
    from: u64,
    chunk: Vec<Result<fluvio::consumer::Record, ErrorCode>>,
) -> impl Iterator<Item = Result<Vec<Record>, SourceError>> {
    let mut records = Vec::with_capacity(chunk.len());
    let mut failure = None;
    for item in chunk {
        match item {
            Ok(record) => {
                let (offset, timestamp_ms) = (record.offset() as u64, record.timestamp());
                // Shares the memory of the fetched answer: nothing is copied.
                let value = bytes::Bytes::clone(&record.into_inner().value);
                records.push(Record {
                    offset,
                    timestamp_ms,
                    value,
                });
            }
            Err(error) => {
                failure = Some(Err(translate(from, error)));
                break;
            }
        }
    }
    let records = (!records.is_empty()).then_some(Ok(records));
    records.into_iter().chain(failure)
}

fn translate(from: u64, error: ErrorCode) -> SourceError {
    match error {
        ErrorCode::OffsetEvicted {
            next_available,
            offset,
        } => SourceError::Expired {
            wanted: offset.max(0) as u64,
            available: next_available.max(0) as u64,
        },
        ErrorCode::OffsetOutOfRange => SourceError::Beyond { wanted: from },
        // What a server of version 0.18 says instead.
        ErrorCode::Other(reason) if reason.contains("is greater than leo") => {
            SourceError::Beyond { wanted: from }
        }
        other => SourceError::Broken {
            at: from,
            reason: other.to_string(),
        },
    }
}

//! The cursors topic in Fluvio: made if it is missing, and appended to.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use fluvio::metadata::topic::{CleanupPolicy, SegmentBasedPolicy, TopicSpec, TopicStorageConfig};
use fluvio::{Fluvio, RecordKey, TopicProducerConfigBuilder, TopicProducerPool};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::timeout;

use super::{FluvioCluster, FluvioSource, in_time, unreachable};
use crate::{CursorLog, EventSource, SourceError};

/// Bytes that the topic keeps when the gateway makes it. Bounded by size and not by time: an outage of all gateways, however
/// long, must not delete a cursor.
const KEPT_BYTES: u64 = 64 << 20;
const SEGMENT_BYTES: u32 = 8 << 20;
/// Timeout of storing one record. The client itself may wait for a minute on a lost connection.
const APPEND_TIMEOUT: Duration = Duration::from_secs(5);

/// The cursors topic of a Fluvio cluster.
#[derive(Debug)]
pub struct FluvioCursorLog {
    source: Arc<FluvioSource>,
    producer: ArcSwapOption<Producer>,
}

struct Producer {
    pool: TopicProducerPool,
    /// Client, kept alive for the connection.
    _client: Arc<Fluvio>,
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Producer")
    }
}

impl FluvioCursorLog {
    /// A topic of a cluster, or of the one with this SC, `HOST:PORT`, without TLS. Connects when first used.
    pub fn new(cluster: impl Into<FluvioCluster>, topic: impl Into<String>) -> Self {
        Self {
            source: Arc::new(FluvioSource::new(cluster, topic)),
            producer: ArcSwapOption::empty(),
        }
    }

    async fn make(&self) -> Result<(), SourceError> {
        match self.source.read_bounds().await {
            Err(SourceError::NoTopic(_)) => (),
            found => return found.map(|_| ()),
        }
        let topic = self.source.directory.topic.to_string();
        let mut spec = TopicSpec::new_computed(1, 1, None);
        spec.set_cleanup_policy(CleanupPolicy::Segment(SegmentBasedPolicy {
            time_in_seconds: u32::MAX,
        }));
        spec.set_storage(TopicStorageConfig {
            segment_size: Some(SEGMENT_BYTES),
            max_partition_size: Some(KEPT_BYTES),
        });
        let client = self.source.client().await?;
        let made = in_time("making the cursors topic", async {
            client
                .admin()
                .await
                .create(topic.clone(), false, spec)
                .await
        })
        .await;
        match made {
            Ok(()) => tracing::info!(topic, "cursors topic made"),
            // Another gateway may have been faster.
            Err(error) => {
                return self
                    .source
                    .read_bounds()
                    .await
                    .map(|_| ())
                    .map_err(|_| error);
            }
        }
        Ok(())
    }

    async fn store(&self, record: Bytes) -> Result<(), SourceError> {
        let producer = match self.producer.load_full() {
            Some(producer) => producer,
            None => self.connect().await?,
        };
        let what = "writing to the cursors topic";
        let sent = timeout(APPEND_TIMEOUT, async {
            let output = producer.pool.send(RecordKey::NULL, record.to_vec()).await?;
            producer.pool.flush().await?;
            output.wait().await?;
            anyhow::Ok(())
        });
        let result = match sent.await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => unreachable(what, format!("{error:#}")),
            Err(_) => unreachable(what, format!("not stored within {APPEND_TIMEOUT:?}")),
        };
        // A producer that lost a connection with a record in flight never recovers.
        self.producer.store(None);
        self.source.directory.controller.forget();
        Err(result)
    }

    async fn connect(&self) -> Result<Arc<Producer>, SourceError> {
        let client = self.source.client().await?;
        let what = "opening the cursors topic for writing";
        let config = TopicProducerConfigBuilder::default()
            .linger(Duration::ZERO)
            .build()
            .map_err(|e| unreachable(what, e.to_string()))?;
        let topic = self.source.directory.topic.to_string();
        let opened = in_time(what, client.topic_producer_with_config(topic, config)).await;
        let pool = self.source.directory.controller.checked(opened)?;
        let producer = Arc::new(Producer {
            pool,
            _client: client,
        });
        self.producer.store(Some(producer.clone()));
        Ok(producer)
    }
}

impl CursorLog for FluvioCursorLog {
    fn source(&self) -> Arc<dyn EventSource> {
        self.source.clone()
    }

    fn ensure(&self) -> BoxFuture<'_, Result<(), SourceError>> {
        self.make().boxed()
    }

    fn append(&self, record: Bytes) -> BoxFuture<'_, Result<(), SourceError>> {
        self.store(record).boxed()
    }

    fn kept_bytes(&self) -> u64 {
        KEPT_BYTES
    }
}

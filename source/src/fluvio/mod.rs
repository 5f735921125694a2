//! Fluvio, kept in this one folder: its client for what the controller knows and for writing, and a reader of our own (see
//! `docs/decisions/0004-reading-fluvio.md` for why). Every connect and request is under a timeout; after any error the
//! connection is replaced.

mod batch;
mod cluster;
mod cursors;
mod directory;
mod inflate;
pub mod producer;
mod reader;
mod sequence;
pub mod topic;
mod unit;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use fluvio::metadata::partition::PartitionSpec;
use fluvio::{Fluvio, FluvioError, Isolation};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

pub use batch::MAX_BATCH_BYTES;
#[cfg(feature = "args")]
pub use cluster::ClusterArgs;
pub use cluster::{ClusterFiles, FluvioCluster};
pub use cursors::FluvioCursorLog;

use self::directory::{Directory, partition_of};
use self::reader::Reader;
use self::unit::Fetch;
use crate::{
    Bounds, CertificateEnds, EventSource, LOOK_BYTES, RecordStream, SourceError, has_record,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Number of batches larger than usual that are held at once by the live path, and as many by all replays together.
const LARGE_BATCHES: usize = 1;

/// The place of a topic.
#[derive(Clone, Debug)]
pub struct FluvioTarget {
    /// The cluster.
    pub cluster: FluvioCluster,
    /// The topic.
    pub topic: String,
}

impl FluvioTarget {
    /// A topic of a cluster, or of the one with this SC, `HOST:PORT`, without TLS.
    pub fn new(cluster: impl Into<FluvioCluster>, topic: impl Into<String>) -> Self {
        let (cluster, topic) = (cluster.into(), topic.into());
        Self { cluster, topic }
    }
}

/// Reads the address of a cluster's SC, for a command line.
///
/// # Errors
/// The message for a malformed address.
pub fn parse_address(text: &str) -> Result<String, String> {
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && !host.contains("//") && is_port(port) => {
            Ok(text.to_owned())
        }
        _ => Err("the address of Fluvio's SC is HOST:PORT, as in localhost:9003".to_owned()),
    }
}

/// One topic of a Fluvio cluster.
#[derive(Debug)]
pub struct FluvioSource {
    directory: Arc<Directory>,
    /// Permits for large batches. Replays have their own: they must not hold up the live path.
    large_live: Arc<Semaphore>,
    large_replays: Arc<Semaphore>,
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
    /// A topic of a cluster, or of the one with this SC, `HOST:PORT`, without TLS. Connects when first used.
    pub fn new(cluster: impl Into<FluvioCluster>, topic: impl Into<String>) -> Self {
        Self {
            directory: Arc::new(Directory::new(cluster.into(), topic.into())),
            large_live: Arc::new(Semaphore::new(LARGE_BATCHES)),
            large_replays: Arc::new(Semaphore::new(LARGE_BATCHES)),
        }
    }

    async fn client(&self) -> Result<Arc<Fluvio>, SourceError> {
        self.directory.controller.get(&self.directory.cluster).await
    }

    async fn read_bounds(&self) -> Result<Vec<Bounds>, SourceError> {
        let client = self.client().await?;
        let Directory {
            topic, controller, ..
        } = &*self.directory;
        let what = "asking Fluvio for the topic's partitions";
        let answer = in_time(what, async {
            client.admin().await.all::<PartitionSpec>().await
        })
        .await;
        let partitions = controller.checked(answer)?;
        let mut bounds: Vec<(u32, Bounds)> = partitions
            .into_iter()
            .filter_map(|p| {
                let number = partition_of(&p.name, topic)?;
                let bounds = Bounds {
                    start: p.status.base_offset.max(0) as u64,
                    end: p.status.leader.hw.max(0) as u64,
                };
                Some((number, bounds))
            })
            .collect();
        bounds.sort_unstable_by_key(|(number, _)| *number);
        if bounds.is_empty() {
            return Err(SourceError::NoTopic(topic.to_string()));
        }
        Ok(bounds.into_iter().map(|(_, b)| b).collect())
    }

    async fn open(
        &self,
        permits: &Arc<Semaphore>,
        partition: u32,
        from: u64,
        max_bytes: u32,
        isolation: Isolation,
    ) -> Result<RecordStream, SourceError> {
        let fetch = Fetch {
            topic: self.directory.topic.clone(),
            partition,
            isolation,
        };
        let (directory, permits) = (self.directory.clone(), permits.clone());
        let reader = Reader::open(directory, permits, fetch, from, max_bytes as usize).await?;
        Ok(stream::unfold(reader, |mut reader| async move {
            reader.next().await.map(|item| (item, reader))
        })
        .boxed())
    }
}

impl EventSource for FluvioSource {
    fn describe(&self) -> String {
        format!(
            "Fluvio at {}, topic {}",
            self.directory.cluster.address(),
            self.directory.topic
        )
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
        self.open(&self.large_live, partition, from, max_bytes, isolation)
            .boxed()
    }

    fn replay(
        &self,
        partition: u32,
        from: u64,
        max_bytes: u32,
    ) -> BoxFuture<'_, Result<RecordStream, SourceError>> {
        let isolation = Isolation::ReadCommitted;
        self.open(&self.large_replays, partition, from, max_bytes, isolation)
            .boxed()
    }

    fn exists(&self, partition: u32, offset: u64) -> BoxFuture<'_, Result<bool, SourceError>> {
        let (permits, isolation) = (&self.large_replays, Isolation::ReadUncommitted);
        let open = move |offset| self.open(permits, partition, offset, LOOK_BYTES, isolation);
        has_record(open, offset).boxed()
    }

    fn certificate_ends(&self) -> CertificateEnds {
        self.directory.cluster.certificate_ends()
    }
}

impl Connection {
    async fn get(&self, cluster: &FluvioCluster) -> Result<Arc<Fluvio>, SourceError> {
        if let Some(client) = self.0.load_full() {
            return Ok(client);
        }
        let client = match timeout(CONNECT_TIMEOUT, cluster.connect()).await {
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
            self.forget();
        }
        answer
    }

    fn forget(&self) {
        self.0.store(None);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_without_host_or_port_are_rejected() {
        for good in ["localhost:9003", "[::1]:9003", "sc.fluvio.svc:1"] {
            assert_eq!(parse_address(good).as_deref(), Ok(good));
        }
        for bad in [
            "localhost",
            ":9003",
            "localhost:",
            "localhost:0",
            "a:70000",
            "http://a:9003",
        ] {
            assert!(
                parse_address(bad).unwrap_err().contains("HOST:PORT"),
                "{bad}"
            );
        }
    }
}

//! The broker as a value: dropping it closes both ports.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use datastream_service::tls::{MaybeTls, ServerTls};
use fluvio_controlplane_metadata::topic::TopicSpec;
use fluvio_protocol::link::ErrorCode;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::damage::BatchDamage;
use crate::listener::Listener;
use crate::log::Store;
use crate::options::BrokerOptions;
use crate::{sc, spu};

/// Time that a client has for the handshake of TLS.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// One of the two ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Topics and metadata (Fluvio's SC).
    Sc,
    /// Records (Fluvio's SPU).
    Spu,
}

/// An error that keeps a topic from being made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// A topic of that name exists.
    #[error("topic {0:?} exists already")]
    Exists(String),
    /// Anything else.
    #[error("topic {name:?}: {reason}")]
    Failed {
        /// The topic's name.
        name: String,
        /// The reason.
        reason: String,
    },
}

/// A running broker.
pub struct Broker {
    store: Arc<Store>,
    tls: Option<Arc<ServerTls>>,
    sc: Listener,
    spu: Listener,
    reporting: JoinHandle<()>,
}

impl Broker {
    /// Starts a broker.
    ///
    /// # Errors
    /// An address that cannot be had, or, unless it is advertised, is not a loopback address; or a journal that cannot be read.
    pub async fn start(options: BrokerOptions) -> io::Result<Self> {
        for address in [options.listen, options.unit_listen] {
            if options.advertise.is_none() && !address.ip().is_loopback() {
                let reason = format!(
                    "{address} is not a loopback address, and this broker has no access control"
                );
                return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
            }
        }
        let (sc, spu) = (
            Listener::new(options.listen),
            Listener::new(options.unit_listen),
        );
        let every = options.status_every;
        let tls = options.tls.clone().map(|files| ServerTls::load(files, &[]));
        let tls = tls
            .transpose()
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, format!("{error:#}")))?;
        let store = Arc::new(Store::open(options)?);
        let reporting = tokio::spawn({
            let store = store.clone();
            async move {
                loop {
                    store.report();
                    tokio::time::sleep(every).await;
                }
            }
        });
        let mut broker = Self {
            store,
            tls: tls.map(Arc::new),
            sc,
            spu,
            reporting,
        };
        broker.up(Role::Spu).await?;
        // The SC gives clients the address of the SPU, so the SPU starts first.
        let _ = broker.store.unit_address.set(broker.spu.address());
        broker.up(Role::Sc).await?;
        Ok(broker)
    }

    /// Returns the address for clients.
    pub const fn address(&self) -> SocketAddr {
        self.sc.address()
    }

    /// Returns the address at which records are produced and fetched.
    pub const fn unit_address(&self) -> SocketAddr {
        self.spu.address()
    }

    /// Makes a topic.
    ///
    /// # Errors
    /// One of that name exists, or the journal cannot be written.
    pub fn create_topic(&self, name: &str, partitions: u32) -> Result<(), TopicError> {
        self.store
            .create(name, TopicSpec::new_computed(partitions, 1, None))
            .map_err(|code| match code {
                ErrorCode::TopicAlreadyExists => TopicError::Exists(name.to_owned()),
                code => TopicError::Failed {
                    name: name.to_owned(),
                    reason: code.to_string(),
                },
            })
    }

    /// The number of partitions of a topic, if it is there.
    pub fn partitions(&self, name: &str) -> Option<u32> {
        let topics = self.store.topics(|(topic, found)| {
            (topic.as_str() == name).then_some(found.partitions.len() as u32)
        });
        topics.into_iter().flatten().next()
    }

    /// Closes all connections of a port.
    pub fn drop_connections(&self, role: Role) {
        match role {
            Role::Sc => self.sc.drop_connections(),
            Role::Spu => self.spu.drop_connections(),
        }
    }

    /// Takes a port down, with all its connections. The data stays.
    pub async fn down(&mut self, role: Role) {
        match role {
            Role::Sc => self.sc.close().await,
            Role::Spu => {
                self.spu.close().await;
                self.store.set_unit_online(false);
            }
        }
    }

    /// Brings a port back on the same address.
    ///
    /// # Errors
    /// The address cannot be had any more.
    pub async fn up(&mut self, role: Role) -> io::Result<()> {
        let (store, tls) = (self.store.clone(), self.tls.clone());
        let serve = move |socket| serve(role, socket, tls.clone(), store.clone());
        match role {
            Role::Sc => self.sc.open(serve).await,
            Role::Spu => {
                self.spu.open(serve).await?;
                self.store.set_unit_online(true);
                Ok(())
            }
        }
    }

    /// Reads requests and never answers, until switched off.
    pub fn set_silent(&self, on: bool) {
        self.store.faults.silent.store(on, Ordering::Relaxed);
    }

    /// Answers this much later.
    pub fn set_delay(&self, delay: Duration) {
        self.store.faults.set_delay(delay);
    }

    /// The next `count` large answers break off in the middle.
    pub fn tear_answers(&self, count: u64) {
        self.store.faults.set_tear(count);
    }

    /// The next `count` produce requests are refused with 'not leader', nothing stored.
    pub fn refuse_produce(&self, count: u64) {
        self.store.faults.set_refuse_produce(count);
    }

    /// The next `count` produce requests are stored, but the connection closes instead of the answer.
    pub fn lose_acks(&self, count: u64) {
        self.store.faults.set_lose_acks(count);
    }

    /// Connections made from now on end with a reset, as those of a killed process do.
    pub fn set_reset(&self, on: bool) {
        self.store.faults.reset.store(on, Ordering::Relaxed);
    }

    /// Readers of committed records see nothing new, until switched off.
    pub fn hold_high_watermark(&self, on: bool) {
        self.store
            .faults
            .hold_high_watermark
            .store(on, Ordering::Relaxed);
    }

    /// Makes the SC report where the logs ended when this was switched on, until it is switched off.
    pub fn hold_reports(&self, on: bool) {
        self.store.faults.hold_reports.store(on, Ordering::Relaxed);
    }

    /// The SPU says of every partition that it does not lead it, until switched off.
    pub fn disown(&self, on: bool) {
        self.store.faults.disown.store(on, Ordering::Relaxed);
    }

    /// Appends a batch as it is, whatever it is; only its base offset is set. Returns that offset.
    ///
    /// # Errors
    /// There is no such partition, the header does not say how many offsets the batch takes, or the journal cannot be written.
    pub fn append_raw(&self, topic: &str, partition: u32, batch: &[u8]) -> io::Result<u64> {
        let batch = bytes::Bytes::copy_from_slice(batch);
        let base = self.store.append_batches(topic, partition, &[batch]);
        base.map(|base| base as u64)
            .map_err(|code| io::Error::other(code.to_string()))
    }

    /// Appends a batch of three records that cannot be read. Returns its first offset.
    ///
    /// # Errors
    /// There is no such partition, or the journal cannot be written.
    pub fn append_damaged(
        &self,
        topic: &str,
        partition: u32,
        damage: BatchDamage,
    ) -> io::Result<u64> {
        self.append_raw(topic, partition, &damage.batch()?)
    }

    /// Has the header of the batch that begins at `base` say that its last offset is `last_delta` more, until the broker ends. Returns
    /// whether there is such a batch.
    pub fn misnumber(&self, topic: &str, partition: u32, base: u64, last_delta: i32) -> bool {
        let partition = self.store.partition(topic, partition);
        partition.is_some_and(|partition| partition.misnumber(base as i64, last_delta))
    }

    /// Drops whole batches below `offset`, as retention does, for good. Returns the first offset that is left, or nothing
    /// if the partition is not there.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub fn evict(&self, topic: &str, partition: u32, offset: u64) -> io::Result<Option<u64>> {
        let start = self.store.evict(topic, partition, offset as i64)?;
        Ok(start.map(|start| start as u64))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.reporting.abort();
        // The tasks of connections end a moment later, and hold the store until then.
        self.store.close();
    }
}

async fn serve(role: Role, socket: TcpStream, tls: Option<Arc<ServerTls>>, store: Arc<Store>) {
    let _ = socket.set_nodelay(true);
    if store.faults.reset.load(Ordering::Relaxed) {
        // After a tidy close a producer waits 60 s before it tries again; after a reset it does at once.
        let _ = socket.set_zero_linger();
    }
    let served = async {
        let socket = match tls {
            None => MaybeTls::Left(socket),
            Some(tls) => {
                let accepted = timeout(HANDSHAKE_TIMEOUT, tls.accept(socket)).await;
                MaybeTls::Right(Box::new(accepted.map_err(io::Error::from)??))
            }
        };
        match role {
            Role::Sc => sc::serve(socket, store).await,
            Role::Spu => spu::serve(socket, store).await,
        }
    };
    if let Err(error) = served.await {
        tracing::debug!(?role, %error, "connection closed");
    }
}

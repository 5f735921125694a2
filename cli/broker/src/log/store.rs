//! Everything the broker holds.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use fluvio_controlplane_metadata::topic::TopicSpec;
use fluvio_protocol::Decoder;
use fluvio_protocol::link::ErrorCode;
use fluvio_protocol::record::{Batch, RawRecords, RecordSet};
use fluvio_types::defaults::CONSUMER_STORAGE_TOPIC;
use tokio::sync::watch;

use super::journal::{Entry, Journal};
use super::partition::{Ends, Partition};
use crate::faults::Faults;
use crate::options::BrokerOptions;

/// The id of the one unit.
pub(crate) const UNIT_ID: i32 = 5001;

/// A topic and its partitions.
pub(crate) struct Topic {
    pub spec: TopicSpec,
    pub partitions: Vec<Arc<Partition>>,
}

/// Topic, partition and consumer.
pub(crate) type ConsumerKey = (String, u32, String);

/// Topics, consumer offsets, and what the controller knows of them. No lock is held across an await.
pub(crate) struct Store {
    pub options: BrokerOptions,
    pub faults: Faults,
    pub unit_address: OnceLock<SocketAddr>,
    topics: Mutex<BTreeMap<String, Topic>>,
    /// Offset and when it was stored, in seconds since 1970.
    consumers: Mutex<BTreeMap<ConsumerKey, (i64, u64)>>,
    /// What the controller last heard of each partition.
    reported: Mutex<BTreeMap<(String, u32), Ends>>,
    unit_online: AtomicBool,
    /// Moves when the metadata changes.
    epoch: watch::Sender<i64>,
    journal: Mutex<Option<Journal>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    /// A store with what the journal holds, if there is one.
    pub(crate) fn open(options: BrokerOptions) -> io::Result<Self> {
        let store = Self {
            options,
            faults: Faults::default(),
            unit_address: OnceLock::new(),
            topics: Mutex::default(),
            consumers: Mutex::default(),
            reported: Mutex::default(),
            unit_online: AtomicBool::new(true),
            epoch: watch::Sender::new(1),
            journal: Mutex::default(),
        };
        // Clients wait 60 s for a first object of each kind, and for this topic when they use consumer offsets.
        let mut system = TopicSpec::new_computed(1, 1, None);
        system.set_system(true);
        store.insert(CONSUMER_STORAGE_TOPIC, system);
        if let Some(path) = store.options.journal.clone() {
            let (journal, entries) = Journal::open(&path)?;
            for entry in entries {
                store.replay(entry)?;
            }
            *lock(&store.journal) = Some(journal);
        }
        Ok(store)
    }

    fn replay(&self, entry: Entry) -> io::Result<()> {
        match entry {
            Entry::Create { topic, partitions } => {
                self.insert(&topic, TopicSpec::new_computed(partitions, 1, None));
            }
            Entry::Delete { topic } => drop(self.delete(&topic)),
            Entry::Append {
                topic,
                partition,
                mut batch,
            } => {
                let batch = Batch::<RawRecords>::decode_from(&mut batch, 0)?;
                if let Some(partition) = self.partition(&topic, partition) {
                    partition.append(RecordSet::default().add(batch), false, |_| Ok(()))?;
                }
            }
            Entry::Commit {
                topic,
                partition,
                consumer,
                offset,
            } => {
                self.commit((topic, partition, consumer), offset)?;
            }
            Entry::Evict {
                topic,
                partition,
                offset,
            } => {
                let evicted = self.partition(&topic, partition);
                if let Some(partition) = evicted.filter(|_| !self.options.forget_evictions) {
                    partition.evict(offset);
                }
            }
        }
        Ok(())
    }

    fn write(&self, entry: impl FnOnce() -> Entry) -> io::Result<()> {
        match lock(&self.journal).as_mut() {
            Some(journal) => journal.write(&entry()),
            None => Ok(()),
        }
    }

    /// Makes a topic.
    pub(crate) fn create(&self, name: &str, spec: TopicSpec) -> Result<(), ErrorCode> {
        if self.exists(name) {
            return Err(ErrorCode::TopicAlreadyExists);
        }
        let partitions = spec.partitions();
        self.write(|| Entry::Create {
            topic: name.to_owned(),
            partitions,
        })
        .map_err(other)?;
        self.insert(name, spec);
        self.report();
        Ok(())
    }

    fn insert(&self, name: &str, spec: TopicSpec) {
        let partitions = (0..spec.partitions())
            .map(|_| Partition::new(self.options.retention_bytes))
            .collect();
        lock(&self.topics).insert(name.to_owned(), Topic { spec, partitions });
        self.metadata_changed();
    }

    /// Deletes a topic, its records and its consumers' offsets.
    pub(crate) fn delete(&self, name: &str) -> Result<(), ErrorCode> {
        let topic = lock(&self.topics)
            .remove(name)
            .ok_or(ErrorCode::TopicNotFound)?;
        self.write(|| Entry::Delete {
            topic: name.to_owned(),
        })
        .map_err(other)?;
        topic.partitions.iter().for_each(|p| p.delete());
        lock(&self.consumers).retain(|(topic, ..), _| topic != name);
        self.report();
        self.metadata_changed();
        Ok(())
    }

    /// Appends batches; returns the offset of the first record.
    pub(crate) fn append(
        &self,
        topic: &str,
        partition: u32,
        records: RecordSet<RawRecords>,
    ) -> Result<i64, ErrorCode> {
        let log = self
            .led(topic, partition)
            .ok_or(ErrorCode::NotLeaderForPartition)?;
        let hold = self.faults.hold_high_watermark.load(Ordering::Relaxed);
        let keep = |batch: &Bytes| {
            self.write(|| Entry::Append {
                topic: topic.to_owned(),
                partition,
                batch: batch.clone(),
            })
        };
        log.append(records, hold, keep).map_err(other)
    }

    /// Drops whole batches below `offset`; returns the first offset that is left, or nothing if the partition is not
    /// there.
    pub(crate) fn evict(
        &self,
        topic: &str,
        partition: u32,
        offset: i64,
    ) -> io::Result<Option<i64>> {
        let Some(log) = self.partition(topic, partition) else {
            return Ok(None);
        };
        self.write(|| Entry::Evict {
            topic: topic.to_owned(),
            partition,
            offset,
        })?;
        Ok(Some(log.evict(offset)))
    }

    /// Whether there is a topic of this name.
    pub(crate) fn exists(&self, name: &str) -> bool {
        lock(&self.topics).contains_key(name)
    }

    /// A partition, if topic and number are there.
    pub(crate) fn partition(&self, topic: &str, number: u32) -> Option<Arc<Partition>> {
        lock(&self.topics)
            .get(topic)?
            .partitions
            .get(number as usize)
            .cloned()
    }

    /// A partition that the unit leads.
    pub(crate) fn led(&self, topic: &str, number: u32) -> Option<Arc<Partition>> {
        if self.faults.disown.load(Ordering::Relaxed) {
            return None;
        }
        self.partition(topic, number)
    }

    /// Something of each topic, in the order of their names.
    pub(crate) fn topics<T>(&self, each: impl FnMut((&String, &Topic)) -> T) -> Vec<T> {
        lock(&self.topics).iter().map(each).collect()
    }

    /// What the controller last heard of a partition.
    pub(crate) fn reported(&self, topic: &str, partition: u32) -> Ends {
        lock(&self.reported)
            .get(&(topic.to_owned(), partition))
            .copied()
            .unwrap_or_default()
    }

    /// Tells the controller where the logs end now.
    pub(crate) fn report(&self) {
        let commit = !self.faults.hold_high_watermark.load(Ordering::Relaxed);
        let ends = self.topics(|(name, topic)| {
            let partitions = topic.partitions.iter().zip(0_u32..);
            let report = |(partition, number): (&Arc<Partition>, u32)| {
                if commit {
                    partition.commit();
                }
                ((name.clone(), number), partition.ends())
            };
            partitions.map(report).collect::<Vec<_>>()
        });
        let ends: BTreeMap<_, _> = ends.into_iter().flatten().collect();
        let changed = {
            let mut reported = lock(&self.reported);
            let held = self.faults.hold_reports.load(Ordering::Relaxed);
            let changed = *reported != ends && !held;
            if changed {
                *reported = ends;
            }
            changed
        };
        if changed {
            self.metadata_changed();
        }
    }

    pub(crate) fn unit_is_online(&self) -> bool {
        self.unit_online.load(Ordering::Relaxed)
    }

    pub(crate) fn set_unit_online(&self, online: bool) {
        self.unit_online.store(online, Ordering::Relaxed);
        self.metadata_changed();
    }

    /// Wakes when the metadata changes; the value is the epoch.
    pub(crate) fn watch_metadata(&self) -> watch::Receiver<i64> {
        self.epoch.subscribe()
    }

    fn metadata_changed(&self) {
        self.epoch.send_modify(|epoch| *epoch += 1);
    }

    /// Stores a consumer's offset.
    pub(crate) fn commit(&self, key: ConsumerKey, offset: i64) -> io::Result<()> {
        self.write(|| Entry::Commit {
            topic: key.0.clone(),
            partition: key.1,
            consumer: key.2.clone(),
            offset,
        })?;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| d.as_secs());
        lock(&self.consumers).insert(key, (offset, now));
        Ok(())
    }

    /// Forgets a consumer's offset.
    pub(crate) fn forget(&self, key: &ConsumerKey) {
        lock(&self.consumers).remove(key);
    }

    /// All consumers' offsets.
    pub(crate) fn consumers(&self) -> Vec<(ConsumerKey, (i64, u64))> {
        lock(&self.consumers)
            .iter()
            .map(|(key, value)| (key.clone(), *value))
            .collect()
    }
}

fn other(error: io::Error) -> ErrorCode {
    ErrorCode::Other(error.to_string())
}

//! Everything the broker holds.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use fluvio_controlplane_metadata::topic::TopicSpec;
use fluvio_protocol::link::ErrorCode;
use fluvio_types::defaults::CONSUMER_STORAGE_TOPIC;
use tokio::sync::watch;

use super::batch::{Stored, split};
use super::journal::{Entry, Journal};
use super::partition::{Ends, Partition};
use crate::faults::Faults;
use crate::options::BrokerOptions;

/// The id of the one SPU.
pub(crate) const UNIT_ID: i32 = 5001;

/// A topic and its partitions.
pub(crate) struct Topic {
    pub spec: TopicSpec,
    pub partitions: Vec<Arc<Partition>>,
}

/// Topic, partition and consumer.
pub(crate) type ConsumerKey = (String, u32, String);

/// Topics, consumer offsets, and what the SC knows of them. No lock is held across an await.
pub(crate) struct Store {
    pub options: BrokerOptions,
    pub faults: Faults,
    pub unit_address: OnceLock<SocketAddr>,
    topics: Mutex<BTreeMap<String, Topic>>,
    /// Offset and when it was stored, in seconds since 1970.
    consumers: Mutex<BTreeMap<ConsumerKey, (i64, u64)>>,
    /// The bounds of each partition that the SC last heard of.
    reported: Mutex<BTreeMap<(String, u32), Ends>>,
    unit_online: AtomicBool,
    /// Moves when the metadata changes.
    epoch: watch::Sender<i64>,
    journal: Mutex<Kept>,
}

/// The place in which what happens is kept.
#[derive(Default)]
enum Kept {
    #[default]
    Nowhere,
    In(Journal),
    /// There was one, which somebody else may have by now.
    Closed,
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
            let (journal, contents) = Journal::open(&path)?;
            let damaged = contents.is_damaged();
            for entry in contents.entries {
                store.replay(entry, damaged)?;
            }
            *lock(&store.journal) = Kept::In(journal);
        }
        Ok(store)
    }

    /// Does again what the journal says. In a damaged one, what made a topic may be missing, and its records are not.
    fn replay(&self, entry: Entry, damaged: bool) -> io::Result<()> {
        match entry {
            Entry::Create { topic, partitions } => {
                self.insert(&topic, TopicSpec::new_computed(partitions, 1, None));
            }
            Entry::Delete { topic } => drop(self.delete(&topic)),
            Entry::Append {
                topic,
                partition,
                batch,
            } => {
                if damaged {
                    self.grow(&topic, partition);
                }
                if let Some(partition) = self.partition(&topic, partition) {
                    partition.restore(Stored::read(batch)?);
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

    /// Makes a partition, and its topic, if they are not there.
    fn grow(&self, name: &str, partition: u32) {
        let mut topics = lock(&self.topics);
        let topic = topics.entry(name.to_owned()).or_insert_with(|| {
            tracing::error!(
                topic = name,
                "made again: the journal has its records, but not how it was made"
            );
            let spec = TopicSpec::new_computed(1, 1, None);
            Topic {
                spec,
                partitions: vec![],
            }
        });
        let partitions = partition as usize + 1;
        if topic.partitions.len() < partitions {
            topic.spec = TopicSpec::new_computed(partition + 1, 1, None);
            let more = || Partition::new(self.options.retention_bytes);
            topic.partitions.resize_with(partitions, more);
            drop(topics);
            self.metadata_changed();
        }
    }

    fn write(&self, entry: impl FnOnce() -> Entry) -> io::Result<()> {
        match &mut *lock(&self.journal) {
            Kept::Nowhere => Ok(()),
            Kept::In(journal) => journal.write(&entry()),
            Kept::Closed => Err(io::Error::other("the broker has stopped")),
        }
    }

    /// Closes the journal, if there is one, for another broker to open. Nothing is written any more.
    pub(crate) fn close(&self) {
        let mut kept = lock(&self.journal);
        if matches!(*kept, Kept::In(_)) {
            *kept = Kept::Closed;
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

    /// Appends the batches of a record set; returns the offset of the first record.
    pub(crate) fn append(&self, topic: &str, partition: u32, set: Bytes) -> Result<i64, ErrorCode> {
        self.append_batches(topic, partition, &split(set).map_err(other)?)
    }

    /// Appends batches as they are; returns the offset of the first record.
    pub(crate) fn append_batches(
        &self,
        topic: &str,
        partition: u32,
        batches: &[Bytes],
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
        log.append(batches, hold, keep).map_err(other)
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

    /// Returns whether there is a topic of this name.
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

    /// A partition that the SPU leads.
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

    /// Returns the bounds of a partition that the SC last heard of.
    pub(crate) fn reported(&self, topic: &str, partition: u32) -> Ends {
        lock(&self.reported)
            .get(&(topic.to_owned(), partition))
            .copied()
            .unwrap_or_default()
    }

    /// Reports to the SC where the logs end now.
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

#[cfg(test)]
mod tests {
    use fluvio_spu_schema::Isolation;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;

    const PARTITIONS: u32 = 2;

    fn batch(records: u32, filler: u8) -> Bytes {
        use fluvio_protocol::Encoder;
        use fluvio_protocol::record::{Batch, Record};
        let record = |_| Record::new(vec![filler; 5]);
        let batch = Batch::from((0..records).map(record).collect::<Vec<_>>());
        let mut bytes = vec![];
        batch.encode(&mut bytes, 0).unwrap();
        bytes.into()
    }

    fn open(path: &std::path::Path) -> Store {
        let journal = Some(path.to_owned());
        let options = BrokerOptions {
            journal,
            ..BrokerOptions::default()
        };
        Store::open(options).unwrap()
    }

    proptest! {
        /// Includes damage to the entry that created the topic.
        #[test]
        fn batches_keep_their_offsets_when_other_batches_are_damaged(
            batches in vec((0..PARTITIONS, 1..5_u32), 1..12), from: Index, to: Index, zeros: bool,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("journal");
            let store = open(&path);
            store.create("t", TopicSpec::new_computed(PARTITIONS, 1, None)).unwrap();
            let mut stored = vec![];
            for (filler, (partition, records)) in (0..).zip(batches) {
                let start = std::fs::metadata(&path).unwrap().len() as usize;
                let base = store.append("t", partition, batch(records, filler)).unwrap();
                let end = std::fs::metadata(&path).unwrap().len() as usize;
                stored.push((start..end, partition, base, batch(records, filler)));
            }
            drop(store);
            let mut file = std::fs::read(&path).unwrap();
            let (from, to) = (from.index(file.len()), to.index(file.len()));
            let hole = from.min(to)..from.max(to) + 1;
            if zeros {
                file[hole.clone()].fill(0);
            } else {
                file.drain(hole.clone());
            }
            std::fs::write(&path, &file).unwrap();
            stored.retain(|(place, ..)| place.end <= hole.start || place.start >= hole.end);
            prop_assume!(!stored.is_empty());
            let store = open(&path);
            for (_, partition, base, bytes) in stored {
                let partition = store.partition("t", partition).unwrap();
                let read = partition.read(base, 1 << 20, Isolation::ReadCommitted, false).unwrap();
                let expected = Stored::at(&bytes, base).unwrap().bytes;
                prop_assert!(read.bytes.starts_with(&expected));
            }
        }
    }
}

//! A topic of the broker or cluster, and reading back what is in it.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context as _;
use datastream_source::fluvio::{FluvioCluster, FluvioSource};
use datastream_source::{Bounds, EventSource as _, SourceError};
use fluvio::metadata::topic::TopicSpec;
use fluvio::{Fluvio, FluvioConfig};
use futures_util::StreamExt as _;
use tokio::time::{Instant, sleep, timeout};

use crate::checker::{Log, Record};
use crate::records::read_record;

/// More than any round writes: an answer that is not cut.
const WHOLE: u32 = 256 << 20;
const PATIENCE: Duration = Duration::from_mins(1);
/// The ends that the controller reports lag behind what is stored.
const SETTLED: Duration = Duration::from_millis(600);

/// Makes a topic on a cluster that is not ours.
pub(crate) async fn create(address: &str, topic: &str, partitions: u32) -> anyhow::Result<()> {
    let client = Fluvio::connect_with_config(&FluvioConfig::new(address)).await?;
    let spec = TopicSpec::new_computed(partitions, 1, None);
    let admin = client.admin().await;
    admin.create(topic.to_owned(), false, spec).await
}

/// Removes a topic from a cluster that is not ours.
pub(crate) async fn delete(address: &str, topic: &str) -> anyhow::Result<()> {
    let client = Fluvio::connect_with_config(&FluvioConfig::new(address)).await?;
    let admin = client.admin().await;
    admin.delete::<TopicSpec>(topic).await
}

/// Everything that the topic holds, once nothing more comes; absent are records that have been lost, or cannot be read.
pub(crate) async fn read(
    cluster: impl Into<FluvioCluster>,
    topic: &str,
) -> anyhow::Result<Vec<Vec<Option<Record>>>> {
    let source = FluvioSource::new(cluster, topic);
    let ends = settled(&source).await?;
    let mut log = vec![vec![]; ends.len()];
    for (partition, bounds) in ends.iter().enumerate() {
        anyhow::ensure!(bounds.start == 0, "{topic}: the beginning has expired");
        let records: &mut Vec<Option<Record>> = &mut log[partition];
        let mut deadline = Instant::now() + PATIENCE;
        while (records.len() as u64) < bounds.end {
            let from = records.len() as u64;
            let mut stream = source.replay(partition as u32, from, WHOLE).await?;
            // Left at a hole, at an error and at a silence: then it is opened again at what is missing.
            'open: while (records.len() as u64) < bounds.end {
                let found = match timeout(Duration::from_secs(2), stream.next()).await {
                    Ok(Some(Ok(found))) => found,
                    Ok(Some(Err(SourceError::Unreadable(place)))) => {
                        records.resize(place.next as usize, None);
                        continue;
                    }
                    _ => break,
                };
                for record in found {
                    if record.offset > records.len() as u64 {
                        break 'open;
                    }
                    if record.offset == records.len() as u64 {
                        let found = read_record(&record.value);
                        let nobody = || {
                            let text = String::from_utf8_lossy(&record.value);
                            let begin: String = text.chars().take(200).collect();
                            format!(
                                "nobody sent {partition}/{}, {} bytes: {begin:?}",
                                record.offset,
                                text.len()
                            )
                        };
                        records.push(Some(found.with_context(nobody)?));
                    }
                }
            }
            if records.len() as u64 > from {
                deadline = Instant::now() + PATIENCE;
            }
            anyhow::ensure!(
                Instant::now() < deadline,
                "{topic}, partition {partition}: nothing at {from}, although it ends at {}",
                bounds.end
            );
        }
    }
    Ok(log)
}

/// Makes one log of what was read at different times, the last time everything that is left. Records of `unreadable` (partition, offset) are
/// none.
pub(crate) fn join(
    read: &[Vec<Vec<Option<Record>>>],
    unreadable: &BTreeSet<(usize, u64)>,
) -> anyhow::Result<Log> {
    let last = read.last().context("a log")?;
    let mut log = Log::new(last.len());
    for (partition, left) in last.iter().enumerate() {
        for (offset, found) in left.iter().enumerate() {
            let earlier = read
                .iter()
                .find_map(|log| *log.get(partition)?.get(offset)?);
            let record = match (found, earlier) {
                (Some(found), _) => *found,
                (None, Some(earlier)) => Record {
                    lost: true,
                    ..earlier
                },
                (None, None) => {
                    let known = unreadable.contains(&(partition, offset as u64));
                    anyhow::ensure!(known, "there is nothing at {partition}/{offset}");
                    Record::NONE
                }
            };
            log.partitions[partition].push(record);
        }
    }
    Ok(log)
}

/// Returns the bounds of the partitions, when they do not move any more.
async fn settled(source: &FluvioSource) -> anyhow::Result<Vec<Bounds>> {
    let deadline = Instant::now() + PATIENCE;
    let mut last = None;
    loop {
        match source.bounds().await {
            Ok(bounds) if last.as_ref() == Some(&bounds) => return Ok(bounds),
            Ok(bounds) => last = Some(bounds),
            Err(error) if Instant::now() > deadline => return Err(error.into()),
            Err(_) => (),
        }
        anyhow::ensure!(Instant::now() < deadline, "the topic's ends do not settle");
        sleep(SETTLED).await;
    }
}

//! A producer that survives the loss of its connection.

use std::time::Duration;

use fluvio::{Fluvio, RecordKey, TopicProducerConfigBuilder, TopicProducerPool};
use tokio::time::timeout;

use super::FluvioTarget;

/// Timeout of connecting; the client itself waits more than 90 s for an address that never answers.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Timeout of storing one chunk of records.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of records that are sent before waiting for them to be stored. The client spins on a full queue instead of
/// waiting, so this stays far below the 100 batches that it queues.
const CHUNK_BYTES: usize = 4 << 20;
const BATCH_BYTES: usize = 256 << 10;
const REQUEST_BYTES: usize = 4 << 20;

/// A record to be produced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Decides the partition: records of one key keep their order.
    pub key: String,
    /// The event, as JSON.
    pub value: Vec<u8>,
}

/// Failure to store all records. Those after `confirmed` may be stored or not: Fluvio did not say.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct SendError {
    /// Number of records, from the first on, that were stored for certain.
    pub confirmed: usize,
    /// Description of the failure, with the address of Fluvio.
    pub reason: String,
}

/// Produces into one topic. After any error the next call starts with a new connection: Fluvio's own producer
/// never recovers from a connection that was lost while records were on their way.
pub struct Producer {
    target: FluvioTarget,
    open: Option<Open>,
}

struct Open {
    producer: TopicProducerPool,
    /// Client, kept alive for the producer's connection.
    _client: Fluvio,
}

impl Producer {
    /// A producer that connects with its first record.
    pub const fn new(target: FluvioTarget) -> Self {
        Self { target, open: None }
    }

    /// Sends the records and waits until all are stored: at most 5 s for the connection and 5 s for every 4 MiB.
    pub async fn send(&mut self, records: &[Record]) -> Result<(), SendError> {
        let mut confirmed = 0;
        for chunk in chunks(records) {
            if let Err(reason) = self.send_chunk(chunk).await {
                self.open = None;
                return Err(SendError { confirmed, reason });
            }
            confirmed += chunk.len();
        }
        Ok(())
    }

    /// Sends twice if need be: a connection that died while nothing was sent shows only now. What the first attempt
    /// left unconfirmed may then be stored twice, which is what 'at least once' means.
    pub async fn send_twice(&mut self, records: &[Record]) -> Result<(), SendError> {
        let Err(first) = self.send(records).await else {
            return Ok(());
        };
        tracing::debug!(error = %first, "trying once more");
        let again = self.send(&records[first.confirmed..]).await;
        again.map_err(|second| SendError {
            confirmed: first.confirmed + second.confirmed,
            reason: second.reason,
        })
    }

    async fn send_chunk(&mut self, records: &[Record]) -> Result<(), String> {
        let FluvioTarget { cluster, topic } = &self.target;
        let address = cluster.address();
        let open = match self.open.take() {
            Some(open) => open,
            None => timeout(CONNECT_TIMEOUT, connect(&self.target))
                .await
                .map_err(|_| format!("Fluvio at {address} does not answer"))?
                .map_err(|e| {
                    format!("cannot produce into topic {topic:?} of Fluvio at {address}: {e:#}")
                })?,
        };
        timeout(SEND_TIMEOUT, send(&open.producer, records))
            .await
            .map_err(|_| {
                format!("Fluvio at {address} did not take the records within {SEND_TIMEOUT:?}")
            })?
            .map_err(|e| format!("Fluvio at {address} did not take the records: {e:#}"))?;
        self.open = Some(open);
        Ok(())
    }
}

async fn connect(target: &FluvioTarget) -> anyhow::Result<Open> {
    let config = TopicProducerConfigBuilder::default()
        .linger(Duration::from_millis(1))
        .batch_size(BATCH_BYTES)
        .max_request_size(REQUEST_BYTES)
        .build()?;
    let client = target.cluster.connect().await?;
    let producer = client
        .topic_producer_with_config(target.topic.clone(), config)
        .await?;
    Ok(Open {
        producer,
        _client: client,
    })
}

async fn send(producer: &TopicProducerPool, records: &[Record]) -> anyhow::Result<()> {
    let mut outputs = Vec::with_capacity(records.len());
    for record in records {
        let key = RecordKey::from(record.key.as_str());
        outputs.push(producer.send(key, record.value.clone()).await?);
    }
    producer.flush().await?;
    for output in outputs {
        output.wait().await?;
    }
    Ok(())
}

/// Cuts the records so that no piece but a single large record exceeds [`CHUNK_BYTES`].
fn chunks(records: &[Record]) -> impl Iterator<Item = &[Record]> {
    let mut rest = records;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut bytes = 0;
        let fit = rest
            .iter()
            .take_while(|r| {
                bytes += r.value.len() + r.key.len();
                bytes <= CHUNK_BYTES
            })
            .count();
        let (chunk, after) = rest.split_at(fit.max(1));
        rest = after;
        Some(chunk)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_bounded_and_complete() {
        let sizes = [
            1,
            CHUNK_BYTES,
            CHUNK_BYTES + 1,
            10,
            20,
            CHUNK_BYTES / 2,
            CHUNK_BYTES / 2,
        ];
        let records: Vec<_> = sizes
            .iter()
            .map(|size| Record {
                key: String::new(),
                value: vec![b'x'; *size],
            })
            .collect();
        let lengths: Vec<_> = chunks(&records).map(<[Record]>::len).collect();
        assert_eq!(lengths, [1, 1, 1, 3, 1]);
        assert_eq!(chunks(&[]).count(), 0);
    }
}

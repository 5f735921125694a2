//! Batches as producers encode them, byte by byte.

use fluvio::Compression;
use fluvio_protocol::Encoder;
use fluvio_protocol::record::{
    BATCH_HEADER_SIZE, BATCH_PREAMBLE_SIZE, Batch, RawRecords, Record, RecordData,
};

const LENGTH: usize = 8;
const ATTRIBUTES: usize = BATCH_PREAMBLE_SIZE + 4 + 1 + 4;

/// A batch of these values, made at `at_ms`.
pub fn batch(values: &[String], compression: Compression, at_ms: i64) -> Vec<u8> {
    let record = |value: &String| Record::new(RecordData::from(value.as_bytes()));
    let mut batch = Batch::from(values.iter().map(record).collect::<Vec<_>>());
    batch.header.first_timestamp = at_ms;
    batch.header.set_compression(compression);
    let raw: Batch<RawRecords> = batch.try_into().unwrap();
    let mut bytes = vec![];
    raw.encode(&mut bytes, 0).unwrap();
    bytes
}

/// A batch of one record, whatever its payload is.
pub fn with_payload(payload: &[u8], compression: Compression) -> Vec<u8> {
    let mut bytes = batch(&["x".to_owned()], Compression::None, 1);
    bytes.truncate(BATCH_PREAMBLE_SIZE + BATCH_HEADER_SIZE);
    bytes.extend_from_slice(payload);
    let length = (bytes.len() - BATCH_PREAMBLE_SIZE) as i32;
    bytes[LENGTH..LENGTH + 4].copy_from_slice(&length.to_be_bytes());
    bytes[ATTRIBUTES..ATTRIBUTES + 2].copy_from_slice(&(compression as i16).to_be_bytes());
    bytes
}

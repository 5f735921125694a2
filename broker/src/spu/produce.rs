//! Produce: one answer per partition entry, in the order asked, because clients pair them up by position.

use fluvio_protocol::link::ErrorCode;
use fluvio_spu_schema::produce::{
    PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceResponse,
};

use super::raw_set::RawSet;
use crate::log::Store;

/// Stores what the request brings.
pub(super) fn produce(store: &Store, request: ProduceRequest<RawSet>) -> ProduceResponse {
    let refuse = store.faults.take_refuse_produce();
    let mut response = ProduceResponse::default();
    for topic in request.topics {
        let mut partitions = vec![];
        for entry in topic.partitions {
            let mut answer = PartitionProduceResponse {
                partition_index: entry.partition_index,
                ..Default::default()
            };
            let stored = if refuse {
                Err(ErrorCode::NotLeaderForPartition)
            } else {
                store.append(&topic.name, entry.partition_index, entry.records.0)
            };
            match stored {
                Ok(base) => answer.base_offset = base,
                Err(code) => answer.error_code = code,
            }
            partitions.push(answer);
        }
        response.responses.push(TopicProduceResponse {
            name: topic.name,
            partitions,
        });
    }
    response
}

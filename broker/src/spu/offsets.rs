//! Bounds of logs, and offsets that consumers have stored.

use std::collections::HashMap;
use std::io;

use fluvio_protocol::link::ErrorCode;
use fluvio_protocol::record::ReplicaKey;
use fluvio_spu_schema::server::consumer_offset::{
    ConsumerOffset, DeleteConsumerOffsetRequest, DeleteConsumerOffsetResponse,
    FetchConsumerOffsetsRequest, FetchConsumerOffsetsResponse, UpdateConsumerOffsetRequest,
    UpdateConsumerOffsetResponse,
};
use fluvio_spu_schema::server::fetch_offset::{
    FetchOffsetPartitionResponse, FetchOffsetTopicResponse, FetchOffsetsRequest,
    FetchOffsetsResponse,
};

use super::OpenStream;
use crate::log::Store;

/// The first and the last committed offset of partitions.
pub(super) fn fetch(store: &Store, request: FetchOffsetsRequest) -> FetchOffsetsResponse {
    let mut topics = vec![];
    for topic in request.topics {
        let mut partitions = vec![];
        for asked in &topic.partitions {
            let mut answer = FetchOffsetPartitionResponse {
                partition_index: asked.partition_index,
                ..Default::default()
            };
            match store
                .led(&topic.name, asked.partition_index)
                .map(|p| p.ends())
            {
                Some(ends) => {
                    answer.start_offset = ends.start;
                    answer.last_stable_offset = ends.high_watermark;
                }
                None => answer.error_code = ErrorCode::PartitionNotLeader,
            }
            partitions.push(answer);
        }
        topics.push(FetchOffsetTopicResponse {
            partitions,
            name: topic.name,
        });
    }
    FetchOffsetsResponse { topics }
}

/// Stores a consumer's offset for one of the connection's streams.
pub(super) fn update_consumer(
    store: &Store,
    streams: &HashMap<u32, OpenStream>,
    request: &UpdateConsumerOffsetRequest,
) -> io::Result<UpdateConsumerOffsetResponse> {
    let refuse = |error_code| {
        Ok(UpdateConsumerOffsetResponse {
            offset: 0,
            error_code,
        })
    };
    let Some(stream) = streams.get(&request.session_id) else {
        return refuse(ErrorCode::FetchSessionNotFoud);
    };
    let Some(consumer) = &stream.consumer else {
        return refuse(ErrorCode::Other("stream without consumer id".to_owned()));
    };
    store.commit(
        (stream.topic.clone(), stream.partition, consumer.clone()),
        request.offset,
    )?;
    Ok(UpdateConsumerOffsetResponse {
        offset: request.offset,
        error_code: ErrorCode::None,
    })
}

/// Forgets a consumer's offset.
pub(super) fn delete_consumer(
    store: &Store,
    request: DeleteConsumerOffsetRequest,
) -> DeleteConsumerOffsetResponse {
    let replica = request.replica_id;
    store.forget(&(replica.topic, replica.partition, request.consumer_id));
    DeleteConsumerOffsetResponse {
        error_code: ErrorCode::None,
    }
}

/// The offsets that consumers have stored.
pub(super) fn fetch_consumers(
    store: &Store,
    request: FetchConsumerOffsetsRequest,
) -> FetchConsumerOffsetsResponse {
    let filter = request.filter_opts.unwrap_or_default();
    let offset = |((topic, partition, consumer), (offset, at))| {
        ConsumerOffset::new(consumer, ReplicaKey::new(topic, partition), offset, at)
    };
    let wanted = |found: &ConsumerOffset| {
        filter
            .replica_id
            .as_ref()
            .is_none_or(|r| *r == found.replica_id)
            && filter
                .consumer_id
                .as_ref()
                .is_none_or(|c| *c == found.consumer_id)
    };
    let consumers = store
        .consumers()
        .into_iter()
        .map(offset)
        .filter(wanted)
        .collect();
    FetchConsumerOffsetsResponse {
        error_code: ErrorCode::None,
        consumers,
    }
}

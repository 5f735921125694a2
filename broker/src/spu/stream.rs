//! A fetch stream: one answer is in flight at a time, and the next goes out when the client has acknowledged it.

use std::io;
use std::sync::Arc;

use fluvio_protocol::api::Request;
use fluvio_protocol::link::ErrorCode;
use fluvio_spu_schema::fetch::FetchablePartitionResponse;
use fluvio_spu_schema::server::stream_fetch::{
    DefaultStreamFetchRequest, StreamFetchRequest, StreamFetchResponse,
};
use tokio::sync::watch;

use super::raw_set::RawSet;
use crate::log::Store;
use crate::wire::Out;

/// The most that one answer holds, whatever is asked for.
const MAX_ANSWER: usize = fluvio_types::defaults::STORAGE_MAX_REQUEST_SIZE as usize;

type Response = <StreamFetchRequest<RawSet> as Request>::Response;
type PartitionResponse = FetchablePartitionResponse<RawSet>;

/// One stream.
pub(super) struct Stream {
    pub store: Arc<Store>,
    pub out: Out,
    pub request: DefaultStreamFetchRequest,
    pub id: i32,
    pub version: i16,
    pub session: u32,
}

impl Stream {
    /// Sends until an error (which is sent to the client and ends the stream) or the end of the connection.
    pub(super) async fn run(self, mut acks: watch::Receiver<i64>) -> io::Result<()> {
        let Some(partition) = self.store.led(&self.request.topic, self.request.partition) else {
            return self.fail(0, ErrorCode::NotLeaderForPartition).await;
        };
        let mut ends = partition.watch();
        let mut next = self.request.fetch_offset;
        let max_bytes = (self.request.max_bytes.max(0) as usize).min(MAX_ANSWER);
        loop {
            ends.borrow_and_update();
            let whole = self.store.options.whole_batches;
            let slice = match partition.read(next, max_bytes, self.request.isolation, whole) {
                Ok(slice) => slice,
                Err(code) => return self.fail(self.session, code).await,
            };
            if slice.bytes.is_empty() {
                // No empty response: the client would wait for a first one with records before it continues.
                if ends.changed().await.is_err() {
                    return Ok(());
                }
                continue;
            }
            let answer = PartitionResponse {
                high_watermark: slice.ends.high_watermark,
                log_start_offset: slice.ends.start,
                records: RawSet(slice.bytes),
                ..self.empty()
            };
            self.send(self.session, answer).await?;
            if acks.changed().await.is_err() {
                return Ok(());
            }
            next = (*acks.borrow_and_update()).min(slice.visible.max(partition.ends().end));
        }
    }

    async fn fail(&self, session: u32, error_code: ErrorCode) -> io::Result<()> {
        self.send(
            session,
            PartitionResponse {
                error_code,
                ..self.empty()
            },
        )
        .await
    }

    async fn send(&self, stream_id: u32, partition: PartitionResponse) -> io::Result<()> {
        let response: Response = StreamFetchResponse {
            topic: self.request.topic.clone(),
            stream_id,
            partition,
        };
        self.out.send(self.id, &response, self.version).await
    }

    fn empty(&self) -> PartitionResponse {
        PartitionResponse {
            partition_index: self.request.partition,
            ..PartitionResponse::default()
        }
    }
}

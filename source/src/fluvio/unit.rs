//! A connection to a unit (Fluvio's SPU) with one fetch stream on it. The client of Fluvio hands out records only after it has
//! decompressed them without a bound, and takes frames of any length; so the reading is here, down to the frame.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use fluvio::Isolation;
use fluvio::dataplane::link::ErrorCode;
use fluvio_protocol::api::{Request, RequestHeader};
use fluvio_protocol::link::versions::{ApiVersionsRequest, ApiVersionsResponse};
use fluvio_protocol::{Decoder, Encoder, Version};
use fluvio_spu_schema::server::stream_fetch::{DefaultStreamFetchRequest, StreamFetchResponse};
use fluvio_spu_schema::server::update_offset::{OffsetUpdate, UpdateOffsetsRequest};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::batch::MAX_BATCH_BYTES;
use super::cluster::{FluvioCluster, UnitAddress, UnitSocket};
use crate::SourceError;

/// Timeout of connecting and the first answer, together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes that an answer may have beside batches: names, numbers, the text of an error. An answer without batches has no more.
const OVERHEAD: usize = 64 << 10;
/// The most bytes that an answer may hold without a permit for large ones.
pub(super) const NORMAL_BYTES: usize = fluvio_types::defaults::STORAGE_MAX_BATCH_SIZE as usize;
/// The version of `StreamFetch` for a server that does not say which it has: the client's word.
const OLDEST_FETCH: Version = 17;

const VERSIONS_ID: i32 = 1;
const FETCH_ID: i32 = 2;
const ACK_ID: i32 = 3;

/// Partition to read, and the isolation to read it with.
#[derive(Clone, Debug)]
pub(super) struct Fetch {
    pub topic: Arc<str>,
    pub partition: u32,
    pub isolation: Isolation,
}

/// An open stream.
#[derive(Debug)]
pub(super) struct Unit {
    socket: BufReader<UnitSocket>,
    /// Version of the responses.
    version: Version,
    ack_version: Version,
    session: u32,
    isolation: Isolation,
}

/// One answer of the server.
#[derive(Debug)]
pub(super) struct Answer {
    /// Batches; the last one may be cut.
    pub batches: Bytes,
    /// No batch that is shown reaches beyond this offset.
    pub end: u64,
}

/// Bytes of batches, not looked at.
#[derive(Debug, Default)]
struct Raw(Bytes);

impl Unit {
    /// Connects and asks for what comes from `from` on.
    pub(super) async fn open(
        cluster: &FluvioCluster,
        address: &UnitAddress,
        fetch: &Fetch,
        from: u64,
        max_bytes: usize,
    ) -> Result<Self, SourceError> {
        let opened = timeout(
            CONNECT_TIMEOUT,
            Self::connect(cluster, address, fetch, from, max_bytes),
        );
        let reason = match opened.await {
            Ok(Ok(unit)) => return Ok(unit),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {CONNECT_TIMEOUT:?}"),
        };
        Err(SourceError::Unreachable {
            what: "opening a stream of the topic",
            reason: format!("{}: {reason}", address.address),
        })
    }

    async fn connect(
        cluster: &FluvioCluster,
        address: &UnitAddress,
        fetch: &Fetch,
        from: u64,
        max_bytes: usize,
    ) -> io::Result<Self> {
        let socket = cluster.connect_unit(address).await?;
        let mut unit = Self {
            socket: BufReader::new(socket),
            version: ApiVersionsRequest::DEFAULT_API_VERSION,
            ack_version: UpdateOffsetsRequest::DEFAULT_API_VERSION,
            session: 0,
            isolation: fetch.isolation,
        };
        let hello = ApiVersionsRequest {
            client_version: env!("CARGO_PKG_VERSION").to_owned(),
            client_os: std::env::consts::OS.to_owned(),
            client_arch: std::env::consts::ARCH.to_owned(),
        };
        unit.send(VERSIONS_ID, unit.version, &hello).await?;
        let mut answer = unit.frame(VERSIONS_ID, OVERHEAD).await?;
        let versions = ApiVersionsResponse::decode_from(&mut answer, unit.version)?;
        unit.version = agreed::<DefaultStreamFetchRequest>(&versions).unwrap_or(OLDEST_FETCH);
        unit.ack_version = agreed::<UpdateOffsetsRequest>(&versions)
            .unwrap_or(UpdateOffsetsRequest::DEFAULT_API_VERSION);
        let request = DefaultStreamFetchRequest::builder()
            .topic(fetch.topic.to_string())
            .partition(fetch.partition)
            .fetch_offset(i64::try_from(from).map_err(io::Error::other)?)
            .max_bytes(i32::try_from(max_bytes).map_err(io::Error::other)?)
            .isolation(fetch.isolation)
            .build()
            .map_err(io::Error::other)?;
        unit.send(FETCH_ID, unit.version, &request).await?;
        Ok(unit)
    }

    /// The next answer. One that is larger than usual waits for a permit, unless there is one.
    pub(super) async fn answer(
        &mut self,
        permits: &Arc<Semaphore>,
        permit: &mut Option<OwnedSemaphorePermit>,
    ) -> io::Result<Result<Answer, ErrorCode>> {
        let length = self.length(FETCH_ID, MAX_BATCH_BYTES + OVERHEAD).await?;
        if length > NORMAL_BYTES + OVERHEAD && permit.is_none() {
            *permit = permits.clone().acquire_owned().await.ok();
        }
        let mut bytes = self.bytes(length).await?;
        let answer = StreamFetchResponse::<Raw>::decode_from(&mut bytes, self.version)?;
        self.session = answer.stream_id;
        let end = match (self.isolation, answer.partition.high_watermark) {
            (Isolation::ReadCommitted, end @ 1..) => end as u64,
            _ => u64::MAX,
        };
        Ok(match answer.partition.error_code {
            ErrorCode::None => Ok(Answer {
                batches: answer.partition.records.0,
                end,
            }),
            error => Err(error),
        })
    }

    /// Asks for what comes from `offset` on. Nothing more comes before.
    pub(super) async fn acknowledge(&mut self, offset: u64) -> io::Result<()> {
        let update = OffsetUpdate {
            offset: i64::try_from(offset).map_err(io::Error::other)?,
            session_id: self.session,
        };
        let request = UpdateOffsetsRequest::new(vec![update]);
        self.send(ACK_ID, self.ack_version, &request).await
    }

    async fn send<R: Request>(&mut self, id: i32, version: Version, body: &R) -> io::Result<()> {
        let mut header = RequestHeader::new_with_client(R::API_KEY, "datastream");
        header.set_api_version(version).set_correlation_id(id);
        let mut frame = BytesMut::with_capacity(256);
        frame.put_i32(0);
        header.encode(&mut frame, 0)?;
        body.encode(&mut frame, version)?;
        let length = i32::try_from(frame.len() - 4).map_err(io::Error::other)?;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        let socket = self.socket.get_mut();
        socket.write_all(&frame).await?;
        // TLS holds what it has encrypted until it is asked to write it.
        socket.flush().await
    }

    async fn frame(&mut self, id: i32, limit: usize) -> io::Result<Bytes> {
        let length = self.length(id, limit).await?;
        self.bytes(length).await
    }

    /// The length of the next answer to the request `id`; answers to others are dropped.
    async fn length(&mut self, id: i32, limit: usize) -> io::Result<usize> {
        loop {
            let length = self.socket.read_i32().await?;
            let found = self.socket.read_i32().await?;
            let limit = if found == id { limit } else { OVERHEAD };
            let length = usize::try_from(length)
                .ok()
                .and_then(|length| length.checked_sub(4))
                .filter(|length| *length <= limit)
                .ok_or_else(|| {
                    let reason = format!("an answer of {length} bytes, the limit is {limit}");
                    io::Error::new(ErrorKind::InvalidData, reason)
                })?;
            if found == id {
                return Ok(length);
            }
            self.bytes(length).await?;
        }
    }

    async fn bytes(&mut self, length: usize) -> io::Result<Bytes> {
        let mut bytes = BytesMut::with_capacity(length);
        let mut source = (&mut self.socket).take(length as u64);
        while bytes.len() < length {
            if source.read_buf(&mut bytes).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(bytes.freeze())
    }
}

/// The latest version of a request that both sides know.
fn agreed<R: Request>(versions: &ApiVersionsResponse) -> Option<Version> {
    let key = versions
        .api_keys
        .iter()
        .find(|key| key.api_key == R::API_KEY as i16)?;
    let known = key.max_version >= R::MIN_API_VERSION && key.min_version <= R::MAX_API_VERSION;
    known.then(|| R::MAX_API_VERSION.min(key.max_version))
}

impl Decoder for Raw {
    fn decode<T: bytes::Buf>(&mut self, input: &mut T, version: Version) -> io::Result<()> {
        let mut length = 0_i32;
        length.decode(input, version)?;
        let length = usize::try_from(length).map_err(io::Error::other)?;
        if input.remaining() < length {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.0 = input.copy_to_bytes(length);
        Ok(())
    }
}

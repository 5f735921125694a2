//! The SPU's port: produce, fetch streams, offsets.

mod offsets;
mod produce;
mod raw_set;
mod stream;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use datastream_service::tls::MaybeTls;
use fluvio_protocol::link::ErrorCode;
use fluvio_protocol::link::versions::{ApiVersionsRequest, ApiVersionsResponse, PlatformVersion};
use fluvio_spu_schema::produce::DefaultProduceRequest;
use fluvio_spu_schema::server::SpuServerApiKey as Key;
use fluvio_spu_schema::server::fetch_offset::FetchOffsetsRequest;
use fluvio_spu_schema::server::stream_fetch::DefaultStreamFetchRequest;
use fluvio_spu_schema::server::update_offset::{
    OffsetUpdateStatus, UpdateOffsetsRequest, UpdateOffsetsResponse,
};
use tokio::io::split;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::invalid::invalid;
use crate::log::Store;
use crate::wire::{self, Incoming, Out, announce};

/// A fetch stream of a connection, as later requests refer to it.
pub(crate) struct OpenStream {
    pub topic: String,
    pub partition: u32,
    pub consumer: Option<String>,
    /// The offset that the client wants next.
    acknowledged: watch::Sender<i64>,
}

/// Number of times that a connection may open a stream.
const MAX_STREAMS: usize = 10_000;

/// One connection.
struct Connection {
    store: Arc<Store>,
    out: Out,
    /// Open streams by session id, counted from 1.
    streams: HashMap<u32, OpenStream>,
    /// Tasks that are aborted when the connection ends.
    tasks: JoinSet<io::Result<()>>,
}

/// Serves one connection until the client closes it or says what cannot be understood.
pub(crate) async fn serve(socket: MaybeTls, store: Arc<Store>) -> io::Result<()> {
    let (mut requests, socket) = split(socket);
    let out = Out::new(socket, store.clone());
    let mut connection = Connection {
        store,
        out,
        streams: HashMap::new(),
        tasks: JoinSet::new(),
    };
    while let Some(request) = wire::read(&mut requests).await? {
        if !connection.answer(request).await? {
            break;
        }
    }
    Ok(())
}

impl Connection {
    /// Answers one request; false if the connection is to be closed.
    async fn answer(&mut self, mut request: Incoming) -> io::Result<bool> {
        let (id, version) = (request.correlation_id(), request.version());
        match Key::try_from(request.api_key())? {
            Key::ApiVersion => {
                let _: ApiVersionsRequest = request.body()?;
                self.out.send(id, &versions(), version).await?;
            }
            Key::Produce => {
                let answer = produce::produce(&self.store, request.body()?);
                if self.store.faults.take_lost_ack() {
                    return Ok(false);
                }
                self.out.send(id, &answer, version).await?;
            }
            Key::FetchOffsets => {
                let answer = offsets::fetch(&self.store, request.body()?);
                self.out.send(id, &answer, version).await?;
            }
            Key::StreamFetch if self.streams.len() >= MAX_STREAMS => {
                return Err(invalid(format!(
                    "more than {MAX_STREAMS} streams on a connection"
                )));
            }
            Key::StreamFetch => self.open_stream(request.body()?, id, version),
            Key::UpdateOffsets => {
                let answer = self.acknowledge(request.body()?);
                self.out.send(id, &answer, version).await?;
            }
            Key::UpdateConsumerOffset => {
                let answer =
                    offsets::update_consumer(&self.store, &self.streams, &request.body()?)?;
                self.out.send(id, &answer, version).await?;
            }
            Key::DeleteConsumerOffset => {
                let answer = offsets::delete_consumer(&self.store, request.body()?);
                self.out.send(id, &answer, version).await?;
            }
            Key::FetchConsumerOffsets => {
                let answer = offsets::fetch_consumers(&self.store, request.body()?);
                self.out.send(id, &answer, version).await?;
            }
            #[allow(unreachable_patterns)] // the key set grows with the protocol crate
            key => return Err(invalid(format!("{key:?} is not served"))),
        }
        Ok(true)
    }

    fn open_stream(&mut self, request: DefaultStreamFetchRequest, id: i32, version: i16) {
        let session = self.streams.len() as u32 + 1;
        let acknowledged = watch::Sender::new(-1);
        let acks = acknowledged.subscribe();
        let open = OpenStream {
            topic: request.topic.clone(),
            partition: request.partition,
            consumer: request.consumer_id.clone(),
            acknowledged,
        };
        self.streams.insert(session, open);
        let stream = stream::Stream {
            store: self.store.clone(),
            out: self.out.clone(),
            request,
            id,
            version,
            session,
        };
        self.tasks.spawn(stream.run(acks));
        // Streams that have ended leave nothing behind.
        while self.tasks.try_join_next().is_some() {}
    }

    fn acknowledge(&self, request: UpdateOffsetsRequest) -> UpdateOffsetsResponse {
        let update = |update: fluvio_spu_schema::server::update_offset::OffsetUpdate| {
            let stream = self.streams.get(&update.session_id);
            let known = stream
                .map(|s| s.acknowledged.send_replace(update.offset))
                .is_some();
            let error = if known {
                ErrorCode::None
            } else {
                ErrorCode::FetchSessionNotFoud
            };
            OffsetUpdateStatus {
                session_id: update.session_id,
                error,
            }
        };
        UpdateOffsetsResponse {
            status: request.offsets.into_iter().map(update).collect(),
        }
    }
}

fn versions() -> ApiVersionsResponse {
    ApiVersionsResponse {
        error_code: ErrorCode::None,
        // The consumer offset requests are served but not announced, as by the real server.
        api_keys: vec![
            announce::<DefaultProduceRequest>(),
            announce::<FetchOffsetsRequest>(),
            announce::<DefaultStreamFetchRequest>(),
            announce::<UpdateOffsetsRequest>(),
        ],
        platform_version: PlatformVersion::default(),
    }
}

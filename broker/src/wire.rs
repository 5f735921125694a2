//! Frames: an `i32` length, then for a request its header and body, for a response the correlation id and body.

use std::io::{self, Cursor, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{BufMut, Bytes, BytesMut};
use datastream_service::tls::MaybeTls;
use fluvio_protocol::api::{Request, RequestHeader};
use fluvio_protocol::link::versions::ApiVersionKey;
use fluvio_protocol::{Decoder, Encoder, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::Mutex;

use crate::invalid::invalid;
use crate::log::Store;

/// The largest frame, either way: clients refuse requests over 32 MiB themselves, and names and numbers come on top.
pub(crate) const MAX_FRAME: usize =
    fluvio_types::defaults::STORAGE_MAX_REQUEST_SIZE as usize + (1 << 20);
/// Smallest response that is torn: smaller ones have no records.
const TEAR_FROM: usize = 4096;

/// A request with its header decoded.
pub(crate) struct Incoming {
    header: RequestHeader,
    body: Cursor<Bytes>,
}

impl Incoming {
    /// The kind of request.
    pub(crate) fn api_key(&self) -> u16 {
        self.header.api_key()
    }

    /// The version that the client chose for body and answer.
    pub(crate) fn version(&self) -> Version {
        self.header.api_version()
    }

    /// Every answer carries it, streamed ones too.
    pub(crate) fn correlation_id(&self) -> i32 {
        self.header.correlation_id()
    }

    /// Decodes the body.
    pub(crate) fn body<R: Request>(&mut self) -> io::Result<R> {
        R::decode_from(&mut self.body, self.header.api_version())
    }
}

/// The next request; `None` when the client has closed the connection.
pub(crate) async fn read(socket: &mut ReadHalf<MaybeTls>) -> io::Result<Option<Incoming>> {
    let length = match socket.read_i32().await {
        Ok(length) => usize::try_from(length).map_err(|_| invalid("negative frame length"))?,
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    if length > MAX_FRAME {
        return Err(invalid(format!(
            "frame of {length} bytes, the limit is {MAX_FRAME}"
        )));
    }
    // Takes memory for what comes, not for what is announced.
    let mut frame = BytesMut::new();
    let mut source = socket.take(length as u64);
    while frame.len() < length {
        if source.read_buf(&mut frame).await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
    let mut body = Cursor::new(frame.freeze());
    // The header itself has no versioned field.
    let header = RequestHeader::decode_from(&mut body, 0)?;
    Ok(Some(Incoming { header, body }))
}

/// The way back to the client, shared by everything that answers on one connection.
#[derive(Clone)]
pub(crate) struct Out {
    /// An async lock: it is held while a frame is written, so that frames do not mix.
    socket: Arc<Mutex<WriteHalf<MaybeTls>>>,
    store: Arc<Store>,
}

impl Out {
    pub(crate) fn new(socket: WriteHalf<MaybeTls>, store: Arc<Store>) -> Self {
        Self {
            socket: Arc::new(Mutex::new(socket)),
            store,
        }
    }

    /// Sends an answer, or what the fault switches make of it.
    pub(crate) async fn send<T: Encoder>(
        &self,
        id: i32,
        body: &T,
        version: Version,
    ) -> io::Result<()> {
        let mut frame = BytesMut::with_capacity(256);
        frame.put_i32(0);
        frame.put_i32(id);
        body.encode(&mut frame, version)?;
        let length = frame.len() as i32 - 4;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        let faults = &self.store.faults;
        if faults.silent.load(Ordering::Relaxed) {
            return Ok(());
        }
        let delay = faults.delay();
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let mut socket = self.socket.lock().await;
        if frame.len() > TEAR_FROM && faults.take_tear() {
            socket.write_all(&frame[..frame.len() / 2]).await?;
            socket.shutdown().await?;
            return Err(io::Error::new(
                ErrorKind::ConnectionAborted,
                "torn on purpose",
            ));
        }
        socket.write_all(&frame).await?;
        // TLS holds what it has encrypted until it is asked to write it.
        socket.flush().await
    }
}

/// Returns what `ApiVersions` announces of a request.
pub(crate) fn announce<R: Request>() -> ApiVersionKey {
    ApiVersionKey {
        api_key: R::API_KEY as i16,
        min_version: R::MIN_API_VERSION,
        max_version: R::MAX_API_VERSION,
    }
}

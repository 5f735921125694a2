//! A stream on a socket of its own, as the body of a response of HTTP/1 (RFC 9112, section 7.1).

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use datastream_protocol::close::{Close, CloseCause};
use datastream_protocol::position::Position;
use hyper::{Response, Version};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};

use super::BodyEncoder;
use super::gather::Gathered;
use crate::fanout::QueuedFrame;
use crate::session::{Happened, Transport};
use crate::tcp::{HasTcp, TcpPatience};

/// Bytes before the content of a chunk: its length in eight hexadecimal digits.
const CHUNK_HEAD: usize = 10;
const CHUNK_END: &[u8] = b"\r\n";
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
/// The most that is read of a client behind the end of its stream, so that what was sent is not lost by a reset.
const MAX_DRAINED: u64 = 64 << 10;

/// Takes a socket back whose stream has ended in order: its client may ask for something else.
pub(crate) type Resumed<S> = Box<dyn FnOnce(S) + Send>;

/// The server side of a stream that has a socket.
pub(crate) struct SocketStream<S> {
    io: Option<S>,
    encoder: BodyEncoder,
    /// Chunks tell where the body ends; without them, the end of the connection does.
    is_chunked: bool,
    /// Bytes that have been gathered, and those of them that are written.
    begun: Gathered,
    done: usize,
    written: u64,
    /// Something was written since that was said last.
    is_news: bool,
    /// The client has said something, which nobody reads.
    has_spoken: bool,
    patience: TcpPatience,
    resumed: Option<Resumed<S>>,
}

impl<S: AsyncRead + AsyncWrite + HasTcp + Unpin> SocketStream<S> {
    /// A stream on a socket, as the body of this response, of which nothing has been sent. With what a client has said beyond its request.
    pub(crate) fn new(
        io: S,
        response: &Response<()>,
        version: Version,
        encoder: BodyEncoder,
        has_spoken: bool,
        resumed: Resumed<S>,
    ) -> Self {
        let is_chunked = version == Version::HTTP_11;
        let begun = Gathered {
            bytes: head(response, is_chunked),
            heartbeats: 0,
        };
        Self {
            io: Some(io),
            encoder,
            is_chunked,
            begun,
            done: 0,
            written: 0,
            is_news: false,
            has_spoken,
            patience: TcpPatience::default(),
            resumed: Some(resumed),
        }
    }

    fn io(&mut self) -> io::Result<&mut S> {
        self.io
            .as_mut()
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Writes what has been begun.
    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.begun.bytes.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while self.done < self.begun.bytes.len() {
            let Some(io) = &mut self.io else {
                return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
            };
            let written = ready!(Pin::new(io).poll_write(cx, &self.begun.bytes[self.done..]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.done += written;
            self.written += written as u64;
        }
        // TLS holds what it has encrypted until it is asked to write it.
        ready!(Pin::new(self.io()?).poll_flush(cx))?;
        self.begun.bytes = Vec::new();
        self.done = 0;
        self.is_news = true;
        Poll::Ready(Ok(()))
    }

    /// Begins a chunk with what there is.
    fn gather(&mut self, unsent: &mut VecDeque<QueuedFrame>) {
        let room = if self.is_chunked { CHUNK_HEAD } else { 0 };
        self.begun = self.encoder.gather(unsent, room);
        if self.is_chunked {
            close_chunk(&mut self.begun.bytes);
        }
    }

    /// Moves frames to the socket.
    fn poll_send(
        &mut self,
        unsent: &mut VecDeque<QueuedFrame>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_finish(cx))?;
            if unsent.is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.gather(unsent);
        }
    }

    /// Waits until the client is gone. One that speaks is not listened to any more.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.has_spoken {
            let mut byte = [0];
            let mut read = ReadBuf::new(&mut byte);
            ready!(Pin::new(self.io()?).poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.has_spoken = true;
        }
        Poll::Pending
    }

    fn poll_exchange(
        &mut self,
        unsent: &mut VecDeque<QueuedFrame>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Happened>> {
        if let Some(io) = &self.io {
            self.patience.look(io, cx);
        }
        loop {
            if self.poll_finish(cx)?.is_pending() {
                ready!(self.poll_gone(cx))?;
                return Poll::Ready(Ok(Happened::Ended(CloseCause::ClientLeft)));
            }
            if std::mem::take(&mut self.begun.heartbeats) > 0 {
                return Poll::Ready(Ok(Happened::Taken));
            }
            if !unsent.is_empty() {
                self.gather(unsent);
                continue;
            }
            if std::mem::take(&mut self.is_news) {
                return Poll::Ready(Ok(Happened::Sent));
            }
            ready!(self.poll_gone(cx))?;
            return Poll::Ready(Ok(Happened::Ended(CloseCause::ClientLeft)));
        }
    }

    /// Completes what was begun, and sends the last bytes. Gives the socket back, or ends the connection.
    async fn say_goodbye(&mut self, last: Vec<u8>) -> io::Result<()> {
        poll_fn(|cx| self.poll_finish(cx)).await?;
        let mut bytes = last;
        if self.is_chunked {
            if !bytes.is_empty() {
                bytes.splice(..0, [0; CHUNK_HEAD]);
                close_chunk(&mut bytes);
            }
            bytes.extend_from_slice(LAST_CHUNK);
        }
        self.begun.bytes = bytes;
        poll_fn(|cx| self.poll_finish(cx)).await?;
        let Some(mut io) = self.io.take() else {
            return Ok(());
        };
        if let Some(resumed) = self
            .resumed
            .take()
            .filter(|_| self.is_chunked && !self.has_spoken)
        {
            resumed(io);
            return Ok(());
        }
        io.shutdown().await?;
        tokio::io::copy(&mut io.take(MAX_DRAINED), &mut tokio::io::sink()).await?;
        Ok(())
    }
}

/// Puts the length of a chunk into the room before its content, and its end behind it.
fn close_chunk(bytes: &mut Vec<u8>) {
    let length = bytes.len() - CHUNK_HEAD;
    let head = format!("{length:08x}\r\n");
    bytes[..CHUNK_HEAD].copy_from_slice(head.as_bytes());
    bytes.extend_from_slice(CHUNK_END);
}

/// The bytes of a response before its body.
fn head(response: &Response<()>, is_chunked: bool) -> Vec<u8> {
    let (version, ending) = if is_chunked {
        ("1.1", "transfer-encoding: chunked")
    } else {
        ("1.0", "connection: close")
    };
    let date = httpdate::fmt_http_date(std::time::SystemTime::now());
    let mut head = format!("HTTP/{version} {}\r\n", response.status()).into_bytes();
    for (name, value) in response.headers() {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(format!("{ending}\r\ndate: {date}\r\n\r\n").as_bytes());
    head
}

impl<S> Transport for SocketStream<S>
where
    S: AsyncRead + AsyncWrite + HasTcp + Unpin + Send,
{
    const TELLS_POSITION: bool = true;
    const SENDS_AT_ONCE: bool = true;

    fn dialect(&self) -> &'static str {
        self.encoder.dialect.name()
    }

    fn probed(&mut self) {
        if let Some(io) = &self.io {
            self.patience.ask(io);
        }
    }

    fn set_patience(&mut self, time: Duration) {
        if let Some(io) = &self.io {
            self.patience.set(io, time);
        }
    }

    fn poll(&mut self, unsent: &mut VecDeque<QueuedFrame>, cx: &mut Context<'_>) -> Poll<Happened> {
        let exchanged = ready!(self.poll_exchange(unsent, cx));
        Poll::Ready(exchanged.unwrap_or(Happened::Ended(CloseCause::ConnectionLost)))
    }

    fn send(
        &mut self,
        unsent: &mut VecDeque<QueuedFrame>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), CloseCause>> {
        Poll::Ready(ready!(self.poll_send(unsent, cx)).map_err(|_| CloseCause::ConnectionLost))
    }

    fn is_idle(&self) -> bool {
        self.begun.bytes.is_empty()
    }

    fn heartbeats(&self) -> u64 {
        self.begun.heartbeats
    }

    fn written(&self) -> u64 {
        self.written
    }

    async fn close(&mut self, close: Option<Close>, position: &Position) -> bool {
        let last = self.encoder.last(close.as_ref(), position);
        // It is gone, then.
        let _ = self.say_goodbye(last).await;
        false
    }
}

//! Streams as WebSockets (RFC 6455): a frame is a text message.

#[cfg(feature = "test-util")]
pub mod echo;
mod flood;
mod handshake;
mod socket;
mod writer;

pub(crate) use handshake::{Handshake, VERSION, asks_for_upgrade, offers_cloud_events};

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use datastream_protocol::close::{Close, CloseCause};
use datastream_protocol::dialect::MessageDialect;
use datastream_protocol::frame::LONGEST_MESSAGE;
use datastream_protocol::position::Position;
use futures_util::{Sink, Stream};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};

use self::flood::{Flood, Flooded};
use self::socket::SharedSocket;
use self::writer::Writer;
use crate::access::Jwt;
use crate::fanout::{QueuedFrame, SharedMessage};
use crate::session::{Happened, Transport};
use crate::tcp::{HasTcp, TcpPatience};
use crate::transport::dialect::MessageEncoder;

/// Bytes of pongs and of a close frame that the WebSocket library may hold: two of the largest. Of pings that come faster than
/// pongs can be sent, the last one is answered (RFC 6455, section 5.5.3).
const CONTROL_BUFFER: usize = 256;
/// Bytes that are read of a client at once: it has little to say, and the buffer is there all the time.
const READ_BUFFER: usize = 128;
/// The most that is read of a client to which a close frame has been sent, so that the frame is not lost by a reset.
const MAX_DRAINED: u64 = 1 << 20;

/// The server side of a stream's WebSocket. The writer, which is looked at for each event, comes first.
#[repr(C)]
pub(crate) struct WebSocket<S> {
    writer: Writer,
    socket: WebSocketStream<SharedSocket<S>>,
    received: Flood,
}

/// Bounds of what one client may send, and of what the WebSocket library may hold for it.
struct Bounds {
    /// Bytes of a message.
    longest_message: usize,
    /// Bytes that the library has not written.
    write_buffer: usize,
    messages: Flood,
    bytes: Flood,
}

impl Bounds {
    /// The bounds of a stream.
    fn of_streams() -> Self {
        Self {
            longest_message: LONGEST_MESSAGE,
            write_buffer: CONTROL_BUFFER,
            messages: Flood::of_messages(),
            bytes: Flood::of_bytes(),
        }
    }

    /// Configuration with small buffers, because there are many streams and most are idle.
    fn config(&self) -> WebSocketConfig {
        WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_write_buffer_size(self.write_buffer)
            .max_message_size(Some(self.longest_message))
            .max_frame_size(Some(self.longest_message))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// A WebSocket on a connection whose handshake is done, of which these bytes have been read.
    pub(crate) async fn new(io: S, read: Vec<u8>, encoder: MessageEncoder) -> Self {
        Self::bounded(io, read, Bounds::of_streams(), encoder).await
    }

    async fn bounded(io: S, read: Vec<u8>, bounds: Bounds, encoder: MessageEncoder) -> Self {
        let config = Some(bounds.config());
        let shared = SharedSocket::new(io, bounds.bytes);
        Self {
            writer: Writer::new(encoder),
            socket: WebSocketStream::from_partially_read(shared, read, Role::Server, config).await,
            received: bounds.messages,
        }
    }

    /// Sends and receives. Ready with a message, with none when everything is with the socket, or with the cause for which
    /// the stream ends.
    fn poll_exchange(
        &mut self,
        unsent: &mut VecDeque<QueuedFrame>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Message>, CloseCause>> {
        match self.writer.poll_send(unsent, &mut self.socket, cx) {
            Poll::Ready(Ok(true)) => return Poll::Ready(Ok(None)),
            Poll::Ready(Err(error)) => return Poll::Ready(Err(cause_of(&error))),
            Poll::Ready(Ok(false)) | Poll::Pending => (),
        }
        Poll::Ready(match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
            Some(Ok(message)) => Ok(Some(message)),
            Some(Err(error)) => Err(cause_of(&error)),
            None => Err(CloseCause::ClientLeft),
        })
    }

    fn received(&mut self, message: &Message) -> Happened {
        if self.received.is_reached_by(1) {
            return Happened::Ended(CloseCause::Flooded);
        }
        let is_dss = self.writer.dialect() == MessageDialect::Dss;
        match message {
            Message::Text(text) if is_dss && is_answer(text) => Happened::Answered,
            Message::Text(text) => match serde_json::from_str(text) {
                Ok(Said::Token(token)) => Jwt::parse(&token).map(Happened::NewToken),
                Ok(Said::Ack(seq)) if !is_dss => Some(Happened::Acknowledged(seq)),
                _ => None,
            }
            .unwrap_or(Happened::Ended(CloseCause::UnexpectedText)),
            // Heartbeats are pings there.
            Message::Pong(_) if !is_dss => Happened::Taken,
            Message::Binary(_) => Happened::Ended(CloseCause::UnexpectedBinary),
            Message::Close(_) => Happened::Ended(CloseCause::ClientLeft),
            // The next poll sends the pong.
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Happened::Alive,
        }
    }

    /// Says why the stream ends. Returns whether the client has answered that; where it has not, it may know or not.
    ///
    /// # Errors
    /// The connection is lost.
    async fn say_goodbye(&mut self, close: Option<Close>) -> Result<bool, Error> {
        let (socket, writer) = (&mut self.socket, &mut self.writer);
        poll_fn(|cx| writer.poll_finish(socket, cx)).await?;
        // Pongs first: behind them there may be no room for the close frame.
        poll_fn(|cx| Pin::new(&mut *socket).poll_flush(cx)).await?;
        let code = close.as_ref().map(|close| close.code);
        if let Some(Close { code, reason }) = close {
            let frame = CloseFrame {
                code: code.into(),
                reason: reason.into(),
            };
            socket.close(Some(frame)).await?;
        }
        let mut answered = false;
        loop {
            match poll_fn(|cx| Pin::new(&mut *socket).poll_next(cx)).await {
                // An answer repeats the code (RFC 6455, section 5.5.1); a client that closes by itself has another one.
                Some(Ok(Message::Close(reply))) => {
                    answered = reply.map(|reply| u16::from(reply.code)) == code;
                }
                Some(Ok(_)) => (),
                // Both have said goodbye.
                None => {
                    let _ = socket.get_mut().io.shutdown().await;
                    return Ok(answered);
                }
                // There is nobody any more.
                Some(Err(Error::Io(error))) => return Err(Error::Io(error)),
                Some(Err(_)) => break,
            }
        }
        // The kernel resets a connection that is closed with bytes unread, and the client may lose the close frame by that.
        let io = &mut self.socket.get_mut().io;
        let _ = io.shutdown().await;
        // However that ends, what the client has answered it has answered.
        let _ = tokio::io::copy(&mut io.take(MAX_DRAINED), &mut tokio::io::sink()).await;
        Ok(answered)
    }
}

impl<S: AsyncRead + AsyncWrite + HasTcp + Unpin + Send> Transport for WebSocket<S> {
    // DSS has no place for it.
    const TELLS_POSITION: bool = false;
    const SENDS_AT_ONCE: bool = true;

    fn dialect(&self) -> &'static str {
        self.writer.dialect().name()
    }

    // The client answers in words.
    fn probed(&mut self) {}

    fn set_patience(&mut self, time: Duration) {
        // Nobody is asked by the kernel here: there is nothing to be kept of it.
        TcpPatience::default().set(&self.socket.get_ref().io, time);
    }

    fn poll(&mut self, unsent: &mut VecDeque<QueuedFrame>, cx: &mut Context<'_>) -> Poll<Happened> {
        Poll::Ready(match ready!(self.poll_exchange(unsent, cx)) {
            Ok(Some(message)) => self.received(&message),
            Ok(None) => Happened::Sent,
            Err(cause) => Happened::Ended(cause),
        })
    }

    fn send(
        &mut self,
        unsent: &mut VecDeque<QueuedFrame>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), CloseCause>> {
        if self.socket.get_ref().theirs_begun {
            // The task that is woken by the library's frame goes first.
            return Poll::Pending;
        }
        let sent = ready!(self.writer.poll_send(unsent, &mut self.socket, cx));
        Poll::Ready(sent.map(drop).map_err(|error| cause_of(&error)))
    }

    fn takes_one(&self) -> bool {
        // The task that is woken by the library's frame goes first.
        !self.socket.get_ref().theirs_begun && self.writer.is_idle()
    }

    fn send_one(
        &mut self,
        frame: QueuedFrame,
        unsent: &mut VecDeque<QueuedFrame>,
        message: &mut SharedMessage,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), CloseCause>> {
        let QueuedFrame::Event(event) = frame else {
            unsent.push_back(frame);
            return self.send(unsent, cx);
        };
        let (socket, writer) = (&mut self.socket, &mut self.writer);
        let sent = writer.poll_send_shared(&event, message, socket, cx);
        sent.map_err(|error| cause_of(&error))
    }

    fn is_idle(&self) -> bool {
        self.writer.is_idle()
    }

    fn heartbeats(&self) -> u64 {
        self.writer.heartbeats()
    }

    fn written(&self) -> u64 {
        self.writer.written
    }

    async fn close(&mut self, close: Option<Close>, _: &Position) -> bool {
        self.say_goodbye(close).await.unwrap_or(false)
    }
}

/// Both example clients answer `Z`, the mobile SDK in its own style; `X` is its keep-alive.
fn is_answer(text: &str) -> bool {
    matches!(text.trim(), "Z" | "1|Z" | "X" | "1|X")
}

/// Message of a client, apart from answers to heartbeats.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Said {
    /// `{"token":"TOKEN"}`: a new token.
    Token(Box<str>),
    /// `{"ack":"SEQ"}`: everything up to this event has been handled.
    Ack(Box<str>),
}

fn cause_of(error: &Error) -> CloseCause {
    match error {
        Error::Capacity(CapacityError::MessageTooLong { .. }) => CloseCause::TooLarge,
        Error::Utf8(_) => CloseCause::NotUtf8,
        Error::Io(error) if Flooded::is(error) => CloseCause::Flooded,
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) | Error::Io(_) => {
            CloseCause::ConnectionLost
        }
        Error::Protocol(_) => CloseCause::Protocol,
        Error::ConnectionClosed | Error::AlreadyClosed => CloseCause::ClientLeft,
        _ => CloseCause::ConnectionLost,
    }
}

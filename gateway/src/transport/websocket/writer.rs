//! Frames on their way to a stream's socket, written from where all streams share them.
//!
//! The WebSocket library reads, and writes pongs and close frames; its buffer for what it writes is small and bounded. Events
//! do not go through it: that buffer would grow to the largest frame there ever was, and stay so.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use datastream_protocol::dialect::MessageDialect;
use futures_util::Sink;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error;

use super::socket::SharedSocket;
use crate::event::EventFrame;
use crate::fanout::{QueuedFrame, SharedMessage, WRITE_BYTES};
use crate::transport::dialect::{MessageEncoder, Parts};

/// The first byte of an unfragmented text frame (RFC 6455, section 5.2).
const FINAL_TEXT: u8 = 0x81;
/// The largest header of a frame that is not masked.
const MAX_HEADER: usize = 10;
/// A ping without a payload, which is a heartbeat where the dialect has no other.
const PING: [u8; 2] = [0x89, 0];

/// Writes frames to the socket.
#[derive(Debug)]
pub(super) struct Writer {
    encoder: MessageEncoder,
    begun: Begun,
    /// Bytes handed to the socket so far.
    pub written: u64,
}

/// Frames that have been taken and are not all with the socket.
#[derive(Debug, Default)]
struct Begun {
    /// Whole frames, or the header of one large frame.
    gathered: Vec<u8>,
    /// That large frame.
    large: Option<QueuedFrame>,
    /// Bytes of both, and those of them that have been written.
    total: usize,
    done: usize,
    /// Heartbeats among the frames.
    heartbeats: u64,
}

impl Writer {
    /// A writer that has written nothing.
    pub(super) fn new(encoder: MessageEncoder) -> Self {
        Self {
            encoder,
            begun: Begun::default(),
            written: 0,
        }
    }

    /// The dialect of what is written.
    pub(super) const fn dialect(&self) -> MessageDialect {
        self.encoder.dialect
    }

    /// Returns whether everything that was taken is with the socket.
    pub(super) fn is_idle(&self) -> bool {
        self.begun.is_empty()
    }

    /// Heartbeats that were taken and have not reached the socket.
    pub(super) const fn heartbeats(&self) -> u64 {
        self.begun.heartbeats
    }

    /// Moves frames to the socket. Ready with true: all are with it now; with false: there was nothing to send.
    pub(super) fn poll_send<S>(
        &mut self,
        unsent: &mut VecDeque<QueuedFrame>,
        socket: &mut WebSocketStream<SharedSocket<S>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<bool, Error>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if unsent.is_empty() && self.is_idle() {
            return Poll::Ready(Ok(false));
        }
        loop {
            ready!(self.poll_finish(socket, cx))?;
            if unsent.is_empty() {
                // An emptied queue keeps its memory: give it back, most streams are idle.
                *unsent = VecDeque::new();
                return Poll::Ready(Ok(true));
            }
            if socket.get_ref().theirs_begun {
                ready!(Pin::new(&mut *socket).poll_flush(cx))?;
            }
            self.begun = Begun::gather(unsent, &self.encoder);
            // Before the socket has taken any of it: the library must not begin a frame of its own now, or ours would follow a part of that.
            socket.get_mut().ours_begun = true;
        }
    }

    /// Writes an event, when nothing has been begun, from where other streams have its message from, too.
    pub(super) fn poll_send_shared<S>(
        &mut self,
        event: &Arc<EventFrame>,
        message: &mut SharedMessage,
        socket: &mut WebSocketStream<SharedSocket<S>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Error>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let bytes = message.get(event, self.encoder.dialect, |bytes| {
            if let Some(payload) = self.encoder.payload(&QueuedFrame::Event(event.clone())) {
                put_header(bytes, payload.len());
                payload.put(bytes);
            }
        });
        let io = &mut socket.get_mut().io;
        let done = match Pin::new(&mut *io).poll_write(cx, bytes) {
            Poll::Ready(Ok(written)) => written,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
            Poll::Pending => 0,
        };
        self.written += done as u64;
        let is_done = done == bytes.len();
        if is_done && matches!(Pin::new(io).poll_flush(cx), Poll::Ready(Ok(()))) {
            return Poll::Ready(Ok(()));
        }
        self.begun = Begun::rest_of(bytes, done);
        socket.get_mut().ours_begun = !is_done;
        self.poll_finish(socket, cx)
    }

    /// Writes what has been begun, so that a close frame does not stand in the middle of another frame.
    pub(super) fn poll_finish<S>(
        &mut self,
        socket: &mut WebSocketStream<SharedSocket<S>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Error>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let shared = socket.get_mut();
        while !self.begun.is_empty() {
            if self.begun.is_done() {
                // TLS holds what it has encrypted until it is asked to write it.
                ready!(Pin::new(&mut shared.io).poll_flush(cx))?;
                self.begun = Begun::default();
                continue;
            }
            let written = match self.begun.large_parts(&self.encoder) {
                None => {
                    let rest = &self.begun.gathered[self.begun.done..];
                    ready!(Pin::new(&mut shared.io).poll_write(cx, rest))?
                }
                Some(parts) => {
                    let slices = self.begun.slices(&parts);
                    ready!(Pin::new(&mut shared.io).poll_write_vectored(cx, &slices))?
                }
            };
            if written == 0 {
                return Poll::Ready(Err(io::Error::from(io::ErrorKind::WriteZero).into()));
            }
            self.begun.done += written;
            self.written += written as u64;
            shared.ours_begun = !self.begun.is_done();
        }
        Poll::Ready(Ok(()))
    }
}

impl Begun {
    const fn is_empty(&self) -> bool {
        self.gathered.is_empty()
    }

    const fn is_done(&self) -> bool {
        self.done >= self.total
    }

    /// A message of which so many bytes have been written.
    fn rest_of(message: &[u8], done: usize) -> Self {
        Self {
            gathered: message.to_vec(),
            total: message.len(),
            done,
            ..Self::default()
        }
    }

    /// The text of the large frame, if it is one.
    fn large_parts<'a>(&'a self, encoder: &'a MessageEncoder) -> Option<Parts<'a>> {
        encoder.payload(self.large.as_ref()?)
    }

    /// Takes frames for one write.
    fn gather(frames: &mut VecDeque<QueuedFrame>, encoder: &MessageEncoder) -> Self {
        let mut begun = Self::default();
        while let Some(frame) = frames.front() {
            let Some(payload) = encoder.payload(frame) else {
                begun.gathered.extend_from_slice(&PING);
                begun.heartbeats += 1;
                frames.pop_front();
                continue;
            };
            let length = payload.len();
            if begun.gathered.len() + MAX_HEADER + length > WRITE_BYTES {
                if begun.is_empty() {
                    begun.gathered = Vec::with_capacity(MAX_HEADER);
                    put_header(&mut begun.gathered, length);
                    begun.total = length;
                    begun.large = frames.pop_front();
                }
                break;
            }
            if begun.is_empty() {
                begun.gathered = Vec::with_capacity(estimate(length, frames.len()));
            }
            put_header(&mut begun.gathered, length);
            payload.put(&mut begun.gathered);
            begun.heartbeats += u64::from(frame.is_heartbeat());
            frames.pop_front();
        }
        begun.total += begun.gathered.len();
        begun
    }

    /// Bytes that have not been written, of the header and the text of a large frame.
    fn slices<'a>(&'a self, parts: &Parts<'a>) -> Vec<IoSlice<'a>> {
        let mut skip = self.done;
        let texts = parts.texts().iter().map(|text| text.as_bytes());
        let all = std::iter::once(self.gathered.as_slice()).chain(texts);
        let mut slices = Vec::new();
        for bytes in all {
            let skipped = skip.min(bytes.len());
            skip -= skipped;
            if skipped < bytes.len() {
                slices.push(IoSlice::new(&bytes[skipped..]));
            }
        }
        slices
    }
}

/// Bytes that so many frames may take, by the first one.
fn estimate(length: usize, frames: usize) -> usize {
    (MAX_HEADER + length)
        .saturating_mul(frames)
        .min(WRITE_BYTES)
}

/// Appends the header of a text frame with a payload of this length.
fn put_header(out: &mut Vec<u8>, length: usize) {
    out.push(FINAL_TEXT);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ 0..126), _) => out.push(short),
        (_, Ok(medium)) => {
            out.push(126);
            out.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use datastream_protocol::position::{EventPosition, Position};
    use futures_util::{SinkExt, StreamExt};
    use proptest::prelude::*;
    use serde_json::json;
    use tokio::io::DuplexStream;
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

    use super::super::Bounds;
    use super::super::flood::Flood;
    use super::*;
    use crate::event::Event;
    use crate::fanout::MarkerFrame;

    /// A server's and a client's side, over a pipe that takes so many bytes at a time.
    async fn pair(
        pipe: usize,
    ) -> (
        WebSocketStream<SharedSocket<DuplexStream>>,
        WebSocketStream<DuplexStream>,
    ) {
        let (near, far) = tokio::io::duplex(pipe);
        let shared = SharedSocket::new(near, Flood::of_bytes());
        let bounds = Some(Bounds::of_streams().config());
        let config = Some(WebSocketConfig::default());
        (
            WebSocketStream::from_raw_socket(shared, Role::Server, bounds).await,
            WebSocketStream::from_raw_socket(far, Role::Client, config).await,
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Frames of every size, pings in between, over a pipe that takes a few bytes at a time.
        #[test]
        fn a_client_reads_what_was_sent_whatever_is_between(
            lengths in proptest::collection::vec(prop_oneof![0..300_usize, 120..130_usize, 8_100..8_200_usize, 65_530..65_540_usize], 1..20),
            pings in proptest::collection::vec(0..126_usize, 0..10),
            pipe in 1..5_000_usize,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let (mut server, client) = pair(pipe).await;
                let (mut speak, listen) = client.split();
                let sent: Vec<String> = lengths.iter().map(|n| "x".repeat(*n)).collect();
                let asked = pings.len();
                let speaker = tokio::spawn(async move {
                    for bytes in pings {
                        speak.send(Message::Ping(vec![7; bytes].into())).await.unwrap();
                    }
                    speak
                });
                let listener = tokio::spawn(listen.take_while(|m| {
                    let going_on = m.as_ref().is_ok_and(|m| !m.is_close());
                    async move { going_on }
                }).collect::<Vec<_>>());
                let frames = sent.iter().map(|text| QueuedFrame::Marker(MarkerFrame::raw(text)));
                let (mut unsent, mut writer): (VecDeque<_>, _) = (frames.collect(), Writer::new(MessageEncoder::dss()));
                let mut heard = 0;
                while !unsent.is_empty() || !writer.is_idle() || heard < asked {
                    poll_fn(|cx| {
                        if writer.poll_send(&mut unsent, &mut server, cx).map(|r| r.unwrap()) == Poll::Ready(true) {
                            return Poll::Ready(());
                        }
                        while let Poll::Ready(Some(message)) = server.poll_next_unpin(cx) {
                            message.unwrap();
                            heard += 1;
                            if heard == asked {
                                return Poll::Ready(());
                            }
                        }
                        Poll::Pending
                    }).await;
                }
                server.flush().await.unwrap();
                server.close(None).await.unwrap();
                let got = listener.await.unwrap();
                drop(speaker.await.unwrap());
                let texts: Vec<String> = got.into_iter().filter_map(|m| match m.unwrap() {
                    Message::Text(text) => Some(text.to_string()),
                    _ => None,
                }).collect();
                assert!(texts == sent, "{} of {}", texts.len(), sent.len());
            });
        }

        /// Events to two clients, in the same dialect or not, over pipes that take a few bytes at a time; now and then to one of them only.
        #[test]
        fn each_client_reads_its_events_whole_from_the_message_that_they_share(
            events in proptest::collection::vec((0..3_000_usize, 1..4_usize), 1..20),
            pipes in [1..5_000_usize, 1..5_000_usize],
            other in prop_oneof![Just(MessageDialect::Dss), Just(MessageDialect::Json)],
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut streams = vec![];
                for (pipe, dialect) in pipes.into_iter().zip([MessageDialect::Dss, other]) {
                    let (server, client) = pair(pipe).await;
                    let encoder = MessageEncoder { dialect, ..MessageEncoder::dss() };
                    streams.push((Writer::new(encoder), server, tokio::spawn(client.collect::<Vec<_>>()), vec![]));
                }
                let mut message = SharedMessage::default();
                for (number, (bytes, to)) in events.into_iter().enumerate() {
                    let value = json!({"metadata": {"event_type": "location"}, "location_event": {"x": "x".repeat(bytes)}});
                    let event = Event::decode(number as u64, 0, value.to_string().into(), usize::MAX).unwrap();
                    let at = EventPosition { after: Position::new([number as u64 + 1]), partition: 0 };
                    let frame = event.shared_frame(|| at);
                    for (index, (writer, server, _, sent)) in streams.iter_mut().enumerate() {
                        if to >> index & 1 == 1 {
                            sent.push(if writer.dialect() == MessageDialect::Dss { frame.text.to_string() } else { frame.body().to_owned() });
                            poll_fn(|cx| if writer.is_idle() {
                                writer.poll_send_shared(&frame, &mut message, server, cx)
                            } else {
                                writer.poll_finish(server, cx)
                            }).await.unwrap();
                        }
                    }
                }
                for (writer, mut server, client, sent) in streams {
                    let header = |text: &String| if text.len() < 126 { 2 } else { 4 };
                    let bytes: usize = sent.iter().map(|text| header(text) + text.len()).sum();
                    assert_eq!(writer.written, bytes as u64);
                    server.close(None).await.unwrap();
                    drop(server);
                    let got = client.await.unwrap();
                    let texts: Vec<_> = got.into_iter().filter_map(|m| match m.ok()? {
                        Message::Text(text) => Some(text.to_string()),
                        _ => None,
                    }).collect();
                    assert!(texts == sent, "{} of {}", texts.len(), sent.len());
                }
            });
        }
    }
}

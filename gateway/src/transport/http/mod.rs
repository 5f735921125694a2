//! Streams as bodies of responses: server-sent events and lines of JSON, over HTTP/1.1 and HTTP/2.
//!
//! Such a client says nothing: that it takes what is sent is its sign of life, and where its stream goes on it says when it asks again.

mod chunks;
mod compression;

pub(crate) use chunks::ChunkBody;
pub(crate) use compression::{Coding, ENCODER_MEMORY, MOST_COMPRESSED};

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use datastream_protocol::close::{Close, CloseCause};
use datastream_protocol::position::{Position, Seq};
use tokio::sync::Semaphore;

use self::chunks::{ChunkSender, Gone, channel};
use self::compression::Compressor;
use super::dialect::{BodyDialect, Parts};
use crate::fanout::QueuedFrame;
use crate::session::{Happened, Transport};

/// Frames are gathered up to this many bytes into one chunk; a larger one is sent in pieces of [`PIECE`] from where it is.
const GATHER: usize = 8 << 10;
/// Bytes of a large frame that are handed over at once, so that progress shows.
const PIECE: usize = 64 << 10;

/// The weight of an item of `Accept` or `Accept-Encoding`, by its parameters (RFC 9110, section 12.4.2).
pub(crate) fn weight<'a>(mut parameters: impl Iterator<Item = &'a str>) -> f32 {
    let weight = parameters.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then_some(value)
    });
    weight.map_or(1.0, |value| value.trim().parse().unwrap_or(0.0))
}

/// The server side of a stream that is a response's body.
pub(crate) struct HttpStream<C: Carrier> {
    chunks: ChunkSender,
    dialect: BodyDialect,
    /// The client is told why the stream ends.
    tells_end: bool,
    compressor: Option<Compressor>,
    /// The rest of a large frame.
    rest: Bytes,
    /// The connection has not passed on the last piece of a large frame.
    is_piece_out: bool,
    /// Heartbeats in the chunk that was handed over last.
    heartbeats: u64,
    /// The connection has seen the end of the body.
    is_over: bool,
    /// Kept as long as the stream is served: its place among the connections.
    connection: C,
}

/// A connection that carries streams.
pub(crate) trait Carrier: Send {
    /// Finds out with what is sent next whether the client is there: if it is not, the connection ends soon.
    fn probe(&self);

    /// Ends the connection, if it is there for this stream alone: its client does not take what ends the stream.
    fn give_up(&self);
}

impl<C: Carrier> HttpStream<C> {
    /// A stream and its body, which says with `tells_end` why it ends. With a coding that it is to be compressed by, which it is if one of the permits is free.
    pub(crate) fn new(
        dialect: BodyDialect,
        tells_end: bool,
        coding: Option<Coding>,
        permits: &Arc<Semaphore>,
        connection: C,
    ) -> (Self, ChunkBody, Option<Coding>) {
        let (chunks, body) = channel();
        let compressor = coding.and_then(|coding| Compressor::new(coding, permits));
        let coding = coding.filter(|_| compressor.is_some());
        let stream = Self {
            chunks,
            dialect,
            tells_end,
            compressor,
            rest: Bytes::new(),
            is_piece_out: false,
            heartbeats: 0,
            is_over: false,
            connection,
        };
        (stream, body, coding)
    }

    fn poll_exchange(
        &mut self,
        unsent: &mut VecDeque<QueuedFrame>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Happened, Gone>> {
        loop {
            let has_more = !self.rest.is_empty() || !unsent.is_empty();
            if !has_more && !self.is_piece_out && self.heartbeats == 0 {
                return self.chunks.poll_gone(cx).map(Err);
            }
            ready!(self.chunks.poll_room(self.is_piece_out, cx))?;
            if std::mem::take(&mut self.heartbeats) > 0 {
                return Poll::Ready(Ok(Happened::Taken));
            }
            let was_piece = std::mem::take(&mut self.is_piece_out);
            if !self.rest.is_empty() {
                self.send_piece();
            } else if unsent.is_empty() {
                debug_assert!(was_piece);
                return Poll::Ready(Ok(Happened::Sent));
            } else {
                self.gather(unsent);
                if unsent.is_empty() && self.rest.is_empty() {
                    *unsent = VecDeque::new();
                    return Poll::Ready(Ok(Happened::Sent));
                }
            }
        }
    }

    /// Hands over the next piece of a large frame.
    fn send_piece(&mut self) {
        let piece = self.rest.split_to(self.rest.len().min(PIECE));
        self.is_piece_out = true;
        self.send(piece);
    }

    /// Hands over what fits into one chunk, or begins a large frame.
    fn gather(&mut self, unsent: &mut VecDeque<QueuedFrame>) {
        let mut gathered = Vec::new();
        while let Some(frame) = unsent.front() {
            let line = self.dialect.line(frame);
            let length = line.len();
            if gathered.len() + length > GATHER {
                if gathered.is_empty() {
                    line_into(frame, &line, &mut gathered);
                    unsent.pop_front();
                    self.rest = gathered.into();
                    return self.send_piece();
                }
                break;
            }
            if gathered.is_empty() {
                gathered.reserve(length.saturating_mul(unsent.len()).min(GATHER));
            }
            line_into(frame, &line, &mut gathered);
            self.heartbeats += u64::from(frame.is_heartbeat());
            unsent.pop_front();
        }
        self.send(gathered.into());
    }

    fn send(&mut self, plain: Bytes) {
        let chunk = match &mut self.compressor {
            None => plain,
            // Memory takes whatever is written to it.
            Some(compressor) => compressor.compress(&plain).unwrap_or_default().into(),
        };
        self.chunks.send(chunk);
    }

    /// Completes the frame that was begun, and says why the stream ends.
    async fn say_goodbye(&mut self, last: Option<String>) -> Result<(), Gone> {
        while !self.rest.is_empty() {
            poll_fn(|cx| self.chunks.poll_room(true, cx)).await?;
            self.send_piece();
        }
        if let Some(last) = last {
            poll_fn(|cx| self.chunks.poll_room(false, cx)).await?;
            self.send(last.into());
        }
        if let Some(compressor) = self.compressor.take() {
            poll_fn(|cx| self.chunks.poll_room(false, cx)).await?;
            self.chunks
                .send(compressor.finish().unwrap_or_default().into());
        }
        self.chunks.complete();
        Ok(())
    }
}

/// Appends the line of a frame, in which there are no other line breaks than its dialect's own.
fn line_into(frame: &QueuedFrame, line: &Parts<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    line.put(out);
    if let Some(event) = frame.event().filter(|event| event.has_line_breaks) {
        // Line breaks stand between the members of JSON only: in a string they are escaped.
        let start = start + line.before_json();
        for byte in &mut out[start..start + event.body().len()] {
            if matches!(byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
    }
}

impl<C: Carrier> Transport for HttpStream<C> {
    const TELLS_POSITION: bool = true;

    fn dialect(&self) -> &'static str {
        self.dialect.name()
    }

    fn probed(&mut self) {
        self.connection.probe();
    }

    fn poll(&mut self, unsent: &mut VecDeque<QueuedFrame>, cx: &mut Context<'_>) -> Poll<Happened> {
        let exchanged = ready!(self.poll_exchange(unsent, cx));
        Poll::Ready(exchanged.unwrap_or(Happened::Ended(CloseCause::ClientLeft)))
    }

    fn is_idle(&self) -> bool {
        self.rest.is_empty() && !self.is_piece_out
    }

    fn heartbeats(&self) -> u64 {
        self.heartbeats
    }

    fn written(&self) -> u64 {
        self.chunks.passed()
    }

    async fn close(&mut self, close: Option<Close>, position: &Position) -> bool {
        let last = close
            .filter(|_| self.tells_end)
            .map(|close| self.dialect.end(&close, &Seq::starting_at(position)));
        if self.say_goodbye(last).await.is_ok() {
            self.is_over = poll_fn(|cx| self.chunks.poll_ended(cx)).await;
        }
        false
    }
}

/// A body whose end its client does not take has no end.
impl<C: Carrier> Drop for HttpStream<C> {
    fn drop(&mut self) {
        if !self.is_over {
            self.connection.give_up();
        }
    }
}

//! A stream as the body of a response that a connection sends beside others (HTTP/2).

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use datastream_protocol::close::{Close, CloseCause};
use datastream_protocol::position::Position;

use super::BodyEncoder;
use super::chunks::{ChunkBody, ChunkSender, Gone, channel};
use crate::fanout::QueuedFrame;
use crate::session::{Happened, Transport};

/// Bytes that a connection may hold without being counted among those on their way.
const UNCOUNTED: usize = 10 << 10;
/// Bytes that are handed over at once, so that the progress of a large frame shows.
const PIECE: usize = 32 << 10;

/// A connection that carries streams; dropping it lets the connection go.
pub(crate) trait Carrier: Send {
    /// Finds out with what is sent next whether the client is there: if it is not, the connection ends soon.
    fn probe(&self);

    /// Gives the client at least so much time before the connection is given up.
    fn set_patience(&self, time: Duration);

    /// Ends the response, of which the client takes no more: what the connection has of it is dropped.
    fn cut(&self);

    /// Notes that the client has not taken the end of the response, which stays with the connection.
    fn leave_end(&self);
}

/// The way of a body to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// It goes on, or has stopped in the middle.
    Open,
    /// The connection has all of it, and has written all but the end.
    Complete,
    /// The connection has seen the end.
    Ended,
}

/// The server side of a stream that is the body of a response. Dropping it ends the response.
pub(crate) struct BodyStream<C: Carrier> {
    chunks: ChunkSender,
    encoder: BodyEncoder,
    /// Bytes that were gathered and have not been handed over.
    rest: Bytes,
    /// They are part of more than a piece.
    is_large: bool,
    /// The connection has not written a piece that counts.
    is_piece_out: bool,
    /// Heartbeats in what was handed over last.
    heartbeats: u64,
    progress: Progress,
    connection: C,
}

impl<C: Carrier> BodyStream<C> {
    /// A stream and its body.
    pub(crate) fn new(encoder: BodyEncoder, connection: C) -> (Self, ChunkBody) {
        let (chunks, body) = channel();
        let stream = Self {
            chunks,
            encoder,
            rest: Bytes::new(),
            is_large: false,
            is_piece_out: false,
            heartbeats: 0,
            progress: Progress::Open,
            connection,
        };
        (stream, body)
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
            // A heartbeat is taken when it is written.
            let written = self.is_piece_out || self.heartbeats > 0;
            ready!(self.chunks.poll_room(written, cx))?;
            self.is_piece_out = !self.rest.is_empty();
            if self.is_piece_out {
                self.send_piece();
                continue;
            }
            if std::mem::take(&mut self.heartbeats) > 0 {
                return Poll::Ready(Ok(Happened::Taken));
            }
            if unsent.is_empty() {
                return Poll::Ready(Ok(Happened::Sent));
            }
            let gathered = self.encoder.gather(unsent, 0);
            self.heartbeats = gathered.heartbeats;
            self.rest = gathered.bytes.into();
            self.is_large = self.rest.len() > PIECE;
            self.is_piece_out = self.rest.len() > UNCOUNTED;
            self.send_piece();
            if unsent.is_empty() && !self.is_piece_out {
                return Poll::Ready(Ok(Happened::Sent));
            }
        }
    }

    /// Hands over the next piece.
    fn send_piece(&mut self) {
        let piece = self.rest.split_to(self.rest.len().min(PIECE));
        // A piece keeps the memory of all that it is part of, for as long as the connection has it.
        let piece = if self.is_large {
            Bytes::copy_from_slice(&piece)
        } else {
            piece
        };
        self.chunks.send(piece);
    }

    /// Completes the frame that was begun, and says why the stream ends.
    async fn say_goodbye(&mut self, last: Vec<u8>) -> Result<(), Gone> {
        while !self.rest.is_empty() {
            poll_fn(|cx| self.chunks.poll_room(true, cx)).await?;
            self.send_piece();
        }
        poll_fn(|cx| self.chunks.poll_room(true, cx)).await?;
        if !last.is_empty() {
            self.chunks.send(last.into());
        }
        self.chunks.complete();
        self.progress = Progress::Complete;
        poll_fn(|cx| self.chunks.poll_ended(cx)).await;
        self.progress = Progress::Ended;
        Ok(())
    }
}

/// Keeps nothing of a stream that has ended and that its client does not take.
impl<C: Carrier> Drop for BodyStream<C> {
    fn drop(&mut self) {
        match self.progress {
            Progress::Open => self.connection.cut(),
            Progress::Complete => self.connection.leave_end(),
            Progress::Ended => (),
        }
    }
}

impl<C: Carrier> Transport for BodyStream<C> {
    const TELLS_POSITION: bool = true;
    // The connection's task has to send them, in any case.
    const SENDS_AT_ONCE: bool = false;

    fn dialect(&self) -> &'static str {
        self.encoder.dialect.name()
    }

    fn probed(&mut self) {
        self.connection.probe();
    }

    fn set_patience(&mut self, time: Duration) {
        self.connection.set_patience(time);
    }

    fn poll(&mut self, unsent: &mut VecDeque<QueuedFrame>, cx: &mut Context<'_>) -> Poll<Happened> {
        let exchanged = ready!(self.poll_exchange(unsent, cx));
        Poll::Ready(exchanged.unwrap_or(Happened::Ended(CloseCause::ClientLeft)))
    }

    fn send(
        &mut self,
        _: &mut VecDeque<QueuedFrame>,
        _: &mut Context<'_>,
    ) -> Poll<Result<(), CloseCause>> {
        Poll::Pending
    }

    fn is_idle(&self) -> bool {
        self.rest.is_empty() && !self.is_piece_out
    }

    fn finish(&mut self) -> bool {
        self.is_piece_out |= self.chunks.is_out();
        self.is_idle()
    }

    fn heartbeats(&self) -> u64 {
        self.heartbeats
    }

    fn written(&self) -> u64 {
        self.chunks.written()
    }

    async fn close(&mut self, close: Option<Close>, position: &Position) -> bool {
        let last = self.encoder.last(close.as_ref(), position);
        // It is gone, then.
        let _ = self.say_goodbye(last).await;
        false
    }
}

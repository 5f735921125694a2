//! The socket of a WebSocket, on which the library and the writer of events take turns.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::flood::{Flood, Flooded};
use crate::counted_read::poll_read_counted;

/// The socket below the WebSocket library, which keeps its control frames out of the middle of ours, and ours out of its own.
#[derive(Debug)]
pub(super) struct SharedSocket<S> {
    pub io: S,
    /// Bounds what is read, which the library does not: a message may come in frames without end.
    read: Flood,
    /// One of our frames waits for the socket, or has been written in part.
    pub ours_begun: bool,
    /// The library has written a frame in part, or waits for the socket to take one: if others wrote before, nobody would be woken for
    /// it.
    pub theirs_begun: bool,
}

impl<S> SharedSocket<S> {
    /// Shares a socket, of which so many bytes may be read.
    pub(super) fn new(io: S, read: Flood) -> Self {
        Self {
            io,
            read,
            ours_begun: false,
            theirs_begun: false,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for SharedSocket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(poll_read_counted(&mut self.io, cx, buf))?;
        if self.read.is_reached_by(read) {
            return Poll::Ready(Err(io::Error::other(Flooded)));
        }
        Poll::Ready(Ok(()))
    }
}

/// Writes of the library: always all that it has, so that what is taken whole ends with a frame.
impl<S: AsyncWrite + Unpin> AsyncWrite for SharedSocket<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        // Whatever waits goes before the next of ours, or a client that is slow would get no pongs.
        self.theirs_begun = true;
        if self.ours_begun {
            // The task that writes ours tries again when it has.
            return Poll::Pending;
        }
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, buf))?;
        self.theirs_begun = written < buf.len();
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test]
    async fn a_frame_of_the_library_that_waits_for_the_socket_has_begun() {
        let (near, _far) = tokio::io::duplex(4);
        let mut socket = SharedSocket::new(near, Flood::of_bytes());
        let cx = &mut Context::from_waker(std::task::Waker::noop());
        socket.write_all(b"pong").await.unwrap();
        assert!(!socket.theirs_begun);
        assert!(Pin::new(&mut socket).poll_write(cx, b"pong").is_pending());
        assert!(socket.theirs_begun);
    }

    #[tokio::test]
    async fn a_frame_of_the_library_that_waits_for_ours_goes_next() {
        let (near, _far) = tokio::io::duplex(4);
        let mut socket = SharedSocket::new(near, Flood::of_bytes());
        let cx = &mut Context::from_waker(std::task::Waker::noop());
        socket.ours_begun = true;
        assert!(Pin::new(&mut socket).poll_write(cx, b"pong").is_pending());
        assert!(socket.theirs_begun);
        socket.ours_begun = false;
        socket.write_all(b"pong").await.unwrap();
        assert!(!socket.theirs_begun);
    }
}

//! A socket that notes when bytes come.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// A socket that knows when bytes last came, and when there last were none.
#[derive(Debug)]
pub(crate) struct Heard<S> {
    io: S,
    last: Instant,
    empty: Instant,
}

impl<S> Heard<S> {
    /// Begins with a new socket, of which nothing has been read.
    pub(crate) fn new(io: S) -> Self {
        let now = Instant::now();
        Self {
            io,
            last: now,
            empty: now,
        }
    }

    /// Time at which bytes were last read.
    pub(crate) const fn heard(&self) -> Instant {
        self.last
    }

    /// Time at which bytes were last asked for and there were none.
    pub(crate) const fn empty(&self) -> Instant {
        self.empty
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Heard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        let now = Instant::now();
        if read.is_ready() {
            self.last = now;
        } else {
            self.empty = now;
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Heard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

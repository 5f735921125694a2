//! A socket of which little is read at a time, so that what is asked for is seen to before more of it is read.

use std::future::Future as _;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Bytes that are read at a time. HTTP/2 reads and decodes all that there is before a request is handed over, and a byte of a compressed
/// head may stand for a field that takes a hundred (RFC 7541, section 6.1).
const MOST: usize = 1 << 10;
/// Time after as many, for the tasks of requests: the task of the connection, which reads, might go on for long without a break.
const BREAK: Duration = Duration::from_millis(1);

/// Reads a little at a time, with a break after each.
#[derive(Debug)]
pub(super) struct SmallReads<S> {
    io: S,
    is_trusted: bool,
    /// Runs after a read that may have left something.
    pause: Option<Pin<Box<Sleep>>>,
}

impl<S> SmallReads<S> {
    /// Reads this socket a little at a time, or, where clients are trusted, all that there is.
    pub(super) const fn new(io: S, is_trusted: bool) -> Self {
        Self {
            io,
            is_trusted,
            pause: None,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for SmallReads<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_trusted {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        let mut part = [0; MOST];
        let mut part = ReadBuf::new(&mut part[..buf.remaining().min(MOST)]);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut part))?;
        self.pause = (part.remaining() == 0).then(|| Box::pin(sleep(BREAK)));
        buf.put_slice(part.filled());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for SmallReads<S> {
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

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_is_read_a_little_at_a_time() {
        let (near, mut far) = tokio::io::duplex(1 << 20);
        let sent: Vec<u8> = (0..5 * MOST).map(|n| (n % 251) as u8).collect();
        far.write_all(&sent).await.unwrap();
        let mut socket = SmallReads::new(near, false);
        let mut buf = vec![0; sent.len()];
        assert_eq!(socket.read(&mut buf).now_or_never().unwrap().unwrap(), MOST);
        for _ in 0..3 {
            assert!(socket.read(&mut buf).now_or_never().is_none());
        }
        let mut rest = sent[..MOST].to_vec();
        drop(far);
        socket.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, sent);
    }
}

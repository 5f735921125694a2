//! A socket of which little is read at a time, so that what is asked for is seen to before more of it is read.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that are read at a time. HTTP/2 reads and decodes all that there is before a request is handed over, and a byte of a compressed
/// head may stand for a field that takes a hundred (RFC 7541, section 6.1).
const MOST: usize = 1 << 10;

/// Reads a little at a time, and lets other tasks have their turn in between.
#[derive(Debug)]
pub(super) struct SmallReads<S> {
    io: S,
    /// The last read may have left something.
    is_others_turn: bool,
}

impl<S> SmallReads<S> {
    /// Reads this socket a little at a time.
    pub(super) const fn new(io: S) -> Self {
        Self {
            io,
            is_others_turn: false,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for SmallReads<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.is_others_turn) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let mut part = [0; MOST];
        let mut part = ReadBuf::new(&mut part[..buf.remaining().min(MOST)]);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut part))?;
        self.is_others_turn = part.remaining() == 0;
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

    #[tokio::test]
    async fn all_is_read_a_little_at_a_time() {
        let (near, mut far) = tokio::io::duplex(1 << 20);
        let sent: Vec<u8> = (0..5 * MOST).map(|n| (n % 251) as u8).collect();
        far.write_all(&sent).await.unwrap();
        let mut socket = SmallReads::new(near);
        let mut buf = vec![0; sent.len()];
        assert_eq!(socket.read(&mut buf).now_or_never().unwrap().unwrap(), MOST);
        assert!(socket.read(&mut buf).now_or_never().is_none());
        let mut rest = sent[..MOST].to_vec();
        drop(far);
        socket.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, sent);
    }
}

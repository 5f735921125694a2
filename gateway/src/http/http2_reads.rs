//! Reads of what clients of HTTP/2 send: little at a time, so that what is asked for is seen to before more is read, and what is begun has
//! to be completed in a time.

use std::future::Future as _;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::frames::{End, Pieces};

/// Bytes that are read at a time. HTTP/2 reads and decodes all that there is before a request is handed over, and a byte of a compressed
/// head may stand for a field that takes a hundred (RFC 7541, section 6.1).
const MOST: usize = 1 << 10;
/// Time after as many, for the tasks of requests: the task of the connection, which reads, might go on for long without a break.
const BREAK: Duration = Duration::from_millis(1);

/// Reads a little at a time, with a break after each.
#[derive(Debug)]
pub(super) struct Http2Reads<S> {
    io: S,
    is_trusted: bool,
    /// Time for a frame, or the frames of a head.
    limit: Duration,
    pieces: Pieces,
    /// Runs while a frame or a head is not complete, of which HTTP/2 keeps what there is.
    incomplete: Option<Pin<Box<Sleep>>>,
    /// Runs after a read that may have left something.
    pause: Option<Pin<Box<Sleep>>>,
}

impl<S> Http2Reads<S> {
    /// Reads this socket a little at a time, or, where clients are trusted, all that there is. A frame that has begun, or a head of
    /// several, has to be complete within `limit`, and first what every client begins with.
    pub(super) fn new(io: S, limit: Duration, is_trusted: bool) -> Self {
        Self {
            io,
            is_trusted,
            limit,
            pieces: Pieces::new(),
            incomplete: Some(Box::pin(sleep(limit))),
            pause: None,
        }
    }

    /// Notes what has been read.
    fn note(&mut self, bytes: &[u8]) {
        self.incomplete = match (self.pieces.read(bytes), self.incomplete.take()) {
            (End::Whole, _) => None,
            (End::Unfinished, Some(since)) => Some(since),
            _ => Some(Box::pin(sleep(self.limit))),
        };
    }

    /// Fails if nothing is there to be read, and what was begun is not complete in time. A time in which nobody has read does not count
    /// against the client.
    fn poll_incomplete(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let is_late = |incomplete: &mut Pin<Box<Sleep>>| incomplete.as_mut().poll(cx).is_ready();
        if self.incomplete.as_mut().is_some_and(is_late) {
            let reason = "a frame or a head was begun and not completed in time";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, reason)));
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Http2Reads<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_trusted {
            let before = buf.filled().len();
            if Pin::new(&mut self.io).poll_read(cx, buf)?.is_pending() {
                return self.poll_incomplete(cx);
            }
            self.note(&buf.filled()[before..]);
            return Poll::Ready(Ok(()));
        }
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        let mut part = [0; MOST];
        let mut part = ReadBuf::new(&mut part[..buf.remaining().min(MOST)]);
        if Pin::new(&mut self.io)
            .poll_read(cx, &mut part)?
            .is_pending()
        {
            return self.poll_incomplete(cx);
        }
        self.pause = (part.remaining() == 0).then(|| Box::pin(sleep(BREAK)));
        self.note(part.filled());
        buf.put_slice(part.filled());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Http2Reads<S> {
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

    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn all_is_read_a_little_at_a_time() {
        let (near, mut far) = tokio::io::duplex(1 << 20);
        let sent: Vec<u8> = (0..5 * MOST).map(|n| (n % 251) as u8).collect();
        far.write_all(&sent).await.unwrap();
        let mut socket = Http2Reads::new(near, LIMIT, false);
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

    #[tokio::test(start_paused = true)]
    async fn what_is_begun_is_completed_in_a_time_and_then_nothing_more_has_to_come() {
        for is_trusted in [false, true] {
            let (near, mut far) = tokio::io::duplex(1 << 20);
            let mut socket = Http2Reads::new(near, LIMIT, is_trusted);
            let mut buf = [0; 100];
            // A preface, and a ping, each in two parts.
            for part in [
                &[b'P'; 20][..],
                &[b'P'; 4],
                &[0, 0, 8, 6, 0, 0, 0],
                &[0; 10],
            ] {
                far.write_all(part).await.unwrap();
                assert_eq!(socket.read(&mut buf).await.unwrap(), part.len());
                sleep(LIMIT * 3 / 4).await;
            }
            let silence = tokio::time::timeout(LIMIT * 100, socket.read(&mut buf));
            assert!(silence.await.is_err());
            // A head that goes on and on.
            far.write_all(&[0, 0, 0, 1, 0, 0, 0, 0, 1]).await.unwrap();
            assert_eq!(socket.read(&mut buf).await.unwrap(), 9);
            for _ in 0..4 {
                far.write_all(&[0, 0, 0, 9, 0, 0, 0, 0, 1]).await.unwrap();
                assert_eq!(socket.read(&mut buf).await.unwrap(), 9);
                sleep(LIMIT / 5).await;
            }
            // What has come is read, however late.
            sleep(LIMIT).await;
            far.write_all(&[0, 0, 0, 9, 0, 0, 0, 0, 1]).await.unwrap();
            assert_eq!(socket.read(&mut buf).await.unwrap(), 9);
            let error = socket.read(&mut buf).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            // Nor may a client never begin.
            let (near, _far) = tokio::io::duplex(1);
            let mut silent = Http2Reads::new(near, LIMIT, is_trusted);
            let error = silent.read(&mut buf).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        }
    }
}

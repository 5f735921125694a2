//! A socket whose peer has to take what is written to it, in a time.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::tcp::{HasTcp, TcpPatience};

/// Rules for what is written to a socket, which its streams change.
#[derive(Debug, Default)]
pub(crate) struct WriteRules {
    patient: AtomicBool,
    probed: AtomicBool,
    behind: AtomicBool,
    /// Seconds that the most patient of its streams gives the client.
    patience: AtomicU64,
    /// Bytes that have been written.
    written: AtomicU64,
}

impl WriteRules {
    /// Lets a write wait without an end, or not.
    pub(super) fn set_patient(&self, is_patient: bool) {
        self.patient.store(is_patient, Ordering::Relaxed);
    }

    /// Returns whether a write has not been taken whole.
    pub(super) fn is_behind(&self) -> bool {
        self.behind.load(Ordering::Relaxed)
    }

    /// Gives the client at least so much time before the kernel ends the connection.
    pub(super) fn set_patience(&self, time: Duration) {
        self.patience.fetch_max(time.as_secs(), Ordering::Relaxed);
    }

    /// Bytes that have been written.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Has the kernel end the connection soon if the peer does not acknowledge what is written next.
    pub(super) fn probe(&self) {
        self.probed.store(true, Ordering::Relaxed);
    }
}

/// A socket on which a write that makes no progress for a time fails.
#[derive(Debug)]
pub(crate) struct WriteLimit<S> {
    io: S,
    limit: Duration,
    rules: Arc<WriteRules>,
    /// Runs while a write waits.
    waiting: Option<Pin<Box<Sleep>>>,
    patience: TcpPatience,
}

impl<S> WriteLimit<S> {
    /// Limits how long a write may wait, unless the rules say that it may.
    pub(crate) fn new(io: S, limit: Duration, rules: Arc<WriteRules>) -> Self {
        Self {
            io,
            limit,
            rules,
            waiting: None,
            patience: TcpPatience::default(),
        }
    }

    /// The socket itself, without a limit.
    pub(crate) fn into_inner(self) -> S {
        self.io
    }

    fn bounded<T>(
        &mut self,
        cx: &mut Context<'_>,
        wrote: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if wrote.is_ready() || self.rules.patient.load(Ordering::Relaxed) {
            self.waiting = None;
            return wrote;
        }
        let limit = self.limit;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(limit)));
        waiting
            .as_mut()
            .poll(cx)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: HasTcp> WriteLimit<S> {
    fn note(&self, wrote: &Poll<io::Result<usize>>, wanted: usize) {
        let is_whole = matches!(wrote, Poll::Ready(Ok(count)) if *count == wanted);
        self.rules.behind.store(!is_whole, Ordering::Relaxed);
        if let Poll::Ready(Ok(count)) = wrote {
            let written = &self.rules.written;
            written.fetch_add(*count as u64, Ordering::Relaxed);
        }
    }

    /// Has the kernel wait as long as the rules say.
    fn look_at_patience(&mut self, cx: &mut Context<'_>) {
        let patience = self.rules.patience.load(Ordering::Relaxed);
        self.patience.set(&self.io, Duration::from_secs(patience));
        if self.rules.probed.swap(false, Ordering::Relaxed) {
            self.patience.ask(&self.io);
        }
        self.patience.look(&self.io, cx);
    }
}

impl<S: AsyncRead + HasTcp + Unpin> AsyncRead for WriteLimit<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // A connection that has nothing to write, or cannot, looks here when its time is over.
        self.look_at_patience(cx);
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + HasTcp + Unpin> AsyncWrite for WriteLimit<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.look_at_patience(cx);
        let wrote = Pin::new(&mut self.io).poll_write(cx, buf);
        self.note(&wrote, buf.len());
        self.bounded(cx, wrote)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.bounded(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.io).poll_shutdown(cx);
        self.bounded(cx, shut)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.look_at_patience(cx);
        let wrote = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.note(&wrote, bufs.iter().map(|buf| buf.len()).sum());
        self.bounded(cx, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
    use tokio::net::TcpStream;

    use super::*;

    impl HasTcp for DuplexStream {
        fn tcp(&self) -> Option<&TcpStream> {
            None
        }
    }

    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_given_up() {
        let (near, _far) = tokio::io::duplex(4);
        let mut socket = WriteLimit::new(near, LIMIT, Arc::default());
        let error = socket.write_all(b"more than four").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_a_little_at_a_time_is_not() {
        let (near, mut far) = tokio::io::duplex(1);
        let reader = tokio::spawn(async move {
            for _ in 0..20 {
                sleep(LIMIT / 2).await;
                far.read_u8().await.unwrap();
            }
        });
        let mut socket = WriteLimit::new(near, LIMIT, Arc::default());
        socket.write_all(&[0; 20]).await.unwrap();
        reader.await.unwrap();
    }
}

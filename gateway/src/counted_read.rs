//! Reads of which the number of bytes counts.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

/// Reads into a buffer. Returns how many bytes have come; none at the end.
pub(crate) fn poll_read_counted<R: AsyncRead + Unpin>(
    io: &mut R,
    cx: &mut Context<'_>,
    buf: &mut ReadBuf<'_>,
) -> Poll<io::Result<usize>> {
    let before = buf.filled().len();
    ready!(Pin::new(io).poll_read(cx, buf))?;
    Poll::Ready(Ok(buf.filled().len() - before))
}

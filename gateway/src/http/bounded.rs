//! TLS with a client, of which no more is read than its records need.
//!
//! rustls joins what a peer sends of one message of the handshake, up to 64 KiB, before the handshake and after it. No client has that
//! much to say: so only that many bytes are read as the largest record has, until some of them are a client's data.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::server::TlsStream;

use crate::counted_read::poll_read_counted;
use crate::memory::{TLS_READ, TLS_WRITE};

/// A TCP socket of which a bounded number of bytes is read.
#[derive(Debug)]
struct BoundedRead {
    tcp: TcpStream,
    /// Bytes that may still be read.
    left: usize,
}

/// TLS with a client.
#[derive(Debug)]
pub(crate) struct BoundedTls(TlsStream<BoundedRead>);

impl BoundedTls {
    /// Does the handshake.
    ///
    /// # Errors
    /// The client leaves, does not speak TLS, does not want the certificate, or sends more than a handshake needs.
    pub(super) async fn accept(config: Arc<ServerConfig>, tcp: TcpStream) -> io::Result<Self> {
        let left = TLS_READ;
        let acceptor = TlsAcceptor::from(config);
        let mut stream = acceptor.accept(BoundedRead { tcp, left }).await?;
        let (socket, session) = stream.get_mut();
        session.set_buffer_limit(Some(TLS_WRITE));
        socket.left = TLS_READ;
        Ok(Self(stream))
    }

    /// The certificate of the client, if it has shown one.
    pub(super) fn certificate(&self) -> Option<&CertificateDer<'static>> {
        self.0.get_ref().1.peer_certificates()?.first()
    }

    /// The TCP socket, for its options.
    pub(super) fn tcp(&self) -> &TcpStream {
        &self.0.get_ref().0.tcp
    }

    /// The protocol that was agreed on by ALPN.
    pub(super) fn protocol(&self) -> Option<&[u8]> {
        self.0.get_ref().1.alpn_protocol()
    }
}

impl AsyncRead for BoundedRead {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left == 0 {
            let reason = "a client sends more of TLS than any needs to";
            return Poll::Ready(Err(io::Error::other(reason)));
        }
        let read = ready!(poll_read_counted(&mut self.tcp, cx, buf))?;
        self.left = self.left.saturating_sub(read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for BoundedTls {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(poll_read_counted(&mut self.0, cx, buf))?;
        if read > 0 {
            self.0.get_mut().0.left = TLS_READ;
        }
        Poll::Ready(Ok(()))
    }
}

/// Writes go to what is inside.
macro_rules! write_through {
    ($socket:ty, $inner:tt) => {
        impl AsyncWrite for $socket {
            fn poll_write(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.$inner).poll_write(cx, buf)
            }

            fn poll_write_vectored(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.$inner).poll_write_vectored(cx, bufs)
            }

            fn is_write_vectored(&self) -> bool {
                self.$inner.is_write_vectored()
            }

            fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut self.$inner).poll_flush(cx)
            }

            fn poll_shutdown(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
            ) -> Poll<io::Result<()>> {
                Pin::new(&mut self.$inner).poll_shutdown(cx)
            }
        }
    };
}

write_through!(BoundedRead, tcp);
write_through!(BoundedTls, 0);

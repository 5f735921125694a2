//! The socket of a client: with TLS or without.

use std::io;
use std::sync::Arc;

use datastream_service::tls::{PeerCertificate, ServerTls, speaks_tls};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::either::Either;

use super::bounded::BoundedTls;
use crate::ownership::PeerTls;
use crate::tcp::HasTcp;

/// The socket of a client; with TLS on the heap, so that connections without it do not have its size.
pub(crate) type Socket = Either<TcpStream, Box<BoundedTls>>;

/// The most that is read of a client that does not speak TLS, behind the answer to it.
const MAX_DRAINED: u64 = 64 << 10;
/// The name of HTTP/2 in ALPN.
pub(crate) const HTTP2: &[u8] = b"h2";
/// The name of HTTP/1.1 in ALPN.
pub(crate) const HTTP1: &[u8] = b"http/1.1";
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Answer to HTTP without TLS.
const NO_TLS: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n\
    {\"error\":\"bad_request\",\"message\":\"this port speaks TLS: use wss:// or https://\"}";

/// The treatment of TLS by a listener.
#[derive(Clone)]
pub(crate) enum ListenerTls {
    /// There is none.
    Plain,
    /// Clients speak nothing else.
    Required(Arc<ServerTls>),
    /// Other gateways speak it, with the certificate of their group; everybody else need not.
    Peers(Arc<PeerTls>),
}

/// Does the handshake of TLS, if there is to be one.
///
/// # Errors
/// The client leaves, does not speak TLS, or does not want the certificate.
pub(super) async fn accept(mut tcp: TcpStream, tls: ListenerTls) -> io::Result<Socket> {
    let config = match &tls {
        ListenerTls::Plain => None,
        ListenerTls::Required(tls) => Some(tls.config()),
        ListenerTls::Peers(tls) => tls.current().map(|tls| tls.server),
    };
    let Some(config) = config else {
        return Ok(Socket::Left(tcp));
    };
    if !speaks_tls(&tcp).await? {
        if matches!(tls, ListenerTls::Peers(_)) {
            return Ok(Socket::Left(tcp));
        }
        tcp.write_all(NO_TLS).await?;
        tcp.shutdown().await?;
        // The kernel resets a connection that is closed with bytes unread, and the client may lose the answer by that.
        tokio::io::copy(&mut tcp.take(MAX_DRAINED), &mut tokio::io::sink()).await?;
        return Err(io::Error::other("the client does not speak TLS"));
    }
    let stream = BoundedTls::accept(config, tcp).await?;
    Ok(Socket::Right(Box::new(stream)))
}

/// Returns whether a client speaks HTTP/2: it was agreed on by ALPN, or, without TLS, the client begins with its preface (RFC 9113,
/// sections 3.2 and 3.3). No request that is taken begins with a `P`.
///
/// # Errors
/// The connection's own.
pub(super) async fn speaks_http2(socket: &Socket) -> io::Result<bool> {
    let mut first = [0; PREFACE.len()];
    match socket {
        Socket::Left(tcp) => {
            let read = tcp.peek(&mut first).await?;
            Ok(read > 0 && PREFACE.starts_with(&first[..read]))
        }
        Socket::Right(stream) => Ok(stream.protocol() == Some(HTTP2)),
    }
}

/// The certificate of the client, which TLS has verified, if it has shown one.
///
/// # Errors
/// It is malformed.
pub(super) fn certificate(socket: &Socket) -> anyhow::Result<Option<Arc<PeerCertificate>>> {
    let shown = match socket {
        Socket::Left(_) => None,
        Socket::Right(stream) => stream.certificate(),
    };
    let read = shown.map(PeerCertificate::of).transpose()?;
    Ok(read.map(Arc::new))
}

impl HasTcp for Socket {
    fn tcp(&self) -> Option<&TcpStream> {
        Some(match self {
            Self::Left(tcp) => tcp,
            Self::Right(stream) => stream.tcp(),
        })
    }
}

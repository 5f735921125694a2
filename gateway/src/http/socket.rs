//! The socket of a client: with TLS or without.

use std::io;
use std::sync::Arc;

use datastream_service::tls::{PeerCertificate, ServerTls, speaks_tls};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::either::Either;

use super::bounded::BoundedTls;
use crate::ownership::PeerTls;

/// The socket of a client; with TLS on the heap, so that connections without it do not have its size.
pub(crate) type Socket = Either<TcpStream, Box<BoundedTls>>;

/// The most that is read of a client that does not speak TLS, behind the answer to it.
const MAX_DRAINED: u64 = 64 << 10;
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

/// The TCP socket, for its options.
pub(super) fn tcp(socket: &Socket) -> &TcpStream {
    match socket {
        Socket::Left(tcp) => tcp,
        Socket::Right(stream) => stream.tcp(),
    }
}

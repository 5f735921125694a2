//! The place where clients find a gateway, with TLS or without.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

/// A connection to a gateway.
pub(crate) type Socket = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// A listener of a gateway.
#[derive(Clone)]
pub(crate) struct Door {
    address: String,
    tls: Option<TlsConnector>,
}

impl Door {
    pub(crate) const fn new(address: String, tls: Option<TlsConnector>) -> Self {
        Self { address, tls }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address.parse().expect("an address")
    }

    /// The URL of a path, which begins with a slash.
    pub(crate) fn url(&self, path: &str) -> String {
        let scheme = if self.tls.is_some() { "wss" } else { "ws" };
        format!("{scheme}://{}{path}", self.address)
    }

    pub(crate) async fn connect(&self) -> io::Result<Socket> {
        self.over(TcpStream::connect(&self.address).await?).await
    }

    /// Speaks TLS, if that is to be, on a connection to its address.
    pub(crate) async fn over(&self, tcp: TcpStream) -> io::Result<Socket> {
        let Some(tls) = &self.tls else {
            return Ok(Socket::Left(tcp));
        };
        let stream = tls.connect(self.address().ip().into(), tcp).await?;
        Ok(Socket::Right(Box::new(stream)))
    }
}

//! Accepts connections and hands their requests to a handler.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use datastream_service::accept::Acceptor;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connections::{ConnectionSlot, Connections};
use super::respond::Answer;
use super::socket::{self, ListenerTls, Socket};
use super::write_limit::WriteLimit;
use crate::access::Throttle;
use crate::metrics::Metrics;
use crate::proxies::ProxySettings;

/// Time within which a client must have sent the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time for which a client may take nothing of an answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Heads larger than this are refused (431).
const MAX_HEAD: usize = 16 << 10;

/// The address of the client, which every request carries as an extension, as it does the `Arc<PeerCertificate>` of a client that has
/// one: that of the other end, or the one that trusted proxies name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RemoteAddress(pub SocketAddr);

/// Answers requests.
pub(crate) trait Handler: Send + Sync + 'static {
    /// Answers one request. Errors are answers, too.
    fn handle(self: Arc<Self>, request: Request<Incoming>) -> impl Future<Output = Answer> + Send;
}

/// The front of a listener: what a connection meets before a request is read.
#[derive(Clone)]
pub(crate) struct Front {
    pub tls: ListenerTls,
    /// The proxies in front of it.
    pub proxies: Arc<ProxySettings>,
    /// Bounds the handshakes of TLS, where anybody may ask for one.
    pub throttle: Option<Arc<Throttle>>,
    pub metrics: Arc<Metrics>,
}

/// Accepts and serves until cancelled. Connections run on `tasks`; those that are idle when cancelled are closed.
pub(crate) async fn serve<H: Handler>(
    listener: TcpListener,
    handler: Arc<H>,
    connections: Arc<Connections>,
    tasks: TaskTracker,
    front: Front,
    cancel: CancellationToken,
) {
    let mut acceptor = Acceptor::new(listener);
    loop {
        let (socket, address) = tokio::select! {
            accepted = acceptor.accept() => accepted,
            () = cancel.cancelled() => return,
        };
        tasks.spawn(connection(
            socket,
            address,
            handler.clone(),
            connections.enter(),
            front.clone(),
            cancel.clone(),
        ));
    }
}

/// A socket as HTTP is spoken on it.
pub(crate) type HttpSocket = TokioIo<WriteLimit<Socket>>;

/// Makes a socket of a connection on which HTTP can be spoken, and finds out where it comes from.
///
/// # Errors
/// The client leaves, or does not speak as it should; or there is no time for it.
async fn open(
    mut tcp: TcpStream,
    peer: SocketAddr,
    front: &Front,
) -> io::Result<(Socket, SocketAddr)> {
    let address = if front.proxies.announces(peer) {
        front.proxies.read_header(&mut tcp, peer).await?
    } else {
        peer
    };
    if let (ListenerTls::Required(_), Some(throttle)) = (&front.tls, &front.throttle)
        && !throttle.admits_tls(address.ip())
    {
        front.metrics.limited("tls_handshakes/gateway");
        return Err(io::Error::other("too many handshakes of TLS at once"));
    }
    let socket = socket::accept(tcp, front.tls.clone()).await?;
    Ok((socket, address))
}

async fn connection<H: Handler>(
    tcp: TcpStream,
    peer: SocketAddr,
    handler: Arc<H>,
    place: ConnectionSlot,
    front: Front,
    cancel: CancellationToken,
) {
    // Frames are gathered before they are written, so nothing is won by letting the kernel wait for more.
    let _ = tcp.set_nodelay(true);
    // On the heap: most of its size is that of the handshake, which is over soon.
    let accepting = Box::pin(timeout(HEAD_TIMEOUT, open(tcp, peer, &front)));
    let (socket, address) = tokio::select! {
        accepted = accepting => match accepted {
            Ok(Ok(accepted)) => accepted,
            Ok(Err(error)) => return tracing::debug!(%peer, %error, "no connection with a client"),
            Err(_) => return tracing::debug!(%peer, "a client took too long to begin"),
        },
        () = place.evicted() => return tracing::debug!("a connection made way for a new one"),
        () = cancel.cancelled() => return,
    };
    let certificate = match socket::certificate(&socket) {
        Ok(certificate) => certificate,
        Err(error) => return tracing::debug!(%error, "a client's certificate cannot be read"),
    };
    let service = service_fn(move |mut request: Request<Incoming>| {
        let handler = handler.clone();
        let client = front.proxies.client(address, request.headers());
        let extensions = request.extensions_mut();
        extensions.insert(RemoteAddress(client));
        if let Some(certificate) = &certificate {
            extensions.insert(certificate.clone());
        }
        async move { Ok::<_, Infallible>(handler.handle(request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .serve_connection(
            TokioIo::new(WriteLimit::new(socket, WRITE_TIMEOUT)),
            service,
        )
        .with_upgrades();
    tokio::pin!(connection);
    let result = tokio::select! {
        result = &mut connection => result,
        () = place.evicted() => return tracing::debug!("a connection made way for a new one"),
        () = cancel.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "connection ended");
    }
}

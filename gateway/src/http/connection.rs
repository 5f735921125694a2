//! Accepts connections and hands their requests to a handler.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use datastream_service::accept::Acceptor;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::carrier::ConnectionHandle;
use super::connections::{ConnectionSlot, Connections};
use super::respond::Answer;
use super::socket::{self, ListenerTls, Socket};
use super::write_limit::{UNACKNOWLEDGED, WriteLimit};
use crate::access::Throttle;
use crate::metrics::Metrics;
use crate::proxies::ProxySettings;

/// Time within which a client must have sent the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time for which a client may take nothing of an answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Heads larger than this are refused (431).
const MAX_HEAD: usize = 16 << 10;
/// Requests that one connection of HTTP/2 may have open at once.
const MAX_STREAMS: u32 = 100;
/// Bytes that a client of HTTP/2 may send before they are read: the least that the protocol has (RFC 9113, section 6.9.2).
const WINDOW: u32 = 65_535;
/// Interval at which clients of HTTP/2 are asked whether they are there.
const PING_INTERVAL: Duration = Duration::from_secs(30);

/// Bytes that the kernel may hold for a stream, those included that were sent and are not acknowledged.
const SEND_BUFFER: usize = 256 << 10;
/// Bytes that the kernel may hold for a stream and has not sent.
const UNSENT: u32 = 16 << 10;
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

/// A connection that has begun to speak.
struct Opened {
    socket: Socket,
    /// Where it comes from.
    address: SocketAddr,
    is_http2: bool,
}

/// Makes a socket of a connection on which HTTP can be spoken, and finds out where it comes from.
///
/// # Errors
/// The client leaves, or does not speak as it should; or there is no time for it.
async fn open(mut tcp: TcpStream, peer: SocketAddr, front: &Front) -> io::Result<Opened> {
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
    let is_http2 = socket::speaks_http2(&socket).await?;
    Ok(Opened {
        socket,
        address,
        is_http2,
    })
}

/// HTTP/1 with bounds on what a client may send.
fn http1() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD);
    builder
}

/// HTTP/2 with bounds on what a client may send, and on what waits for it.
fn http2() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEAD as u32)
        // A request has no body that is read.
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_send_buf_size(MAX_HEAD)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(WRITE_TIMEOUT);
    builder
}

/// Serves a connection until it ends, or makes way for another, or the gateway stops.
async fn until_over<C: Future<Output = hyper::Result<()>>>(
    connection: C,
    handle: &ConnectionHandle,
    cancel: CancellationToken,
    shut_down: impl FnOnce(Pin<&mut C>),
) -> hyper::Result<()> {
    tokio::pin!(connection);
    tokio::select! {
        result = &mut connection => return result,
        () = handle.over() => {
            tracing::debug!("a connection made way for a new one, or its stream was given up");
            return Ok(());
        }
        () = cancel.cancelled() => shut_down(connection.as_mut()),
    }
    tokio::select! {
        result = connection => result,
        () = handle.over() => Ok(()),
    }
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
    if let Err(error) = set_buffers(&tcp) {
        tracing::debug!(%error, "the socket keeps the buffers that it has");
    }
    // On the heap: most of its size is that of the handshake, which is over soon.
    let accepting = Box::pin(timeout(HEAD_TIMEOUT, open(tcp, peer, &front)));
    let Opened {
        socket,
        address,
        is_http2,
    } = tokio::select! {
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
    let handle = Arc::new(ConnectionHandle::new(place, is_http2));
    let carried = handle.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        let handler = handler.clone();
        let client = front.proxies.client(address, request.headers());
        let extensions = request.extensions_mut();
        extensions.insert(RemoteAddress(client));
        extensions.insert(carried.clone());
        if let Some(certificate) = &certificate {
            extensions.insert(certificate.clone());
        }
        async move { Ok::<_, Infallible>(handler.handle(request).await) }
    });
    let io = TokioIo::new(WriteLimit::new(socket, WRITE_TIMEOUT, handle.writes()));
    let result = if is_http2 {
        let connection = http2().serve_connection(io, service);
        until_over(connection, &handle, cancel, |c| c.graceful_shutdown()).await
    } else {
        let connection = http1().serve_connection(io, service).with_upgrades();
        until_over(connection, &handle, cancel, |c| c.graceful_shutdown()).await
    };
    if let Err(error) = result {
        tracing::debug!(%error, "connection ended");
    }
}

/// Bounds what the kernel holds of a stream: little that it has not sent, but as much of what it has sent as the network has
/// room for. So a client that does not read costs little, and one that is far away is not slowed down.
fn set_buffers(tcp: &TcpStream) -> std::io::Result<()> {
    let socket = SockRef::from(tcp);
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.set_tcp_notsent_lowat(UNSENT)?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))
}

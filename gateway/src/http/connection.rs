//! Accepts connections and hands their requests to a handler.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use datastream_service::accept::Acceptor;
use http_body_util::Either;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::carrier::ConnectionHandle;
use super::connections::{ConnectionSlot, Connections};
use super::http2_reads::Http2Reads;
use super::pending::{Counted, PendingAnswers, Turn, WaitingRoom};
use super::respond::{Answer, respond};
use super::response_tasks::{ResponseCut, ResponseTasks};
use super::socket::{self, ListenerTls, Socket};
use super::write_limit::WriteLimit;
use crate::access::Throttle;
use crate::metrics::Metrics;
use crate::proxies::ProxySettings;
use crate::tcp::set_buffers;
use crate::transport::http::Resumed;

/// Time within which a client must have sent the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time for which a client may take nothing of an answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Heads larger than this are refused (431).
const MAX_HEAD: usize = 16 << 10;
/// Fields that a head may have, as hyper has it in HTTP/1: more are refused (431).
const MAX_FIELDS: usize = 100;
/// Streams of one connection of HTTP/2 that are reset for what the client does wrong in them before the connection is closed.
const MAX_FAULTS: usize = 20;
/// Requests that one connection of HTTP/2 may have open at once.
const MAX_STREAMS: u32 = 100;
/// Bytes that a client of HTTP/2 may send before they are read: the least that the protocol has (RFC 9113, section 6.9.2).
const WINDOW: u32 = 65_535;
/// Bytes of a body that the library holds before it asks for more of them: next to none, because what it holds counts for the stream.
const SEND_BUFFER: usize = 1 << 10;
/// Time for what a connection has to say when it makes way for another one.
const GOODBYE: Duration = Duration::from_millis(100);
/// Time after which a connection without a request or a stream is closed. In HTTP/1.1, that is the time for the next head.
const IDLE: Duration = Duration::from_mins(1);

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
    pub http2: Http2Limits,
    pub metrics: Arc<Metrics>,
}

/// Bounds on what HTTP/2 takes beside streams.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Http2Limits {
    /// Connections without streams.
    pub connections: usize,
    /// Bytes of requests that wait for others on their connection.
    pub waiting: usize,
    /// Clients are trusted: their requests may have bodies, and are read as fast as they come.
    pub is_trusted: bool,
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
    let server = Arc::new(Server {
        handler,
        connections,
        http2: Arc::new(Connections::new(front.http2.connections)),
        waiting: WaitingRoom::new(front.http2.waiting),
        tasks,
        front,
        cancel,
    });
    loop {
        let (tcp, peer) = tokio::select! {
            accepted = acceptor.accept() => accepted,
            () = server.cancel.cancelled() => return,
        };
        let place = server.connections.enter();
        server
            .tasks
            .spawn(server.clone().connection(tcp, peer, place));
    }
}

/// Serves the connections of a listener.
struct Server<H> {
    handler: Arc<H>,
    connections: Arc<Connections>,
    /// Those of HTTP/2 whose memory no streams stand for.
    http2: Arc<Connections>,
    tasks: TaskTracker,
    front: Front,
    waiting: WaitingRoom,
    cancel: CancellationToken,
}

/// The reason why a request gets no answer.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    /// It ends the connection.
    #[error("a stream has taken the socket over")]
    TakenOver,
    /// It is reset, where others are under way beside it: too many wait for their turn, or it has a body.
    #[error("there is no room for it")]
    Reset(#[source] h2::Error),
}

/// A socket as HTTP is spoken on it.
pub(crate) type HttpSocket = TokioIo<WriteLimit<Socket>>;

/// A connection that has begun to speak.
struct Opened {
    socket: Socket,
    /// Address that it comes from.
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
fn http2() -> http2::Builder<ResponseTasks> {
    let mut builder = http2::Builder::new(ResponseTasks);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEAD as u32)
        // A request has no body that is read.
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        // No pings: an answer to them comes behind what a slow client has not read, and how long that may take is for its streams to say.
        .max_local_error_reset_streams(MAX_FAULTS);
    builder
}

/// The answer to a request with too many fields in its head.
fn too_many_fields() -> Answer {
    let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    let reason = format!("a request has at most {MAX_FIELDS} header fields\n");
    respond(status, "text/plain", reason)
}

impl<H: Handler> Server<H> {
    /// One connection, from its first byte.
    async fn connection(self: Arc<Self>, tcp: TcpStream, peer: SocketAddr, place: ConnectionSlot) {
        // Frames are gathered before they are written, so nothing is won by letting the kernel wait for more.
        let _ = tcp.set_nodelay(true);
        if let Err(error) = set_buffers(&tcp) {
            tracing::debug!(%error, "the socket keeps the buffers that it has");
        }
        // On the heap: most of its size is that of the handshake, which is over soon.
        let accepting = Box::pin(timeout(HEAD_TIMEOUT, open(tcp, peer, &self.front)));
        let opened = tokio::select! {
            accepted = accepting => match accepted {
                Ok(Ok(accepted)) => accepted,
                Ok(Err(error)) => return tracing::debug!(%peer, %error, "no connection with a client"),
                Err(_) => return tracing::debug!(%peer, "a client took too long to begin"),
            },
            () = place.evicted() => return tracing::debug!("a connection made way for a new one"),
            () = self.cancel.cancelled() => return,
        };
        self.requests(opened, place).await;
    }

    /// Answers the requests of a connection until it ends, or a stream takes its socket over.
    async fn requests(self: Arc<Self>, opened: Opened, place: ConnectionSlot) {
        let Opened {
            socket,
            address,
            is_http2,
        } = opened;
        let certificate = match socket::certificate(&socket) {
            Ok(certificate) => certificate,
            Err(error) => {
                return tracing::debug!(%error, "a client's certificate cannot be read");
            }
        };
        let http2_place = if is_http2 {
            let entered = tokio::select! {
                entered = timeout(HEAD_TIMEOUT, self.http2.enter_in_turn()) => entered,
                () = place.evicted() => return tracing::debug!("a connection made way for a new one"),
                () = self.cancel.cancelled() => return,
            };
            if entered.is_err() {
                self.front.metrics.limited("http2_connections/gateway");
                return tracing::debug!("no place for a connection of HTTP/2 in time");
            }
            entered.ok()
        } else {
            None
        };
        let handle = Arc::new(ConnectionHandle::new(place, http2_place));
        let (carried, server) = (handle.clone(), self.clone());
        let pending = PendingAnswers::new(self.waiting.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            let client = server.front.proxies.client(address, request.headers());
            let extensions = request.extensions_mut();
            extensions.insert(RemoteAddress(client));
            extensions.insert(carried.clone());
            if let Some(certificate) = &certificate {
                extensions.insert(certificate.clone());
            }
            let (handler, carried) = (server.handler.clone(), carried.clone());
            let has_body = is_http2 && !request.body().is_end_stream();
            let is_large = request.headers().len() > MAX_FIELDS;
            let turn = if has_body && !server.front.http2.is_trusted {
                // What came of it would be kept until an answer is written. Over HTTP/1.1 it is not.
                Err(h2::Reason::HTTP_1_1_REQUIRED)
            } else {
                // A client may send it again (RFC 9113, section 8.7).
                let turn = pending.enter(&request);
                turn.ok_or(h2::Reason::REFUSED_STREAM)
            };
            carried.asked(!matches!(turn, Ok(Turn::Now(_))));
            if matches!(turn, Err(h2::Reason::REFUSED_STREAM)) {
                server.front.metrics.limited("waiting_requests/gateway");
            }
            // What is refused is dropped here, not when its task has its turn.
            let admitted = match turn {
                Ok(turn) => Ok((turn, (!is_large).then_some(request))),
                Err(reason) => Err(Unanswered::Reset(reason.into())),
            };
            async move {
                let (turn, request) = admitted?;
                let pending = turn.come().await;
                let Some(mut request) = request else {
                    return Ok(too_many_fields().map(|body| Counted::new(body, pending)));
                };
                if let Some(cut) = ResponseCut::current() {
                    request.extensions_mut().insert(cut);
                }
                // On the heap: it is large, and gone when the answer is there, which may wait for the client.
                let answer = Box::pin(handler.handle(request)).await;
                if carried.is_given_up() {
                    return Err(Unanswered::TakenOver);
                }
                Ok(answer.map(|body| {
                    let is_stream = matches!(body, Either::Right(_));
                    Counted::new(body, pending.filter(|_| !is_stream))
                }))
            }
        });
        let io = WriteLimit::new(socket, WRITE_TIMEOUT, handle.writes());
        let result = if is_http2 {
            let io = TokioIo::new(Http2Reads::new(
                io,
                HEAD_TIMEOUT,
                self.front.http2.is_trusted,
            ));
            let mut connection = Box::pin(http2().serve_connection(io, service));
            self.until_over(&mut connection, &handle, |c| c.as_mut().graceful_shutdown())
                .await
        } else {
            let io = TokioIo::new(io);
            let mut connection = http1().serve_connection(io, service).with_upgrades();
            let result = self
                .until_over(&mut connection, &handle, |c| {
                    Pin::new(c).graceful_shutdown()
                })
                .await;
            if let Some(taker) = handle.taker()
                && let Some(parts) = connection.into_parts()
            {
                let socket = parts.io.into_inner().into_inner();
                let resumed = self.clone().resumed(address);
                return taker(socket, !parts.read_buf.is_empty(), resumed);
            }
            result
        };
        if let Err(error) = result {
            tracing::debug!(%error, "connection ended");
        }
    }

    /// Answers further requests on a socket that a stream gives back.
    fn resumed(self: Arc<Self>, address: SocketAddr) -> Resumed<Socket> {
        Box::new(move |socket| {
            let opened = Opened {
                socket,
                address,
                is_http2: false,
            };
            let place = self.connections.enter();
            let tasks = self.tasks.clone();
            tasks.spawn(self.requests(opened, place));
        })
    }

    /// Serves a connection until it ends, or makes way for another, or the gateway stops. One of which nothing is asked is to end.
    async fn until_over<C: Future<Output = hyper::Result<()>> + Unpin>(
        &self,
        connection: &mut C,
        handle: &ConnectionHandle,
        shut_down: impl Fn(&mut C),
    ) -> hyper::Result<()> {
        let mut is_idle = false;
        let result = loop {
            tokio::select! {
                result = &mut *connection => break result,
                () = handle.stuck(WRITE_TIMEOUT), if is_idle => break Ok(()),
                () = handle.evicted() => {
                    tracing::debug!("a connection made way for a new one");
                    shut_down(connection);
                    break timeout(GOODBYE, connection).await.unwrap_or(Ok(()));
                }
                () = handle.idle(IDLE), if !is_idle => {
                    is_idle = true;
                    shut_down(connection);
                }
                () = self.cancel.cancelled() => {
                    shut_down(connection);
                    break connection.await;
                }
            }
        };
        // Before the connection is dropped, and its streams with it.
        handle.end();
        result
    }
}

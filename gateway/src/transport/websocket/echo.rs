//! A server that sends every message back by the WebSocket code of streams, for tests of conformance to RFC 6455.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use datastream_protocol::close::CloseCause;
use datastream_service::accept::Acceptor;
use futures_util::SinkExt as _;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::{OnUpgrade, Parts};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use super::flood::Flood;
use super::{Bounds, CONTROL_BUFFER, Handshake, WebSocket, cause_of};
use crate::fanout::{MarkerFrame, QueuedFrame};
use crate::transport::dialect::MessageEncoder;

/// Bytes of a message; a stream's client has nothing so long to say.
const LONGEST_MESSAGE: usize = 16 << 20;
/// The largest header of a frame that is not masked.
const MAX_HEADER: usize = 10;
/// Time that the goodbye may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

impl Bounds {
    /// The bounds of an echo: room for one long message in either direction.
    fn of_echoes() -> Self {
        Self {
            longest_message: LONGEST_MESSAGE,
            write_buffer: CONTROL_BUFFER + MAX_HEADER + LONGEST_MESSAGE,
            messages: Flood::unbounded(),
            bytes: Flood::unbounded(),
        }
    }
}

/// Accepts connections and echoes what their clients send, until it is dropped.
pub async fn serve(listener: TcpListener) {
    let mut acceptor = Acceptor::new(listener);
    loop {
        let (tcp, peer) = acceptor.accept().await;
        // As for streams: frames are gathered before they are written.
        let _ = tcp.set_nodelay(true);
        let service = service_fn(async |request| Ok::<_, Infallible>(upgrade(request)));
        let connection = http1::Builder::new().serve_connection(TokioIo::new(tcp), service);
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%peer, %error, "connection ended");
            }
        });
    }
}

/// Answers a handshake, and echoes once the answer is sent.
fn upgrade(mut request: Request<Incoming>) -> Response<Full<Bytes>> {
    match Handshake::of(&request) {
        Ok(handshake) => {
            tokio::spawn(open(hyper::upgrade::on(&mut request)));
            handshake.answer()
        }
        Err(refusal) => {
            let mut response = Response::new(Full::new(refusal.to_string().into()));
            *response.status_mut() = StatusCode::BAD_REQUEST;
            response
        }
    }
}

async fn open(upgrade: OnUpgrade) {
    let upgraded = match upgrade.await {
        Ok(upgraded) => upgraded,
        Err(error) => return tracing::debug!(%error, "client left during the handshake"),
    };
    let Ok(Parts { io, read_buf, .. }) = upgraded.downcast::<TokioIo<TcpStream>>() else {
        return tracing::error!("the upgraded connection is no TCP socket");
    };
    let bounds = Bounds::of_echoes();
    let encoder = MessageEncoder::dss();
    let mut socket = WebSocket::bounded(io.into_inner(), read_buf.to_vec(), bounds, encoder).await;
    let cause = match socket.echo().await {
        Ok(()) => CloseCause::ClientLeft,
        Err(cause) => cause,
    };
    tracing::debug!(cause = cause.name(), "the echo ends");
    let _ = timeout(CLOSE_TIMEOUT, socket.say_goodbye(cause.frame())).await;
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> WebSocket<S> {
    /// Sends every message back until the client says goodbye.
    ///
    /// # Errors
    /// The cause for which the echo ends before that.
    async fn echo(&mut self) -> Result<(), CloseCause> {
        let mut unsent = VecDeque::new();
        loop {
            match poll_fn(|cx| self.poll_exchange(&mut unsent, cx)).await? {
                Some(Message::Text(text)) => {
                    // One waits at most, beside those that the writer has begun.
                    self.send_all(&mut unsent).await?;
                    unsent.push_back(QueuedFrame::Marker(MarkerFrame::raw(&text)));
                }
                Some(message @ Message::Binary(_)) => {
                    self.send_all(&mut unsent).await?;
                    let sent = self.socket.send(message).await;
                    sent.map_err(|error| cause_of(&error))?;
                }
                Some(Message::Close(_)) => return Ok(()),
                // The next poll sends the pong.
                Some(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) | None => (),
            }
        }
    }

    /// Sends the texts that wait, and completes the one that was begun.
    async fn send_all(&mut self, unsent: &mut VecDeque<QueuedFrame>) -> Result<(), CloseCause> {
        let sent = poll_fn(|cx| self.writer.poll_send(unsent, &mut self.socket, cx)).await;
        sent.map_err(|error| cause_of(&error))?;
        Ok(())
    }
}

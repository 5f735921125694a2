//! One connection to a stream, from the handshake to its end.

use std::time::Duration;

use datastream_protocol::StreamUrl;
use datastream_protocol::frame::{Frame, HEARTBEAT_ANSWER, LARGEST_FRAME, LONGEST_MESSAGE};
use datastream_service::tls::Fault;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::{
    AUTHORIZATION, CONNECTION, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, client_async_tls_with_config};

use crate::credentials::Credentials;
use crate::dial::{Attempts, dial};
use crate::heard::Heard;
use crate::refusal::Refusal;
use crate::silence::SilenceLimit;

/// Timeout of the close frame of a stream that is no longer wanted.
const FAREWELL: Duration = Duration::from_millis(500);
/// A connection may take this long to be established.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A frame that has arrived is taken within this time, however long the connection was not asked for one.
const ARRIVED: Duration = Duration::from_secs(1);
/// A read that takes longer has waited for what it found.
const WAITED: Duration = Duration::from_millis(1);
/// A heartbeat that may have come longer than this before it was read tells no interval.
const LATE: Duration = Duration::from_secs(1);
/// The defaults allocate 128 KiB a connection at once; events are small.
const READ_BUFFER: usize = 16 << 10;

/// The body of a frame, byte for byte as it came. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    frame: Utf8Bytes,
    start: usize,
}

impl Body {
    /// The body that starts at byte `start` of the frame.
    const fn new(frame: Utf8Bytes, start: usize) -> Self {
        Self { frame, start }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.frame[self.start..]
    }
}

impl From<&str> for Body {
    fn from(json: &str) -> Self {
        Self::new(json.into(), 0)
    }
}

/// Message from a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// An event, or a control frame if the stream was asked for them: JSON text.
    Json(Body),
    /// The server wants [`Connection::answer`] to be called.
    Heartbeat,
    /// Nothing has to be done.
    KeepAlive,
    /// A message that is not part of the protocol, with a description.
    Junk(String),
}

/// Reason why there is no connection, or no more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The server gives no stream.
    #[error("{0}")]
    Refused(Refusal),
    /// The server closed the stream, saying why.
    #[error("closed by the server: {code} {reason}")]
    Closed {
        /// The close code of the WebSocket.
        code: u16,
        /// The server's message.
        reason: String,
    },
    /// The connection failed, could not be made, or has died.
    #[error("{0}")]
    Lost(String),
    /// The server sent what cannot be received, and will do so again: a message that is too long, or none.
    #[error("{0}")]
    Unreadable(String),
    /// A URL that cannot be used, now or later.
    #[error("{0}")]
    BadUrl(String),
    /// No token can be read where it should be.
    #[error("{0}")]
    BadToken(String),
}

impl Failure {
    /// Time for which the server wants to be left alone.
    pub fn retry_after(&self) -> Duration {
        match self {
            Self::Refused(refusal) => refusal.retry_after.unwrap_or_default(),
            _ => Duration::ZERO,
        }
    }
}

/// An open stream.
pub struct Connection {
    socket: Socket,
    credentials: Credentials,
    /// The token that the server has.
    token: Option<String>,
    silence: SilenceLimit,
    /// Time before which what is read next had not come.
    since: Instant,
    /// Time of the first read that began when the connection had been silent for too long.
    overdue: Option<Instant>,
}

/// Socket whose bytes are noted below TLS: a record of it may take its time, too.
type Socket = WebSocketStream<MaybeTlsStream<Heard<TcpStream>>>;

async fn handshake(request: Request, credentials: &Credentials) -> Result<Socket, Failure> {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .max_message_size(Some(LARGEST_FRAME))
        .max_frame_size(Some(LARGEST_FRAME));
    let mut attempts = Attempts::default();
    let attempt = Box::pin(async {
        let uri = request.uri();
        let host = uri.host().unwrap_or_default();
        let host = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let secure = uri.scheme_str() == Some("wss");
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let lost = |reason: String| Failure::Lost(format!("cannot connect: {reason}"));
        let stream = dial(&host, port, &mut attempts).await.map_err(lost)?;
        let address = stream.peer_addr().map_err(|e| lost(e.to_string()))?;
        stream.set_nodelay(true).map_err(|e| lost(e.to_string()))?;
        let stream = Heard::new(stream);
        let connector = Some(credentials.connector());
        match client_async_tls_with_config(request, stream, Some(config), connector).await {
            Ok((socket, _)) => Ok(socket),
            Err(Error::Http(response)) => Err(Failure::Refused(Refusal::of(&response))),
            Err(error @ (Error::Url(_) | Error::HttpFormat(_))) => {
                Err(Failure::BadUrl(error.to_string()))
            }
            Err(error) => Err(lost(format!("{address}: {}", explained(&error)))),
        }
    });
    let Ok(result) = timeout(CONNECT_TIMEOUT, attempt).await else {
        let seconds = CONNECT_TIMEOUT.as_secs();
        let tried = attempts.describe();
        let reason = format!("no answer within {seconds} s: {tried}");
        return Err(Failure::Lost(reason));
    };
    result
}

/// The error in words that say what to do, where they are known.
fn explained(error: &Error) -> String {
    let fault = match error {
        Error::Io(error) => Fault::of(error),
        _ => None,
    };
    match fault {
        Some(fault @ Fault::NoTls) => format!("{fault}: a URL without TLS starts with ws://"),
        Some(fault @ Fault::UnknownAuthority) => format!(
            "{fault}: for a private one, give its certificate (--ca-file, or caFile of a collector)"
        ),
        Some(fault) => format!("{fault} ({error})"),
        None => error.to_string(),
    }
}

/// A request for the stream at this URL, with the token if there is one.
fn request(url: &StreamUrl, token: Option<&str>) -> Result<Request, Failure> {
    let request = url.expose().into_client_request();
    let mut request = request.map_err(|e| Failure::BadUrl(e.to_string()))?;
    if token.is_some() && url.key().is_some() {
        let reason = "the URL has a stream key, and there is a token: leave one of them out";
        return Err(Failure::BadUrl(reason.to_owned()));
    }
    if let Some(bearer) = token.or_else(|| url.bearer()) {
        let mut bearer = HeaderValue::try_from(format!("Bearer {bearer}"))
            .map_err(|_| Failure::BadUrl("the stream key has control characters".to_owned()))?;
        bearer.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, bearer);
    }
    Ok(request)
}

/// Asks whether there is a stream at this URL, without opening it: its one stream may be somebody else's, and opening it can move
/// what is committed.
pub async fn inquire(url: &StreamUrl, credentials: &Credentials) -> Result<(), Failure> {
    let token = credentials.token().map_err(Failure::BadToken)?;
    let mut plain = request(url, token.as_deref())?;
    // The handshake of a WebSocket that is none: a plain GET, with the same TLS and errors as a stream's.
    let headers = plain.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert(UPGRADE, HeaderValue::from_static("none"));
    refused_with(plain, credentials, |status| status == 200).await?;
    // A handshake that no gateway accepts: whoever refuses it has seen that it is one.
    let mut upgrade = request(url, token.as_deref())?;
    let headers = upgrade.headers_mut();
    headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("0"));
    refused_with(upgrade, credentials, |status| matches!(status, 400 | 426)).await
}

async fn refused_with(
    request: Request,
    credentials: &Credentials,
    status: impl Fn(u16) -> bool,
) -> Result<(), Failure> {
    match handshake(request, credentials).await {
        Err(Failure::Refused(answer)) if status(answer.status) => Ok(()),
        Err(failure) => Err(failure),
        Ok(_) => Err(Failure::Lost(
            "opened a stream that nobody asked for".to_owned(),
        )),
    }
}

impl Connection {
    /// Connects. `silence` is the stream's: after so long without a byte the connection counts as dead.
    pub async fn open(
        url: &StreamUrl,
        credentials: &Credentials,
        mut silence: SilenceLimit,
    ) -> Result<Self, Failure> {
        let token = credentials.token().map_err(Failure::BadToken)?;
        let request = request(url, token.as_deref())?;
        let socket = handshake(request, credentials).await?;
        silence.restart();
        Ok(Self {
            socket,
            credentials: credentials.clone(),
            token,
            silence,
            since: Instant::now(),
            overdue: None,
        })
    }

    /// The silence that the stream's connections may have, by the heartbeats that have come so far: for the next one.
    pub const fn silence(&self) -> SilenceLimit {
        self.silence
    }

    /// The next frame. Nothing is lost if this is dropped before it is ready.
    pub async fn next(&mut self) -> Result<Incoming, Failure> {
        let asked = Instant::now();
        self.look();
        let incoming = self.receive_in_time(asked).await;
        let now = Instant::now();
        if now - asked >= WAITED {
            self.since = now;
        }
        self.note(&incoming);
        incoming
    }

    /// The next frame if it is here already.
    pub fn at_hand(&mut self) -> Option<Result<Incoming, Failure>> {
        self.look();
        let incoming = self.receive().now_or_never()?;
        self.note(&incoming);
        Some(incoming)
    }

    /// Looks up when there last was nothing to read.
    fn look(&mut self) {
        self.since = self.since.max(self.tcp().empty());
    }

    /// Notes what was read now, if it is a heartbeat.
    fn note(&mut self, incoming: &Result<Incoming, Failure>) {
        if matches!(incoming, Ok(Incoming::Heartbeat | Incoming::KeepAlive)) {
            let now = Instant::now();
            let is_on_time = now - self.since <= LATE;
            self.silence.heartbeat(is_on_time.then_some(now));
        }
    }

    fn tcp(&self) -> &Heard<TcpStream> {
        self.socket.get_ref().get_ref()
    }

    /// The next frame, unless nothing comes for longer than the connection may be silent.
    async fn receive_in_time(&mut self, asked: Instant) -> Result<Incoming, Failure> {
        let silence = self.silence.limit();
        let mut end = self.end(asked, silence);
        loop {
            if let Ok(incoming) = timeout_at(end, self.receive()).await {
                return incoming;
            }
            // A large frame may take its time: each part of it is a sign of life.
            let extended = self.tcp().heard() + silence;
            if extended <= end {
                self.silence.gave_up();
                let seconds = silence.as_secs();
                return Err(Failure::Lost(format!("no heartbeat within {seconds} s")));
            }
            end = extended;
        }
    }

    /// Time at which a read that begins now gives up the connection, if nothing comes.
    fn end(&mut self, asked: Instant, silence: Duration) -> Instant {
        let heard = self.tcp().heard();
        let end = heard + silence;
        if asked < end {
            return end;
        }
        // What came while nobody read is no silence: the first read waits for it. The next ones count from there, since each of
        // them may be dropped early.
        let first = self.overdue.filter(|first| heard < *first);
        let first = first.unwrap_or(asked);
        self.overdue = Some(first);
        first + ARRIVED
    }

    async fn receive(&mut self) -> Result<Incoming, Failure> {
        loop {
            match self.socket.next().await {
                None => return Err(Failure::Lost("the connection was closed".to_owned())),
                Some(Err(error)) => return Err(broken(error)),
                Some(Ok(Message::Text(text))) => return Ok(understand(text)),
                Some(Ok(Message::Binary(data))) => {
                    let reason = format!("a binary message of {} bytes", data.len());
                    return Ok(Incoming::Junk(reason));
                }
                Some(Ok(Message::Close(Some(frame)))) => {
                    // The answer, which says that the reason has arrived, goes out with the next flush.
                    let _ = timeout(FAREWELL, self.socket.flush()).await;
                    return Err(Failure::Closed {
                        code: frame.code.into(),
                        reason: frame.reason.to_string(),
                    });
                }
                Some(Ok(Message::Close(None))) => {
                    return Err(Failure::Lost("closed by the server".to_owned()));
                }
                // Pings are answered by the WebSocket library.
                Some(Ok(_)) => (),
            }
        }
    }

    /// Answers a heartbeat, which acknowledges everything before it. A token that has been replaced in its file goes before it.
    pub async fn answer(&mut self) -> Result<(), Failure> {
        self.renew_token().await?;
        let answer = Message::Text(Utf8Bytes::from_static(HEARTBEAT_ANSWER));
        self.send(answer).await
    }

    async fn renew_token(&mut self) -> Result<(), Failure> {
        // A file that cannot be read now may be readable when it matters, at the next connect.
        let Ok(Some(token)) = self.credentials.token() else {
            return Ok(());
        };
        if self.token.as_ref() == Some(&token) {
            return Ok(());
        }
        let renewal = serde_json::json!({"token": token}).to_string();
        self.token = Some(token);
        // A longer one has to wait for the next connect, which its end brings about.
        if renewal.len() > LONGEST_MESSAGE {
            return Ok(());
        }
        self.send(Message::text(renewal)).await
    }

    async fn send(&mut self, message: Message) -> Result<(), Failure> {
        let sent = self.socket.send(message).await;
        sent.map_err(|e| Failure::Lost(e.to_string()))
    }

    /// Takes leave, so that the server need not find out by itself.
    pub async fn close(mut self) {
        let _ = timeout(FAREWELL, self.socket.close(None)).await;
    }
}

fn understand(text: Utf8Bytes) -> Incoming {
    match Frame::parse(&text) {
        Ok(Frame::Event(json)) => {
            let start = text.len() - json.len();
            Incoming::Json(Body::new(text, start))
        }
        Ok(Frame::Heartbeat) => Incoming::Heartbeat,
        Ok(Frame::KeepAlive) => Incoming::KeepAlive,
        Err(error) => Incoming::Junk(error.to_string()),
    }
}

/// The failure that an error of the WebSocket is.
fn broken(error: Error) -> Failure {
    match error {
        Error::Capacity(error) => Failure::Unreadable(format!(
            "{error}: no frame is larger than {LARGEST_FRAME} bytes"
        )),
        Error::Utf8(_) => Failure::Unreadable(error.to_string()),
        Error::Protocol(
            ProtocolError::ResetWithoutClosingHandshake
            | ProtocolError::ReceivedAfterClosing
            | ProtocolError::SendAfterClosing,
        ) => Failure::Lost(error.to_string()),
        Error::Protocol(_) => Failure::Unreadable(error.to_string()),
        error => Failure::Lost(error.to_string()),
    }
}

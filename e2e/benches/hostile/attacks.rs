//! Attacks on a gateway: what clients do that mean no good, and how many of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

/// Bytes that the kernel may hold of what an attacker does not read.
const BUFFER: u32 = 4 << 10;
/// Requests on one connection of HTTP/2.
const REQUESTS: u32 = 100;
/// Frames of HTTP/2 (RFC 9113, section 6).
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
/// Connections that are opened at once.
const AT_ONCE: usize = 64;

/// One way to attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attack {
    /// Connections that send nothing.
    Idle,
    /// Requests whose heads never end, a byte at a time.
    SlowHeads,
    /// Connections that begin a handshake of TLS and leave it at that.
    HalfOpen,
    /// Requests one behind the other, whose answers are not read.
    UnreadAnswers,
    /// Connections of HTTP/2 with many requests each, whose answers are not taken.
    UnreadHttp2,
    /// Streams that are not read.
    UnreadStreams,
    /// Streams that send pings and read nothing.
    Pings,
    /// Streams that send `Z` without end.
    Answers,
    /// Requests with keys that nobody has.
    WrongKeys,
    /// Streams that are opened and closed again and again.
    OpenAndClose,
}

impl Attack {
    /// All attacks.
    pub(crate) const ALL: [Self; 10] = [
        Self::Idle,
        Self::SlowHeads,
        Self::HalfOpen,
        Self::UnreadAnswers,
        Self::UnreadHttp2,
        Self::UnreadStreams,
        Self::Pings,
        Self::Answers,
        Self::WrongKeys,
        Self::OpenAndClose,
    ];

    /// The number of attackers of a whole attack: connections, or requests.
    pub(crate) const fn whole(self) -> usize {
        match self {
            Self::Idle | Self::SlowHeads | Self::HalfOpen => 5_000,
            Self::UnreadAnswers | Self::UnreadHttp2 | Self::UnreadStreams => 2_000,
            Self::Pings | Self::Answers | Self::OpenAndClose => 20,
            Self::WrongKeys => 20_000,
        }
    }

    /// Time after which an attacker comes back that was thrown out: those that hold connections want to hold them, and not to fill the
    /// machine with connecting.
    const fn comes_back_after(self) -> Duration {
        match self {
            Self::Idle
            | Self::SlowHeads
            | Self::HalfOpen
            | Self::UnreadAnswers
            | Self::UnreadHttp2 => Duration::from_secs(5),
            _ => Duration::from_millis(100),
        }
    }

    /// Returns whether its attackers have keys, each its own.
    pub(crate) const fn needs_keys(self) -> bool {
        matches!(
            self,
            Self::UnreadStreams | Self::Pings | Self::Answers | Self::OpenAndClose
        )
    }
}

/// An attack that goes on until it is dropped.
pub(crate) struct Running {
    tasks: JoinSet<()>,
    stop: Arc<AtomicBool>,
    /// Things done: connections opened, requests answered, messages sent.
    done: Arc<AtomicU64>,
}

impl Running {
    /// Number of things done.
    pub(crate) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Waits until so many things are done.
    pub(crate) async fn reached(&self, count: u64) {
        while self.done() < count {
            sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.tasks.abort_all();
    }
}

/// Begins an attack by so many on `HOST:PORT`. Those that need keys have them from `key`.
pub(crate) fn begin(
    attack: Attack,
    address: &str,
    count: usize,
    key: impl Fn(usize) -> String,
) -> Running {
    let (stop, done) = (
        Arc::new(AtomicBool::new(false)),
        Arc::<AtomicU64>::default(),
    );
    let mut tasks = JoinSet::new();
    let permits = Arc::new(tokio::sync::Semaphore::new(AT_ONCE));
    let workers = if attack == Attack::WrongKeys {
        AT_ONCE.min(count)
    } else {
        count
    };
    for number in 0..workers {
        let (stop, done, permits) = (stop.clone(), done.clone(), permits.clone());
        let address = address.to_owned();
        let key = if attack.needs_keys() {
            key(number)
        } else {
            String::new()
        };
        tasks.spawn(async move {
            let attacker = Attacker {
                address,
                key,
                permits,
                stop,
                done,
            };
            // Whoever is thrown out comes back.
            while !attacker.is_over() {
                match attack {
                    Attack::Idle => attacker.hold(b"").await,
                    Attack::HalfOpen => attacker.hold(&[22, 3, 1, 2, 0, 1]).await,
                    Attack::SlowHeads => attacker.slow_head().await,
                    Attack::UnreadAnswers => attacker.unread_answers().await,
                    Attack::UnreadHttp2 => attacker.unread_http2().await,
                    Attack::UnreadStreams => attacker.unread_stream().await,
                    Attack::Pings => {
                        attacker
                            .flood(&Message::Ping(Bytes::from_static(&[b'p'; 125])))
                            .await
                    }
                    Attack::Answers => attacker.flood(&Message::text("Z")).await,
                    Attack::WrongKeys => {
                        for n in (number..count).step_by(workers) {
                            attacker.guess(n).await;
                        }
                        return;
                    }
                    Attack::OpenAndClose => attacker.open_and_close().await,
                }
                sleep(attack.comes_back_after()).await;
            }
        });
    }
    Running { tasks, stop, done }
}

/// A frame of HTTP/2 (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut bytes = length.to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Requests of a client of HTTP/2, as many as it may have, whose window lets no body be sent (RFC 9113, section 6.5.2).
fn requests_without_window() -> Vec<u8> {
    let path = b"/console/console.css";
    // GET, http, :authority and :path (RFC 7541, appendix A).
    let mut head = vec![0x82, 0x86, 0x41, 1, b'x', 0x44, path.len() as u8];
    head.extend(path);
    let initial_window = [0, 4, 0, 0, 0, 0];
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &initial_window));
    // With the ends of headers and of the stream.
    bytes.extend((0..REQUESTS).flat_map(|number| frame(HEADERS, 5, 2 * number + 1, &head)));
    bytes
}

struct Attacker {
    address: String,
    key: String,
    permits: Arc<tokio::sync::Semaphore>,
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
}

impl Attacker {
    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn did(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    async fn connect(&self) -> Option<TcpStream> {
        let _permit = self.permits.acquire().await.ok()?;
        let address = self.address.parse().ok()?;
        let socket = TcpSocket::new_v4().ok()?;
        socket.set_recv_buffer_size(BUFFER).ok()?;
        let tcp = timeout(Duration::from_secs(5), socket.connect(address)).await;
        let tcp = tcp.ok()?.ok()?;
        self.did();
        Some(tcp)
    }

    async fn stream(&self) -> Option<WebSocketStream<TcpStream>> {
        let tcp = self.connect().await?;
        let url = format!("ws://{}/stream?stream_key={}", self.address, self.key);
        let opened = timeout(Duration::from_secs(10), client_async(url, tcp)).await;
        Some(opened.ok()?.ok()?.0)
    }

    /// Sends this, and waits until the other end has had enough.
    async fn hold(&self, first: &[u8]) {
        let Some(mut tcp) = self.connect().await else {
            return;
        };
        let _ = tcp.write_all(first).await;
        let _ = tcp.read(&mut [0; 64]).await;
    }

    async fn slow_head(&self) {
        let Some(mut tcp) = self.connect().await else {
            return;
        };
        let head = b"GET /stream HTTP/1.1\r\nHost: x\r\nX-Slow: ";
        let mut sent = tcp.write_all(head).await;
        while sent.is_ok() && !self.is_over() {
            sleep(Duration::from_secs(1)).await;
            sent = tcp.write_all(b"x").await;
        }
    }

    async fn unread_answers(&self) {
        let Some(mut tcp) = self.connect().await else {
            return;
        };
        let request = "GET /console/console.css HTTP/1.1\r\nHost: x\r\n\r\n".repeat(50);
        let _ = tcp.write_all(request.as_bytes()).await;
        while !self.is_over() && tcp.write_all(b"\r\n").await.is_ok() {
            sleep(Duration::from_secs(1)).await;
        }
    }

    /// Asks for much, lets no body be sent, and reads nothing.
    async fn unread_http2(&self) {
        let Some(mut tcp) = self.connect().await else {
            return;
        };
        let mut sent = tcp.write_all(&requests_without_window()).await;
        while sent.is_ok() && !self.is_over() {
            sleep(Duration::from_secs(1)).await;
            sent = tcp.write_all(&frame(PING, 0, 0, &[0; 8])).await;
        }
    }

    /// Opens a stream, and reads nothing of it for as long as it is there.
    async fn unread_stream(&self) {
        let Some(socket) = self.stream().await else {
            return;
        };
        let tcp = socket.get_ref();
        while !self.is_over() && tcp.peer_addr().is_ok() {
            sleep(Duration::from_secs(1)).await;
        }
    }

    async fn flood(&self, message: &Message) {
        let Some(mut socket) = self.stream().await else {
            return;
        };
        while !self.is_over() && socket.send(message.clone()).await.is_ok() {
            self.did();
        }
    }

    async fn guess(&self, number: usize) {
        let Some(mut tcp) = self.connect().await else {
            return;
        };
        let head = format!(
            "GET /stream?stream_key={number:f>32} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        );
        let _ = tcp.write_all(head.as_bytes()).await;
        let mut answer = vec![];
        let _ = timeout(Duration::from_secs(20), tcp.read_to_end(&mut answer)).await;
    }

    async fn open_and_close(&self) {
        let Some(mut socket) = self.stream().await else {
            return;
        };
        let _ = socket.close(None).await;
        let rest = async { while let Some(Ok(_)) = socket.next().await {} };
        let _ = timeout(Duration::from_secs(2), rest).await;
    }
}

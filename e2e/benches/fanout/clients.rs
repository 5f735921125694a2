//! Many clients that measure how old events are when they arrive.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use memchr::memmem;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_tungstenite::connect_async_tls_with_config;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::trust::Trust;

/// Prefix of the time at which an event was sent, in microseconds of the bench's clock.
pub(crate) const SENT: &str = "\"sent\":";

/// Asks for a body, at `HOST:PORT/PATH`.
async fn ask(url: &str) -> TcpStream {
    let (host, path) = url.split_once('/').unwrap();
    let mut tcp = TcpStream::connect(host).await.unwrap();
    let request = format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    tcp.write_all(request.as_bytes()).await.unwrap();
    tcp
}

/// Open streams and what they have received.
#[derive(Default)]
pub(crate) struct Clients {
    received: AtomicU64,
    /// Ages in microseconds; one list per stream, so that they do not wait for each other.
    ages: Vec<Arc<Mutex<Vec<u32>>>>,
}

impl Clients {
    /// Opens all of these.
    pub(crate) async fn connect(urls: Vec<String>, clock: fn() -> u64, trust: &Trust) -> Arc<Self> {
        let ages: Vec<_> = urls.iter().map(|_| Arc::default()).collect();
        let this = Arc::new(Self {
            received: AtomicU64::new(0),
            ages: ages.clone(),
        });
        for (url, ages) in urls.into_iter().zip(ages) {
            let this = this.clone();
            if let Some(rest) = url.strip_prefix("http://") {
                let tcp = ask(rest).await;
                tokio::spawn(async move { this.read(tcp, clock, &ages).await });
                continue;
            }
            let config = WebSocketConfig::default().read_buffer_size(2048);
            let tls = url.starts_with("wss").then(|| trust.connector());
            let (mut socket, _) = connect_async_tls_with_config(url, Some(config), true, tls)
                .await
                .unwrap();
            tokio::spawn(async move {
                while let Some(Ok(message)) = socket.next().await {
                    let Message::Text(text) = message else {
                        continue;
                    };
                    if text.as_str() == "1|Z" {
                        socket.send(Message::text("Z")).await.unwrap();
                    } else {
                        this.note(text.as_bytes(), clock, &ages);
                    }
                }
            });
        }
        this
    }

    /// Reads a body to its end. A line may come in pieces.
    async fn read(&self, mut tcp: TcpStream, clock: fn() -> u64, ages: &Mutex<Vec<u32>>) {
        let mut read = Vec::with_capacity(2048);
        while tcp.read_buf(&mut read).await.unwrap() > 0 {
            if let Some(end) = read.iter().rposition(|byte| *byte == b'\n') {
                self.note(&read[..end], clock, ages);
                read.drain(..=end);
            }
        }
    }

    /// Notes the events that are in what came.
    fn note(&self, text: &[u8], clock: fn() -> u64, ages: &Mutex<Vec<u32>>) {
        let now = clock();
        for at in memmem::find_iter(text, SENT) {
            let digits = text[at + SENT.len()..].iter();
            let digits = digits.take_while(|byte| byte.is_ascii_digit());
            let sent = digits.fold(0, |sent, digit| sent * 10 + u64::from(digit - b'0'));
            ages.lock().unwrap().push(now.saturating_sub(sent) as u32);
            self.received.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Events received so far.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Waits until this many have been received.
    pub(crate) async fn reach(&self, count: u64) {
        for _ in 0..3000 {
            if self.received() >= count {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("{} of {count} deliveries", self.received());
    }

    /// The ages of all events since the last call, sorted, in microseconds.
    pub(crate) fn take_ages(&self) -> Vec<u32> {
        let mut all = vec![];
        for ages in &self.ages {
            all.append(&mut ages.lock().unwrap());
        }
        all.sort_unstable();
        all
    }
}

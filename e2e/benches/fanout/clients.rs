//! Many clients that measure how old events are when they arrive.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::time::sleep;
use tokio_tungstenite::connect_async_tls_with_config;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::trust::Trust;

/// Prefix of the time at which an event was sent, in microseconds of the bench's clock.
pub(crate) const SENT: &str = "\"sent\":";

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
            let config = WebSocketConfig::default().read_buffer_size(2048);
            let tls = url.starts_with("wss").then(|| trust.connector());
            let (mut socket, _) = connect_async_tls_with_config(url, Some(config), true, tls)
                .await
                .unwrap();
            let this = this.clone();
            tokio::spawn(async move {
                while let Some(Ok(message)) = socket.next().await {
                    let Message::Text(text) = message else {
                        continue;
                    };
                    let now = clock();
                    if let Some(at) = text.find(SENT) {
                        let digits = &text[at + SENT.len()..];
                        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap();
                        let sent: u64 = digits[..end].parse().unwrap();
                        ages.lock().unwrap().push(now.saturating_sub(sent) as u32);
                        this.received.fetch_add(1, Ordering::Relaxed);
                    } else if text.as_str() == "1|Z" {
                        socket.send(Message::text("Z")).await.unwrap();
                    }
                }
            });
        }
        this
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

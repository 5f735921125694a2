//! All clients but the slow one, as a process of their own: how many events they got, and how old.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncBufReadExt as _, BufReader, stdin};
use tokio::task::JoinSet;
use tokio_tungstenite::connect_async_with_config;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::{STREAMS, key};

/// Microseconds, on the clock that all processes have.
pub(crate) fn clock() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_micros() as u64
}

/// Prefix of the time at which an event was sent.
pub(crate) const SENT: &str = "\"sent\":";
/// Clients that connect at once.
const CONNECTING: usize = 100;

#[derive(Default)]
struct Seen {
    received: AtomicU64,
    /// Ages in microseconds; a few lists, so that clients do not wait for each other.
    ages: [Mutex<Vec<u32>>; 16],
}

/// Connects everybody to `url` with their keys, says so, and answers what it is asked.
#[allow(clippy::print_stdout)]
pub(crate) async fn run(url: &str) {
    let seen = Arc::new(Seen::default());
    let mut connecting = JoinSet::new();
    for number in 1..STREAMS {
        if connecting.len() >= CONNECTING {
            connecting.join_next().await.unwrap().unwrap();
        }
        connecting.spawn(client(
            format!("{url}{}", key(number)),
            number,
            seen.clone(),
        ));
    }
    connecting.join_all().await;
    println!("ready");
    let mut questions = BufReader::new(stdin()).lines();
    while let Ok(Some(question)) = questions.next_line().await {
        if question == "received" {
            println!("{}", seen.received.load(Ordering::Relaxed));
            continue;
        }
        let mut ages: Vec<u32> = vec![];
        for some in &seen.ages {
            ages.append(&mut some.lock().unwrap());
        }
        ages.sort_unstable();
        let at = |quantile: f64| ages[(ages.len() as f64 * quantile) as usize];
        println!("{} {}", at(0.5), at(0.99));
    }
}

async fn client(url: String, number: usize, seen: Arc<Seen>) {
    let config = WebSocketConfig::default().read_buffer_size(2048);
    let connected = connect_async_with_config(url, Some(config), true).await;
    let (mut socket, _) = connected.unwrap();
    tokio::spawn(async move {
        while let Some(Ok(message)) = socket.next().await {
            let Message::Text(text) = message else {
                continue;
            };
            if let Some(at) = text.find(SENT) {
                let digits = &text[at + SENT.len()..];
                let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap();
                let sent: u64 = digits[..end].parse().unwrap();
                let age = clock().saturating_sub(sent) as u32;
                seen.ages[number % seen.ages.len()]
                    .lock()
                    .unwrap()
                    .push(age);
                seen.received.fetch_add(1, Ordering::Relaxed);
            } else if text.as_str() == "1|Z" {
                socket.send(Message::text("Z")).await.unwrap();
            }
        }
    });
}

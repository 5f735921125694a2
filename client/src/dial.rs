//! Connecting to a host that has several addresses, of which some may be dead (RFC 8305, "Happy Eyeballs").

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, sleep_until};

/// The time that an address has before the next one is tried beside it.
const HEAD_START: Duration = Duration::from_millis(250);

/// Attempts to connect, and how they went: reported when no connection is made.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    failed: Vec<(SocketAddr, io::Error)>,
    open: Vec<SocketAddr>,
}

impl Attempts {
    /// The addresses and their errors.
    pub(super) fn describe(&self) -> String {
        let mut text = String::new();
        for (address, error) in &self.failed {
            let separator = if text.is_empty() { "" } else { ", " };
            let _ = write!(text, "{separator}{address}: {error}");
        }
        for address in &self.open {
            let separator = if text.is_empty() { "" } else { ", " };
            let _ = write!(text, "{separator}{address}: no answer");
        }
        text
    }
}

/// Connects to the first address that answers. Each is tried a little after the one before it, or at once when that
/// one has failed; families take turns.
///
/// # Errors
/// The name has no address, or none can be connected to. `attempts` says which were tried, also when this is dropped.
pub(super) async fn dial(
    host: &str,
    port: u16,
    attempts: &mut Attempts,
) -> Result<TcpStream, String> {
    let found = lookup_host((host, port)).await;
    let found: Vec<_> = found
        .map_err(|e| format!("cannot look up {host}: {e}"))?
        .collect();
    if found.is_empty() {
        return Err(format!("{host} has no address"));
    }
    first_of(found, attempts).await
}

async fn first_of(
    addresses: Vec<SocketAddr>,
    attempts: &mut Attempts,
) -> Result<TcpStream, String> {
    let mut waiting = interleave(addresses);
    let mut connecting = FuturesUnordered::new();
    let mut next = Instant::now();
    loop {
        tokio::select! {
            Some((address, result)) = connecting.next() => match result {
                Ok(stream) => return Ok(stream),
                Err(error) => {
                    attempts.open.retain(|a| *a != address);
                    attempts.failed.push((address, error));
                    next = Instant::now();
                }
            },
            () = sleep_until(next), if !waiting.is_empty() => {
                if let Some(address) = waiting.pop_front() {
                    attempts.open.push(address);
                    connecting.push(async move { (address, TcpStream::connect(address).await) });
                    next = Instant::now() + HEAD_START;
                }
            }
            else => return Err(attempts.describe()),
        }
    }
}

/// The addresses in their order, but with the families taking turns: most often a whole family is broken.
fn interleave(addresses: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (same, other): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|a| a.is_ipv6() == first_is_v6);
    let (mut same, mut other) = (same.into_iter(), other.into_iter());
    let mut ordered = VecDeque::new();
    loop {
        let pair = [same.next(), other.next()];
        if pair == [None, None] {
            return ordered;
        }
        ordered.extend(pair.into_iter().flatten());
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpSocket};
    use tokio::time::timeout;

    use super::*;

    #[test]
    fn address_families_alternate_and_keep_their_order() {
        let addresses = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|t| t.parse().unwrap()).collect()
        };
        let given = addresses(&["[::1]:1", "[::2]:1", "10.0.0.1:1", "[::3]:1", "10.0.0.2:1"]);
        let expected = addresses(&["[::1]:1", "10.0.0.1:1", "[::2]:1", "10.0.0.2:1", "[::3]:1"]);
        assert_eq!(interleave(given), expected);
        assert!(interleave(vec![]).is_empty());
    }

    /// An address that never answers: its queue is full, so that the system drops what comes.
    async fn dead() -> (TcpListener, Vec<TcpStream>, SocketAddr) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let mut waiting = vec![];
        let patience = Duration::from_millis(300);
        while let Ok(stream) = timeout(patience, TcpStream::connect(address)).await {
            waiting.push(stream.unwrap());
        }
        (listener, waiting, address)
    }

    #[tokio::test]
    async fn other_addresses_are_tried_while_one_does_not_answer() {
        let (_listener, _waiting, dead) = dead().await;
        let alive = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let alive = (alive.local_addr().unwrap(), alive);
        let mut attempts = Attempts::default();
        let stream = first_of(vec![dead, alive.0], &mut attempts).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), alive.0);
    }

    #[tokio::test(start_paused = true)]
    async fn attempted_addresses_are_reported_when_none_answers() {
        let (_listener, _waiting, dead) = dead().await;
        let mut attempts = Attempts::default();
        let patience = Duration::from_secs(1);
        let tried = timeout(patience, first_of(vec![dead], &mut attempts)).await;
        assert!(tried.is_err());
        assert_eq!(attempts.describe(), format!("{dead}: no answer"));
    }

    #[tokio::test]
    async fn an_address_that_refuses_the_connection_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let mut attempts = Attempts::default();
        let error = dial("127.0.0.1", port, &mut attempts).await.unwrap_err();
        assert!(error.starts_with(&format!("127.0.0.1:{port}: ")), "{error}");
    }
}

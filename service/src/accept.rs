//! Accepting connections for as long as a process lives.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use crate::log_limit::LogLimit;

/// Pause after a connection that could not be accepted. Out of file descriptors, most likely: others will close theirs.
const PAUSE: Duration = Duration::from_millis(100);
/// A connection that cannot be accepted is logged once in this time.
const LOG_EVERY: Duration = Duration::from_mins(1);

/// Listener that continues after a connection that could not be accepted.
#[derive(Debug)]
pub struct Acceptor {
    listener: TcpListener,
    log: LogLimit,
}

impl Acceptor {
    /// Accepts the connections of this listener.
    pub fn new(listener: TcpListener) -> Self {
        Self {
            listener,
            log: LogLimit::new(1, LOG_EVERY),
        }
    }

    /// Returns the next connection and the address of its other end. Can be dropped without losing one.
    pub async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok(accepted) => return accepted,
                Err(error) => {
                    if let Some(held_back) = self.log.admit(Instant::now()) {
                        tracing::warn!(%error, held_back, "cannot accept a connection; trying again");
                    }
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

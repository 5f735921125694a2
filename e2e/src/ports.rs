//! Ports of servers that have to be named before the servers listen.

use std::io;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// Ports that Linux gives to no socket by itself (its `ip_local_port_range` begins at 32768), below those of Kubernetes (30000).
const FIRST: u16 = 20_000;
const COUNT: u16 = 9_000;

/// Returns a port of 127.0.0.1 that nobody listens on, and that no client takes while its server is down.
///
/// # Errors
/// All are taken.
pub fn fixed_port() -> io::Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Processes begin at different places.
    let begin = std::process::id().wrapping_mul(61) % u32::from(COUNT);
    for _ in 0..COUNT {
        let number = u32::from(NEXT.fetch_add(1, Ordering::Relaxed)) + begin;
        let port = FIRST + (number % u32::from(COUNT)) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    Err(io::Error::from(io::ErrorKind::AddrInUse))
}

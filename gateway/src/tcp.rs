//! Options of the TCP sockets of clients.

use std::io;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// Bytes that the kernel may hold for a stream, those included that were sent and are not acknowledged.
const SEND_BUFFER: usize = 256 << 10;
/// Bytes that the kernel may hold for a stream and has not sent.
const UNSENT: u32 = 16 << 10;
/// Time for which sent bytes may stay unacknowledged before the connection is given up.
const UNACKNOWLEDGED: Duration = Duration::from_mins(2);
/// The same for a client of which somebody wants to know whether it is there.
const PROBED: Duration = Duration::from_secs(5);

/// A socket below which there is one of TCP, for its options.
pub(crate) trait HasTcp {
    /// That socket, if there is one.
    fn tcp(&self) -> Option<&TcpStream>;
}

/// Bounds what the kernel holds for a client: little that it has not sent, but as much of what it has sent as the network has
/// room for. So a client that does not read costs little, and one that is far away is not slowed down.
pub(crate) fn set_buffers(tcp: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(tcp);
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.set_tcp_notsent_lowat(UNSENT)?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))
}

/// The question whether a client that does not answer in words is there: the kernel gives the connection up soon if what is written next
/// is not acknowledged.
#[derive(Debug, Default)]
pub(crate) struct TcpProbe {
    since: Option<Instant>,
}

impl TcpProbe {
    /// Asks with what is written next.
    pub(crate) fn begin(&mut self, socket: &impl HasTcp) {
        self.since = Some(Instant::now());
        give_up_after(socket, PROBED);
    }

    /// Lets the usual time hold again, once there was time for an answer.
    pub(crate) fn look(&mut self, socket: &impl HasTcp) {
        if self.since.is_some_and(|since| since.elapsed() > PROBED) {
            self.since = None;
            give_up_after(socket, UNACKNOWLEDGED);
        }
    }
}

fn give_up_after(socket: &impl HasTcp, time: Duration) {
    let set = socket
        .tcp()
        .map(|tcp| SockRef::from(tcp).set_tcp_user_timeout(Some(time)));
    if let Some(Err(error)) = set {
        tracing::debug!(%error, "a client cannot be probed");
    }
}

//! Options of the TCP sockets of clients.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// Bytes that the kernel may hold for a stream, those included that were sent and are not acknowledged.
const SEND_BUFFER: usize = 256 << 10;
/// Bytes that the kernel may hold for a stream and has not sent.
const UNSENT: u32 = 16 << 10;
/// Time for which bytes may stay unacknowledged, or unsent because the client takes none, before the connection is given up: what heartbeats
/// allow where the subscription says nothing, and [`LEEWAY`].
const UNACKNOWLEDGED: Duration = Duration::from_secs(130);
/// Time by which the kernel waits longer than the stream, which can say why it ends.
const LEEWAY: Duration = Duration::from_secs(10);
/// The same for a client of which somebody wants to know whether it is there.
const PROBED: Duration = Duration::from_secs(5);
/// Time after which the kernel has given such a client up, if it is not there.
const PROBE_OVER: Duration = PROBED.saturating_add(Duration::from_millis(500));

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

/// The time after which the kernel gives a connection up. A client that does not answer in words is asked by it whether it is there: the
/// kernel gives it up soon if what is written next is not acknowledged.
#[derive(Debug)]
pub(crate) struct TcpPatience {
    usual: Duration,
    /// Runs while the client is asked.
    asked: Option<Pin<Box<Sleep>>>,
}

impl Default for TcpPatience {
    fn default() -> Self {
        Self {
            usual: UNACKNOWLEDGED,
            asked: None,
        }
    }
}

impl TcpPatience {
    /// Gives the client at least so much time, in which its stream waits for a sign of life.
    pub(crate) fn set(&mut self, socket: &impl HasTcp, time: Duration) {
        let usual = time.saturating_add(LEEWAY).max(UNACKNOWLEDGED);
        if usual != std::mem::replace(&mut self.usual, usual) && self.asked.is_none() {
            give_up_after(socket, usual);
        }
    }

    /// Asks with what is written next.
    pub(crate) fn ask(&mut self, socket: &impl HasTcp) {
        self.asked = Some(Box::pin(sleep(PROBE_OVER)));
        give_up_after(socket, PROBED);
    }

    /// Lets the usual time hold again, once there was time for an answer. It wakes whoever looks then.
    pub(crate) fn look(&mut self, socket: &impl HasTcp, cx: &mut Context<'_>) {
        if let Some(asked) = &mut self.asked
            && asked.as_mut().poll(cx).is_ready()
        {
            self.asked = None;
            give_up_after(socket, self.usual);
        }
    }
}

fn give_up_after(socket: &impl HasTcp, time: Duration) {
    let set = socket
        .tcp()
        .map(|tcp| SockRef::from(tcp).set_tcp_user_timeout(Some(time)));
    if let Some(Err(error)) = set {
        tracing::debug!(%error, "the kernel keeps its time for the client");
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    struct OfTcp(TcpStream);

    impl HasTcp for OfTcp {
        fn tcp(&self) -> Option<&TcpStream> {
            Some(&self.0)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_kernel_waits_longer_than_the_stream_but_for_a_client_that_is_asked_for() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let socket = OfTcp(TcpStream::connect(address).await.unwrap());
        set_buffers(&socket.0).unwrap();
        let waits = || {
            SockRef::from(&socket.0)
                .tcp_user_timeout()
                .unwrap()
                .unwrap()
        };
        assert_eq!(waits(), UNACKNOWLEDGED);
        let mut patience = TcpPatience::default();
        patience.set(&socket, Duration::from_secs(5));
        assert_eq!(waits(), UNACKNOWLEDGED);
        patience.set(&socket, Duration::from_mins(20));
        let long = Duration::from_mins(20) + LEEWAY;
        assert_eq!(waits(), long);
        patience.ask(&socket);
        patience.set(&socket, Duration::from_mins(20));
        assert_eq!(waits(), PROBED);
        let over = std::future::poll_fn(|cx| {
            patience.look(&socket, cx);
            if patience.asked.is_some() {
                return std::task::Poll::Pending;
            }
            std::task::Poll::Ready(())
        });
        over.await;
        assert_eq!(waits(), long);
    }
}

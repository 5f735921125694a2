//! The slow client: it says goodbye only in the end.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

/// Bytes that the kernel may hold for it.
const BUFFER: u32 = 8 << 10;
/// A fifth of what comes.
const PAUSE: Duration = Duration::from_millis(80);

/// The way in which it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    ReadsNothing,
    ReadsSlowly,
}

/// An open stream that is not read as it should be.
pub(crate) struct Slow {
    stop: oneshot::Sender<()>,
    reading: JoinHandle<WebSocketStream<TcpStream>>,
}

impl Slow {
    pub(crate) async fn connect(url: &str, pace: Pace) -> Self {
        let address = url.split('/').nth(2).unwrap().parse().unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(BUFFER).unwrap();
        let tcp = socket.connect(address).await.unwrap();
        let (mut socket, _) = client_async(url, tcp).await.unwrap();
        let (stop, stopped) = oneshot::channel();
        let reading = tokio::spawn(async move {
            let read = async {
                match pace {
                    Pace::ReadsNothing => std::future::pending().await,
                    Pace::ReadsSlowly => loop {
                        sleep(PAUSE).await;
                        if let Some(Ok(Message::Text(text))) = socket.next().await
                            && text.as_str() == "1|Z"
                        {
                            socket.send(Message::text("Z")).await.unwrap();
                        }
                    },
                }
            };
            tokio::select! {
                () = read => (),
                _ = stopped => (),
            }
            socket
        });
        Self { stop, reading }
    }

    /// Says goodbye, and reads what is still on its way, so that the gateway has done with it.
    pub(crate) async fn leave(self) {
        let _ = self.stop.send(());
        let mut socket = self.reading.await.unwrap();
        let _ = socket.close(None).await;
        let rest = async { while let Some(Ok(_)) = socket.next().await {} };
        let _ = timeout(Duration::from_secs(5), rest).await;
    }
}

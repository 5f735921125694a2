//! A proxy that forgets its clients: their connections are reset, and the server does not notice.

use std::net::SocketAddr;

use tokio::io::copy;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The proxy. It ends when this is dropped.
pub(crate) struct HalfOpen {
    /// The address on which it listens.
    pub(crate) address: SocketAddr,
    forget: watch::Sender<u64>,
    accepting: JoinHandle<()>,
}

impl HalfOpen {
    /// A proxy before this server.
    pub(crate) async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (forget, forgotten) = watch::channel(0);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(server).await.unwrap();
                tokio::spawn(pass(client, server, forgotten.clone()));
            }
        });
        Self {
            address,
            forget,
            accepting,
        }
    }

    /// Forgets every connection that there is.
    pub(crate) fn forget(&self) {
        self.forget.send_modify(|count| *count += 1);
    }
}

impl Drop for HalfOpen {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn pass(client: TcpStream, server: TcpStream, mut forgotten: watch::Receiver<u64>) {
    forgotten.mark_unchanged();
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let both = async {
        tokio::select! {
            _ = copy(&mut from_client, &mut to_server) => {}
            _ = copy(&mut from_server, &mut to_client) => {}
        }
    };
    let is_forgotten = tokio::select! {
        () = both => false,
        changed = forgotten.changed() => changed.is_ok(),
    };
    if is_forgotten {
        drop((from_client, to_client));
        // The server's connection stays open until the proxy ends.
        while forgotten.changed().await.is_ok() {}
    }
}

//! A listening port that can be taken down and brought back on the same address.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use datastream_service::accept::Acceptor;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

/// Attempts at a port that the system has not yet given back.
const BIND_TRIES: u32 = 40;
const BIND_PAUSE: Duration = Duration::from_millis(25);

/// Connections that a port has at once; more wait in the kernel.
const MAX_CONNECTIONS: usize = 4096;

/// One port. Dropping it closes the port and all its connections.
pub(crate) struct Listener {
    address: SocketAddr,
    /// Moves when all connections are to be closed.
    gate: watch::Sender<u64>,
    accepting: Option<JoinHandle<()>>,
}

impl Listener {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            gate: watch::Sender::new(0),
            accepting: None,
        }
    }

    /// Returns the address on which it listens, with the real port once it has been opened.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Listens and serves each connection on a task of its own. Does nothing if it is open.
    pub(crate) async fn open<F, T>(&mut self, serve: F) -> io::Result<()>
    where
        F: Fn(TcpStream) -> T + Send + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        if self.accepting.is_some() {
            return Ok(());
        }
        let listener = bind(self.address).await?;
        self.address = listener.local_addr()?;
        let gate = self.gate.subscribe();
        self.accepting = Some(tokio::spawn(async move {
            let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
            let mut acceptor = Acceptor::new(listener);
            while let Ok(place) = room.clone().acquire_owned().await {
                let (socket, _) = acceptor.accept().await;
                let mut gate = gate.clone();
                gate.mark_unchanged();
                let served = serve(socket);
                tokio::spawn(async move {
                    let _place = place;
                    tokio::select! {
                        _ = gate.changed() => (),
                        () = served => (),
                    }
                });
            }
        }));
        Ok(())
    }

    /// Closes all connections; the port stays open.
    pub(crate) fn drop_connections(&self) {
        self.gate.send_modify(|round| *round += 1);
    }

    /// Closes the port and all connections.
    pub(crate) async fn close(&mut self) {
        if let Some(task) = self.accepting.take() {
            task.abort();
            let _ = task.await;
        }
        self.drop_connections();
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(task) = &self.accepting {
            task.abort();
        }
        self.drop_connections();
    }
}

async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let mut tries = 0;
    loop {
        match TcpListener::bind(address).await {
            Err(error) if address.port() != 0 && tries < BIND_TRIES => {
                tracing::debug!(%error, %address, "trying again");
                tries += 1;
                tokio::time::sleep(BIND_PAUSE).await;
            }
            result => return result,
        }
    }
}
